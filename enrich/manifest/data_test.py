"""Data tests: what must be true of a table before it is published.

What a test finds is rows that should not be: none is a pass. Each type of test is a class of its
own in `data_test_types`; here is what all of them promise.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

from enrich.db import quote
from enrich.errors import ModelError, nearest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from enrich.manifest.settings import YamlSettings

Severity = Literal["error", "warn"]
Schema = dict[str, Any]
"""A JSON Schema."""

PUBLISHED_COPY = "temp._enrich_before"
"""The table as it was published last, kept aside for the tests that compare with it."""
TESTS_EXAMPLE = """tests:
  - unique: summary
  - accepted_values: {mood: [light, dark]}
  - relationships: {movie_id: movies.movie_id}
  - len(summary) < 200
  - {min_ok: 0.98, severity: warn}
  - drift: {changed: 0.2, labels: 0.1, nulls: 0.05, lost: 0.5}"""


@dataclass(frozen=True, kw_only=True)
class CandidateTable:
    """The table `model` as it would be published: its `columns` and, of these, the `shared` ones
    that the published table has too, each with its type as DuckDB writes it."""

    model: str
    columns: Mapping[str, str]
    shared: Mapping[str, str]
    key: tuple[str, ...]

    @property
    def name(self) -> str:
        """Its name in SQL."""
        return quote.name("warehouse", "main", self.model)

    @property
    def provenance(self) -> str:
        """The name of its provenance, one row for each row of the model."""
        return quote.name("warehouse", "enrich", self.model)


@dataclass(frozen=True, kw_only=True)
class DataTest(ABC):
    """One test of a table.

    With severity `error` failures hold the table back, with `warn` they are only told. `implied`:
    nobody wrote it, and only its failures are told. `reads` are the tables that a file names.
    """

    compares: ClassVar[bool] = False
    """Whether it asks how far the table moved from the published one, which may be meant."""
    counts: ClassVar[bool] = False
    """Whether it only counts the rows of both, so that no table has to be kept aside."""
    is_file: ClassVar[bool] = False
    """Whether it is a file, which may read several models and is run once for all of them."""

    name: str
    source: str
    severity: Severity = "error"
    implied: bool = False
    # Not in the definition: a set has another order in each process.
    reads: frozenset[str] = field(default=frozenset(), repr=False)

    @property
    def definition(self) -> str:
        """All that it says, the same in every process."""
        return repr(self)

    @property
    def written(self) -> str:
        """How messages show it."""
        return self.name

    @classmethod
    def find_conditions(cls, value: object) -> Iterator[str]:
        """The SQL in the value of a setting, as written: it may name variables."""
        yield from ()

    @abstractmethod
    def render_failures(self, table: CandidateTable) -> str | None:
        """A SELECT of the rows that should not be; None if there is nothing to look at."""

    def judge_counts(self, *, before: int, now: int) -> str:
        """What is wrong with so many rows, in words; "" if nothing is. For tests that count."""
        return ""

    def render_probe(self, table: str) -> str:
        """A query that DuckDB must be able to bind before anything is spent; "" if there is none.
        `table` is SQL for one row with the columns of the table to be."""
        return ""


class DataTestType(Protocol):
    """What a word under `tests:` means: a class of test, or of several."""

    def parse(self, item: DeclaredItem, value: object) -> Iterator[DataTest]:
        """The tests that `word: value` stands for; raises ModelError."""

    def render_schema(self) -> Schema:
        """The JSON Schema of the value, for editors; its docstring is what they show."""

    def find_conditions(self, value: object) -> Iterator[str]:
        """The SQL in the value, as written: it may name variables."""


@dataclass(frozen=True)
class DeclaredItem:
    """An item of `tests:`: where it stands, the columns that the table will have, and the values
    of variables."""

    settings: YamlSettings
    columns: tuple[str, ...]
    values: Mapping[str, Any]

    @property
    def source(self) -> str:
        """How messages name the file."""
        return self.settings.source

    def error(self, what: str, *, hint: str = f"as in:\n{TESTS_EXAMPLE}") -> ModelError:
        """The error that `tests` is wrong, with file and line."""
        # Settings know which class of error their file has; a test is always a model's.
        problem = self.settings.make_error("tests", what, hint=hint)
        return ModelError(problem.message, hint=problem.hint)

    def find_column(self, word: object) -> str:
        """A column of the table as it is called there."""
        known = {column.lower(): column for column in self.columns}
        found = known.get(str(word).lower())
        if found is None:
            hint = nearest(str(word), self.columns)
            raise self.error(f"names '{word}', which is no column of the table", hint=hint)
        return found

    def find_columns(self, value: object) -> tuple[str, ...]:
        """One column or a list of them."""
        return tuple(map(self.find_column, value if isinstance(value, list) else [value]))

    def read_share(self, kind: str, value: object) -> float:
        """A share from 0 to 1."""
        # YAML's `true` is an int to Python.
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
            raise self.error(f"needs a share from 0 to 1 for '{kind}'", hint=f"{kind}: 0.98")
        return float(value)

    def read_mapping(self, kind: str, value: object, example: str) -> dict[str, Any]:
        """A mapping that is not empty, as in `example`."""
        if not isinstance(value, dict) or not value:
            raise self.error(f"needs columns for '{kind}'", hint=f"{kind}: {{{example}}}")
        return value
