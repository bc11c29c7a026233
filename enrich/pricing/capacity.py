"""Capacity: what many rows would take, on paper: nodes, hours, USD and storage.

All of it is proportional to the rows. What a row takes comes from a plan, and from the answers that
the ledger has.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, isfinite
from typing import TYPE_CHECKING

from enrich.errors import ProjectError, nearest
from enrich.manifest.column_type import BYTES_PER_TOKEN

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from enrich.pricing.estimate import Range

CAPACITY_KEYS = ("rows", "rows_per_second", "nodes", "hours", "usd_per_hour")
CAPACITY_HINT = "--capacity rows=100000000,rows_per_second=50,hours=24,usd_per_hour=2.5"
RESULT_ENVELOPE = 500
"""The bytes of a result line of OpenAI's without its answer."""
PACKED_ENVELOPE, PACKED_SHARE = 20, 0.4
"""The bytes that gzip leaves of what surrounds an answer, which is nearly always the same, and the
share that it leaves of the answer."""
LEDGER_OVERHEAD, LEDGER_SHARE = 60, 0.4
"""The bytes of a row in the ledger besides its texts, and what compression leaves of these."""
TABLE_OVERHEAD, TABLE_SHARE = 30, 0.5
"""The same in the warehouse: the table, its provenance and its history."""


LEAST_CAPACITY, MOST_CAPACITY = 1e-6, 1e15
"""What lies outside is a slip, and its figures would fill lines."""


@dataclass(frozen=True, kw_only=True)
class Capacity:
    """What there is to answer rows: nodes that answer `rows_per_second` each, for `usd_per_hour`.

    Either so many `nodes`, or as many as are done in so many `hours`; one, if neither is said.
    `rows` is None for those of the plan.
    """

    rows_per_second: float
    rows: float | None = None
    nodes: float | None = None
    hours: float | None = None
    usd_per_hour: float = 0.0

    @classmethod
    def of(cls, values: Mapping[str, float]) -> Capacity:
        """Returns the capacity that these values describe. Raises ProjectError."""
        for key, value in values.items():
            if key not in CAPACITY_KEYS:
                hint = nearest(key, CAPACITY_KEYS)
                raise ProjectError(f"a capacity has no '{key}'", hint=hint)
            whole = key in ("rows", "nodes")
            if key == "usd_per_hour" and value == 0:
                continue  # nodes of one's own
            if not (isfinite(value) and value > 0 and (not whole or value == int(value))):
                kind = "whole number" if whole else "number"
                message = f"a capacity's '{key}' must be a {kind} above 0, not {value:g}"
                raise ProjectError(message, hint=CAPACITY_HINT)
            if not LEAST_CAPACITY <= value <= MOST_CAPACITY:
                limits = f"between {LEAST_CAPACITY:g} and {MOST_CAPACITY:g}"
                message = f"a capacity's '{key}' must be {limits}, not {value:g}"
                raise ProjectError(message, hint=CAPACITY_HINT)
        if "rows_per_second" not in values:
            message = "a capacity needs rows_per_second: how many rows a node answers"
            raise ProjectError(message, hint=CAPACITY_HINT)
        if values.keys() >= {"nodes", "hours"}:
            message = "a capacity has either nodes or hours: each follows from the other"
            raise ProjectError(message, hint=CAPACITY_HINT)
        return cls(**values)

    def count_nodes(self, rows: float) -> int:
        """Returns how many nodes there are, or have to be.

        >>> Capacity(rows_per_second=50, hours=24).count_nodes(100_000_000)
        24
        """
        if self.hours is None:
            return int(self.nodes or 1)
        return max(1, ceil(rows / (self.rows_per_second * self.hours * 3600)))


