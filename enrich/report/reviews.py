"""Reviews: what people's verdicts say about a table, and examples made of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from enrich.report.safe import write_note, write_stdout

if TYPE_CHECKING:
    from enrich.results import Likely, ReviewerPair, ReviewSummary


def print_reviews(summary: ReviewSummary) -> None:
    """Print how much of the whole table is likely to be right, and how well reviewers agree."""
    write_stdout("\n")
    if not summary.likely:
        write_stdout(
            "no published row has been reviewed at random, so nothing can be said of all rows\n"
        )
    for each in summary.likely:
        write_stdout(f"{_describe_likely(each, summary.rows)}\n")
    for pair in summary.pairs:
        write_stdout(f"{_describe_pair(pair)}\n")


def _describe_likely(likely: Likely, rows: int) -> str:
    """Returns a sentence on a column, or on whole rows.

    >>> from enrich.results import Likely
    >>> figures = {"reviewed": 30, "right": 28, "share": 0.933, "low": 0.787, "high": 0.982}
    >>> said = _describe_likely(Likely(column="kind", more=84, **figures), 1000)
    >>> print(said.replace(" (", "\\n(", 1))
    From 30 randomly reviewed rows, 79 % to 98 % of the cells of "kind" are right
    (93 % in the sample); 84 more rows would halve that range.
    """
    if likely.column is None:
        what = "of the rows are right in every column"
    else:
        what = f'of the cells of "{likely.column}" are right'
    if likely.reviewed == rows:
        all_rows = "The only row has" if rows == 1 else f"All {rows:,} rows have"
        return f"{all_rows} been reviewed: {_format_share(likely.share)} {what}."
    low, high, share = map(_format_share, (likely.low, likely.high, likely.share))
    one = "1 more row" if likely.more == 1 else f"{likely.more:,} more rows"
    many = (
        "1 randomly reviewed row"
        if likely.reviewed == 1
        else (f"{likely.reviewed:,} randomly reviewed rows")
    )
    sample = f"({share} in the sample); {one} would halve that range"
    return f"From {many}, {low} to {high} {what} {sample}."


def _describe_pair(pair: ReviewerPair) -> str:
    """Returns a sentence on two reviewers."""
    kappa = (
        "kappa is not defined, because both said the same about every row"
        if pair.kappa is None
        else f"kappa {pair.kappa:.2f}"
    )
    rows = "the row" if pair.rows == 1 else f"the {pair.rows:,} rows"
    agreed = f'agree about "{pair.column}" in {_format_share(pair.agreement)} of {rows}'
    return f"{pair.reviewer} and {pair.other} {agreed} that both have judged ({kappa})."


def _format_share(share: float) -> str:
    """Returns a share in percent; only what is exactly all or nothing is shown as such.

    >>> [_format_share(share) for share in (0.0, 0.0004, 0.134, 0.9996, 1.0)]
    ['0 %', '0.04 %', '13 %', '99.96 %', '100 %']
    """
    text = f"{share:.0%}"
    if text in ("0%", "100%") and share not in (0, 1):
        text = f"{share:.2%}"
    return f"{text[:-1]} %"


def print_examples(sections: str, source: str) -> None:
    """Print examples for the prompt in the file `source`, and where they go."""
    write_stdout(sections)
    write_note(f"\nnext:\n  paste it above the last line `user:` of {source}\n")
