"""Results: what commands return, as Python values, as data frames and in notebooks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from html import escape
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeVar

from enrich.errors import EnrichError, count_nouns

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ItemT = TypeVar("ItemT")

SHOWN_ROWS = 50
"""How many rows an HTML table shows: enough to judge a table, few enough to scroll past."""
FRAMED_ROWS = 1_000
"""How many rows a notebook's frame holds, which shows 100 at a time."""
MOST_FRAME_PIXELS = 480


@dataclass(frozen=True, kw_only=True)
class Rows:
    """The answer to a query: column names and rows. `types` are the SQL types of the columns, empty
    if they are not known."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    types: tuple[str, ...] = field(default=(), repr=False, compare=False)

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def names(self) -> tuple[str, ...]:
        """The column names made unique: a second `id` becomes `id_1`."""
        found: list[str] = []
        for column in self.columns:
            name, number = column, 0
            while name in found:
                number += 1
                name = f"{column}_{number}"
            found.append(name)
        return tuple(found)

    def df(self) -> Any:  # noqa: ANN401  # a pandas.DataFrame
        """The rows as a pandas DataFrame."""
        return _import_optional("pandas").DataFrame(list(self.rows), columns=list(self.names))

    def pl(self) -> Any:  # noqa: ANN401  # a polars.DataFrame
        """The rows as a polars DataFrame."""
        polars = _import_optional("polars")
        # By default polars infers a column's type from its first 100 values, and then fails on a
        # later one that is wider.
        return polars.DataFrame(self._by_column(), infer_schema_length=None)

    def arrow(self) -> Any:  # noqa: ANN401  # a pyarrow.Table
        """The rows as an Arrow table."""
        return _import_optional("pyarrow").table(self._by_column())

    def _by_column(self) -> dict[str, list[Any]]:
        # By unique names: a dict, like the frames themselves, has no room for two columns of one
        # name.
        return {name: [row[number] for row in self.rows] for number, name in enumerate(self.names)}

    def _repr_html_(self) -> str:
        """The page's own table in a sandbox: it can be searched and sorted."""
        return frame_rows(self)

    @property
    def html(self) -> str:
        """The first SHOWN_ROWS rows as an HTML table."""
        head = "".join(f"<th>{escape(column)}</th>" for column in self.columns)
        body = "".join(
            f"<tr>{''.join(f'<td>{_render_cell(value)}</td>' for value in row)}</tr>"
            for row in self.rows[:SHOWN_ROWS]
        )
        left = len(self) - SHOWN_ROWS
        more = f"<p>and {count_nouns(left, 'more row')}</p>" if left > 0 else ""
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}"


class Listed(tuple[ItemT, ...]):
    """What a command found, as a tuple. A notebook shows it as a table, whose columns are the
    attributes that the items' class lists in SHOWN."""

    __slots__ = ()

    def _repr_html_(self) -> str:
        columns = type(self[0]).SHOWN if self else ()  # type: ignore[attr-defined]
        rows = tuple(tuple(getattr(each, name) for name in columns) for each in self)
        return Rows(
            columns=tuple(name.replace("_", " ") for name in columns), rows=rows
        )._repr_html_()


class CommandResult(Listed[ItemT]):
    """What a command found, with the `tests` that it ran and the `problems` that kept it from
    running or publishing some of the models. The problems have already been reported."""

    tests: tuple[Any, ...] = ()
    problems: tuple[EnrichError, ...] = ()

    @classmethod
    def of(
        cls,
        found: Iterable[ItemT],
        *,
        tests: Iterable[Any] = (),
        problems: Iterable[EnrichError] = (),
    ) -> CommandResult[ItemT]:
        """A result with these items, tests and problems."""
        # A subclass of tuple is built by `__new__`, which takes the items and nothing else.
        result = cls(found)
        result.tests, result.problems = tuple(tests), tuple(problems)
        return result


@dataclass(frozen=True, kw_only=True)
class Failures:
    """The first rows that are not ok, and the counts of all such rows by outcome and error."""

    rows: Rows
    counts: Rows

    def __len__(self) -> int:
        """How many rows are not ok, including those not in `rows`."""
        return sum(row[-1] for row in self.counts)

    def _repr_html_(self) -> str:
        return self.rows._repr_html_()


