"""Likelihood: what a random sample says about all rows, and how well two reviewers agree.

Only arithmetic. The interval is Wilson's score interval (E. B. Wilson, JASA 22, 1927) at 95 %, with
the correction for a finite population: the more of all rows have been reviewed, the narrower it is,
and once all are, it is a point. kappa is Cohen's (Educational and Psychological Measurement 20,
1960).
"""

from __future__ import annotations

from math import sqrt

Z_95 = 1.959963984540054
"""The quantile of the normal distribution that leaves 5 % outside, half of it on each side."""


def estimate_share(right: int, reviewed: int, rows: int) -> tuple[float, float]:
    """Returns between which shares of `rows` are likely to be right, if `right` of `reviewed` rows
    chosen at random are.

    >>> low, high = estimate_share(45, 50, 10**9)
    >>> round(low, 4), round(high, 4)
    (0.7864, 0.9565)
    >>> estimate_share(45, 50, 50)
    (0.9, 0.9)
    """
    return _find_interval(right / reviewed, reviewed, rows)


def count_more(right: int, reviewed: int, rows: int) -> int:
    """Returns how many more rows would have to be reviewed to halve the width of the interval, if
    as many of them are right; 0 if all rows have been reviewed.

    >>> count_more(45, 50, 10**9)  # nearly three times as many
    144
    >>> count_more(45, 50, 100), count_more(45, 50, 50)
    (30, 0)
    """
    share = right / reviewed
    goal = _measure_width(share, reviewed, rows) / 2
    low, high = 0, max(0, rows - reviewed)
    # The width falls with every row, down to nothing when all have been reviewed.
    while low < high:
        middle = (low + high) // 2
        if _measure_width(share, reviewed + middle, rows) <= goal:
            high = middle
        else:
            low = middle + 1
    return low


def compute_kappa(rows: int, agreed: int, chance: int) -> float | None:
    """Returns Cohen's kappa of two reviewers who agreed on `agreed` of `rows` rows; None if both
    said the same about every row, so that they could not but agree. `chance` is the sum over all
    labels of how often the one said it times how often the other did.

    >>> round(compute_kappa(50, 35, 25 * 30 + 25 * 20), 3)  # the usual example: 20, 5, 10 and 15
    0.4
    >>> compute_kappa(10, 10, 100)
    """
    return None if chance == rows**2 else (rows * agreed - chance) / (rows**2 - chance)


def _measure_width(share: float, reviewed: int, rows: int) -> float:
    low, high = _find_interval(share, reviewed, rows)
    return high - low


def _find_interval(share: float, reviewed: int, rows: int) -> tuple[float, float]:
    if reviewed >= rows:
        return share, share
    # The variance of a sample without replacement is smaller by (rows - reviewed) / (rows - 1): as
    # if more rows had been reviewed.
    size = reviewed * (rows - 1) / (rows - reviewed)
    spread = Z_95**2 / size
    middle = (share + spread / 2) / (1 + spread)
    half = sqrt(spread * (share * (1 - share) + spread / 4)) / (1 + spread)
    # Rounding must not leave the sample itself outside, nor lead beyond 0 and 1.
    low, high = max(0.0, middle - half), min(1.0, middle + half)
    return min(low, share), max(high, share)