def parse_capacity(words: Iterable[str]) -> dict[str, float]:
    """Returns the values of `KEY=NUMBER` words, which commas may join. Raises ProjectError.

    >>> parse_capacity(["rows_per_second=50,hours=24", "rows=100_000_000"])
    {'rows_per_second': 50.0, 'hours': 24.0, 'rows': 100000000.0}
    """
    values: dict[str, float] = {}
    for part in (part for word in words for part in word.split(",")):
        key, _, text = (each.strip() for each in part.partition("="))
        try:
            value = float(text)
        except ValueError:
            raise ProjectError(f"'{part}' is not KEY=NUMBER", hint=CAPACITY_HINT) from None
        if key in values:
            raise ProjectError(f"a capacity has '{key}' twice", hint="keep one of them")
        values[key] = value
    return values


@dataclass(frozen=True, kw_only=True)
class RowSizes:
    """The bytes of a row in request files and in result files, as they are while its batch is open,
    and afterwards in compressed results, the ledger and the table. `answers` were measured for
    that; 0 for a rule of thumb."""

    requests: float
    results: float
    compressed: float
    ledger: float
    table: float
    answers: int = 0

    @classmethod
    def of(
        cls,
        *,
        request: float,
        tail: float,
        answer: float,
        ledger: float | None,
        answers: int,
        share: float = 1.0,
    ) -> RowSizes:
        """Returns the sizes of a row that has `request` bytes of requests. A request's own part and
        its answer have so many bytes; `ledger` is what it takes there, if that was measured; and
        for each row there is a `share` of one, since rows may ask the same."""
        texts = tail + answer
        return cls(
            requests=request,
            results=share * (RESULT_ENVELOPE + answer),
            compressed=share * (PACKED_ENVELOPE + PACKED_SHARE * answer),
            ledger=LEDGER_OVERHEAD + share * LEDGER_SHARE * texts
            if ledger is None
            else share * ledger,
            table=TABLE_OVERHEAD + TABLE_SHARE * answer,
            answers=answers,
        )


@dataclass(frozen=True, kw_only=True)
class Projection:
    """What `rows` would take: `nodes` for `hours`, and USD for tokens and for nodes.

    `tokens_usd` is None if the price is not known. `sizes` are those of one row, and
    `storage` is that of all, in bytes: `requests` and `results` only as long as batches are open.
    """

    rows: float
    nodes: int
    hours: float
    tokens_usd: float | None
    nodes_usd: float
    sizes: RowSizes
    storage: Mapping[str, float]

    @property
    def usd(self) -> float | None:
        """What it costs in all."""
        return None if self.tokens_usd is None else self.tokens_usd + self.nodes_usd


def project_rows(
    capacity: Capacity, *, rows: float, usd_per_row: float | None, sizes: RowSizes
) -> Projection:
    """Returns what `rows`, or those of the capacity, would take.

    >>> sizes = RowSizes(requests=900, results=700, compressed=70, ledger=400, table=200)
    >>> some = Capacity(rows_per_second=50, nodes=20, usd_per_hour=2)
    >>> found = project_rows(some, rows=3_600_000, usd_per_row=0.0001, sizes=sizes)
    >>> found.hours, found.nodes_usd, round(found.usd), found.storage["ledger"]
    (1.0, 40.0, 400, 1440000000)
    """
    rows = capacity.rows or rows
    nodes = capacity.count_nodes(rows)
    hours = rows / (capacity.rows_per_second * nodes * 3600)
    return Projection(
        rows=rows,
        nodes=nodes,
        hours=hours,
        tokens_usd=None if usd_per_row is None else usd_per_row * rows,
        nodes_usd=nodes * hours * capacity.usd_per_hour,
        sizes=sizes,
        storage={
            "requests": sizes.requests * rows,
            "results": sizes.results * rows,
            "compressed": sizes.compressed * rows,
            "ledger": sizes.ledger * rows,
            "table": sizes.table * rows,
        },
    )


def guess_answer(output: Range, requests: int) -> float:
    """Returns the bytes of an answer, from the output tokens that are likely."""
    return output.likely / (requests or 1) * BYTES_PER_TOKEN
