"""Data tests: what must be true of a table before it is published.

A test finds rows that should not exist, and passes if there are none. Each type of test is a class
of its own in `data_test_types`; this module says what all of them have in common.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

from enrich.db.quote import quote_name
from enrich.errors import ModelError, nearest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from enrich.manifest.settings import YamlSettings

Severity = Literal["error", "warn"]
Schema = dict[str, Any]
"""A JSON Schema."""

PUBLISHED_COPY = "temp._enrich_before"
"""The published table, copied before it is replaced, for tests that compare with it."""
TESTS_EXAMPLE = """tests:
  - unique: summary
  - accepted_values: {mood: [light, dark]}
  - relationships: {movie_id: movies.movie_id}
  - len(summary) < 200
  - {min_ok: 0.98, severity: warn}
  - drift: {changed: 0.2, labels: 0.1, nulls: 0.05, lost: 0.5}"""


@dataclass(frozen=True, kw_only=True)
class CandidateTable:
    """The table of `model` as it would be published: its `columns` and the `shared` ones, which the
    published table has as well, each with its type as DuckDB writes it."""

    model: str
    columns: Mapping[str, str]
    shared: Mapping[str, str]
    key: tuple[str, ...]

    @property
    def name(self) -> str:
        """Its name in SQL."""
        return quote_name("warehouse", "main", self.model)

    @property
    def provenance(self) -> str:
        """The name of its provenance, one row for each row of the model."""
        return quote_name("warehouse", "enrich", self.model)


@dataclass(frozen=True, kw_only=True)
class DataTest(ABC):
    """One test of a table.

    With severity `error`, failures keep the table from being published; with `warn` they are only
    reported. An `implied` test is one that nobody wrote, and only its failures are reported.
    `reads` are the other tables that a test names, in lower case.
    """

    compares: ClassVar[bool] = False
    """Whether it asks how far the table has moved from the published one: a user who intended that
    can publish the table anyway."""
    counts: ClassVar[bool] = False
    """Whether it only counts the rows of both tables, so that no copy has to be kept."""
    is_file: ClassVar[bool] = False
    """Whether it is a SQL file, which may read several models and runs once for all of them."""

    name: str
    source: str
    severity: Severity = "error"
    implied: bool = False
    # Left out of `definition`: the order of a set of texts changes from process to process.
    reads: frozenset[str] = field(default=frozenset(), repr=False)

    @property
    def definition(self) -> str:
        """Everything that the test says; equal tests have equal definitions in every process."""
        return repr(self)

    @property
    def written(self) -> str:
        """What messages call the test."""
        return self.name

    @property
    def target(self) -> tuple[str, str] | None:
        """The other table that the test looks values up in, and its column; None if there is
        none."""
        return None

    @classmethod
    def find_conditions(cls, value: object) -> Iterator[str]:
        """Yields the SQL in the value of a setting, as written; it may name variables."""
        yield from ()

    @abstractmethod
    def render_failures(self, table: CandidateTable) -> str | None:
        """Returns a SELECT of the rows that should not exist; None if there is nothing to check."""

    def judge_counts(self, *, before: int, now: int) -> str:
        """Returns what is wrong with these numbers of rows, in words; "" if nothing. For tests that
        only count."""
        return ""

    def render_probe(self, table: str) -> str:
        """Returns a query that DuckDB must be able to bind before any money is spent; "" for none.
        `table` is SQL for one row with the columns that the table will have."""
        return ""

    def render_binding(self, model: str, row: str) -> str:
        """Returns a query of the test's other tables that DuckDB must be able to bind as well; ""
        for none. `row` is a SELECT of one row as the table of `model` will have it. The test is the
        first thing on the query's second line."""
        return ""


class DataTestType(Protocol):
    """What a key under `tests:` stands for: a class of tests, or a group of them."""

    def parse(self, item: DeclaredItem, value: object) -> Iterator[DataTest]:
        """Yields the tests that `key: value` stands for. Raises ModelError."""

    def render_schema(self) -> Schema:
        """Returns the JSON Schema of the value, for editors, which show this method's docstring."""

    def find_conditions(self, value: object) -> Iterator[str]:
        """Yields the SQL in the value, as written; it may name variables."""


@dataclass(frozen=True)
class DeclaredItem:
    """An item of `tests:`, with the settings it is from, the columns that the table will have, and
    the values of variables."""

    settings: YamlSettings
    columns: tuple[str, ...]
    values: Mapping[str, Any]

    @property
    def source(self) -> str:
        """The name of its file in messages."""
        return self.settings.source

    def error(self, what: str, *, hint: str = f"as in:\n{TESTS_EXAMPLE}") -> ModelError:
        """Returns the error for a fault in `tests:`, with file and line."""
        # Settings may raise any class of error, but a test always belongs to a model.
        problem = self.settings.make_error("tests", what, hint=hint)
        return ModelError(problem.message, hint=problem.hint)

    def find_column(self, word: object) -> str:
        """Returns a column of the table, spelled as in the table. Raises ModelError."""
        # DuckDB's names have no case, so neither do those in tests.
        known = {column.lower(): column for column in self.columns}
        found = known.get(str(word).lower())
        if found is None:
            hint = nearest(str(word), self.columns)
            raise self.error(f"names '{word}', which is not a column of the table", hint=hint)
        return found

    def find_columns(self, value: object) -> tuple[str, ...]:
        """Returns the columns that a setting names: one, or a list of them. Raises ModelError."""
        return tuple(map(self.find_column, value if isinstance(value, list) else [value]))

    def read_share(self, kind: str, value: object) -> float:
        """Returns a share from 0 to 1. Raises ModelError."""
        # A bool is an int in Python, and `min_ok: true` is a mistake.
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
            raise self.error(f"needs a share from 0 to 1 for '{kind}'", hint=f"{kind}: 0.98")
        return float(value)

    def read_mapping(self, kind: str, value: object, example: str) -> dict[str, Any]:
        """Returns a mapping that is not empty. Raises ModelError, whose hint shows `example`."""
        if not isinstance(value, dict) or not value:
            raise self.error(f"needs columns for '{kind}'", hint=f"{kind}: {{{example}}}")
        return value