@dataclass(frozen=True, kw_only=True)
class Likely:
    """How many cells of a column are likely to be right, or, where `column` is None, how many rows
    are in all columns: of the `reviewed` rows of a random sample, the `share` that is right, and
    between which shares that of all published rows is, with a confidence of 95 %.

    `more` is how many more rows would have to be reviewed to halve that range; 0 if all have been.
    """

    column: str | None
    reviewed: int
    right: int
    share: float
    low: float
    high: float
    more: int


@dataclass(frozen=True, kw_only=True)
class ReviewerPair:
    """On what share of the `rows` that both have judged two reviewers agree about a column, and
    Cohen's kappa; None where it is not defined, because both said the same about every row."""

    column: str
    reviewer: str
    other: str
    rows: int
    agreement: float
    kappa: float | None


@dataclass(frozen=True, kw_only=True)
class ReviewSummary:
    """What the reviews of a model say: the number of verdicts that stand, by verdict and by
    reviewer; how many of its published `rows` are likely to be right; and how well its reviewers
    agree."""

    model: str
    rows: int
    verdicts: Mapping[str, int]
    reviewers: Mapping[str, int]
    likely: tuple[Likely, ...]
    pairs: tuple[ReviewerPair, ...]


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """How well versions of a model match labels: `figures` has one row for each version and column;
    `labels` has one for each label, for the version `prompt`, which was scored last. `reviews` is
    None unless the labels are the model's own reviews."""

    figures: Rows
    labels: Rows
    prompt: str
    reviews: ReviewSummary | None = None

    def _repr_html_(self) -> str:
        return self.figures._repr_html_()


def frame_rows(rows: Rows) -> str:
    """Returns rows as a frame for a notebook: the page's table of up to FRAMED_ROWS rows."""
    # Imported here, because most programs never show anything.
    from enrich.page import Page

    shown = rows.rows[:FRAMED_ROWS]
    model = {
        "columns": [
            {"place": f"c{at}", "name": name, "role": "input", "type": _find_kind(shown, at)}
            for at, name in enumerate(rows.columns)
        ],
        "all": len(rows),
        "rows": [[n, "", "", "", "", *map(_show_cell, row)] for n, row in enumerate(shown)],
        "pictures": [],
    }
    left = len(rows) - len(shown)
    site = {
        "solo": "rows",
        "models": [],
        "costs": [],
        "bounds": [f"{count_nouns(left, 'more row')} {'is' if left == 1 else 'are'} not shown"]
        if left
        else [],
    }
    data = {"live": False, "site": site, "models": {"rows": model}}
    height = min(MOST_FRAME_PIXELS, 130 + 38 * len(shown))
    return Page().render_frame(data, title="rows", height=height)


def _find_kind(rows: tuple[tuple[Any, ...], ...], at: int) -> str:
    """Returns whether a column holds numbers, as the page names types."""
    values = [row[at] for row in rows if row[at] is not None]
    is_numeric = all(isinstance(each, int | float | Decimal) for each in values) and not any(
        isinstance(each, bool) for each in values
    )
    return "DOUBLE" if values and is_numeric else "VARCHAR"


def _show_cell(value: object) -> object:
    """Returns a value as the page shows it: NULL, a text, or a list of texts."""
    if value is None:
        return None
    if isinstance(value, list | tuple):
        return [None if item is None else str(item) for item in value]
    if isinstance(value, bytes):
        return f"{len(value):,} bytes"
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {part}" for name, part in value.items())
    return f"{value:%Y-%m-%d %H:%M}" if isinstance(value, datetime) else str(value)


def _render_cell(value: object) -> str:
    if value is None:
        return "<i>NULL</i>"
    if isinstance(value, bytes):
        return f"{len(value):,} bytes"
    if isinstance(value, Mapping):
        return escape(", ".join(f"{name}: {part}" for name, part in value.items()))
    if isinstance(value, tuple):
        return escape(", ".join(map(str, value)))
    return escape(f"{value:%Y-%m-%d %H:%M}" if isinstance(value, datetime) else str(value))


def _import_optional(name: str) -> Any:  # noqa: ANN401
    # Not dependencies of enrich: who wants a data frame has the package for it.
    try:
        return import_module(name)
    except ImportError as problem:
        hint = f"pip install {name}"
        raise EnrichError(f"this needs {name}, which is not installed", hint=hint) from problem
