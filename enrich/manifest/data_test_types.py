"""The types of data tests, one class each: what its settings mean, and which rows fail.

To add a type, write its class, add a field to `DataTestTypes`, and add its entry to
`DATA_TEST_TYPES`. The type checker reports any of them that is missing, and missing methods too.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from enrich.db.quote import quote_name, quote_table, quote_text, render_struct, wrap_expression
from enrich.errors import nearest
from enrich.manifest import guard
from enrich.manifest.data_test import PUBLISHED_COPY, DataTest, Schema
from enrich.manifest.variables import fill_variables, render_literal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from enrich.manifest.data_test import CandidateTable, DataTestType, DeclaredItem

NAMES_SCHEMA: Schema = {
    "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]
}
BY_COLUMN_SCHEMA: Schema = {"type": "object", "minProperties": 1}
TARGET_SCHEMA: Schema = {"type": "string", "pattern": r".\..", "description": "table.column"}
SHARE_SCHEMA: Schema = {"type": "number", "minimum": 0, "maximum": 1}

LOST_SHARE = 0.5
"""The share of its rows that a table may lose, unless its own tests set another."""


@dataclass(frozen=True, kw_only=True)
class UniqueTest(DataTest):
    """No two rows have the same values in these columns; NULL never counts as the same."""

    columns: tuple[str, ...]

    @classmethod
    def render_schema(cls) -> Schema:
        """A column, or columns together, that no two rows share."""
        return NAMES_SCHEMA

    @classmethod
    def parse(cls, item: DeclaredItem, value: object) -> Iterator[DataTest]:
        """`unique: a`, or `unique: [a, b]` of both together."""
        columns = item.find_columns(value)
        yield UniqueTest(name=f"unique_{'_'.join(columns)}", source=item.source, columns=columns)

    def render_failures(self, table: CandidateTable) -> str:
        """Returns a SELECT of the rows whose values occur more than once."""
        names = ", ".join(map(quote_name, self.columns))
        there = " AND ".join(f"{quote_name(column)} IS NOT NULL" for column in self.columns)
        many = f"count(*) OVER (PARTITION BY {names})"
        return f"SELECT * FROM {table.name} WHERE {there} QUALIFY {many} > 1"


@dataclass(frozen=True, kw_only=True)
class NotNullTest(DataTest):
    """Each row has a value in this column."""

    column: str

    @classmethod
    def render_schema(cls) -> Schema:
        """Columns that have a value in each row."""
        return NAMES_SCHEMA

    @classmethod
    def parse(cls, item: DeclaredItem, value: object) -> Iterator[DataTest]:
        """`not_null: a`, or `not_null: [a, b]`, a test of each."""
        for column in item.find_columns(value):
            yield NotNullTest(name=f"not_null_{column}", source=item.source, column=column)

    def render_failures(self, table: CandidateTable) -> str:
        """Returns a SELECT of the rows without a value."""
        return f"SELECT * FROM {table.name} WHERE {quote_name(self.column)} IS NULL"


@dataclass(frozen=True, kw_only=True)
class AcceptedValuesTest(DataTest):
    """A column, or each item of a list, holds one of these values. NULL is always accepted: that
    is what `not_null` is for."""

    column: str
    values: tuple[Any, ...]

    @classmethod
    def render_schema(cls) -> Schema:
        """Columns, and the list of values that each may have."""
        return BY_COLUMN_SCHEMA | {"additionalProperties": {"type": "array", "minItems": 1}}

    @classmethod
    def parse(cls, item: DeclaredItem, value: object) -> Iterator[DataTest]:
        """`accepted_values: {a: [x, y]}`, a test of each column."""
        example = "mood: [light, dark]"
        for word, values in item.read_mapping("accepted_values", value, example).items():
            column = item.find_column(word)
            if not isinstance(values, list) or not values:
                raise item.error(f"needs a list of values for '{word}'", hint=f"{word}: [a, b]")
            name = f"accepted_values_{column}"
            yield AcceptedValuesTest(
                name=name, source=item.source, column=column, values=tuple(values)
            )

    def render_failures(self, table: CandidateTable) -> str:
        """Returns a SELECT of the rows with any other value."""
        column, kind = quote_name(self.column), table.columns.get(self.column, "")
        if kind.endswith("]"):
            wrong = self._render_rejected("item", kind)
            wrong = f"len(list_filter({column}, lambda item: {wrong})) > 0"
        else:
            wrong = self._render_rejected(column, kind)
        return f"SELECT * FROM {table.name} WHERE {wrong}"

    def _render_rejected(self, value: str, kind: str) -> str:
        """Returns the SQL condition that a value is not accepted; labels and texts compare as
        texts."""
        # NOT IN with a NULL in its list is never true, so the test could not fail.
        there = [word for word in self.values if word is not None]
        if not there:
            return f"{value} IS NOT NULL"
        # For `'oak' IN (1, 2)` DuckDB casts the text to a number, which is an error.
        if kind.startswith(("ENUM", "VARCHAR")) or any(isinstance(word, str) for word in there):
            value = f"CAST({value} AS VARCHAR)"
            there = [str(word).lower() if isinstance(word, bool) else str(word) for word in there]
        return f"{value} NOT IN ({', '.join(map(render_literal, there))})"


@dataclass(frozen=True, kw_only=True)
class RelationshipsTest(DataTest):
    """The value of a column, or each item of a list, occurs in the column `field` of `table`."""

    column: str
    table: str
    field: str

    @classmethod
    def render_schema(cls) -> Schema:
        """Columns, and the table.column that holds each of their values."""
        return BY_COLUMN_SCHEMA | {"additionalProperties": TARGET_SCHEMA}

    @classmethod
    def parse(cls, item: DeclaredItem, value: object) -> Iterator[DataTest]:
        """`relationships: {a: table.column}`, a test of each column."""
        example = "movie_id: movies.movie_id"
        for word, target in item.read_mapping("relationships", value, example).items():
            column = item.find_column(word)
            table, _, field = str(target).rpartition(".")
            if not table or not field:
                what = f"needs a table and its column for '{word}'"
                raise item.error(what, hint=f"{word}: table.column")
            name = f"relationships_{column}"
            yield RelationshipsTest(
                name=name,
                source=item.source,
                column=column,
                table=table,
                field=field,
                reads=frozenset({table.lower()}),
            )

    @property
    def target(self) -> tuple[str, str]:
        """The table and its column."""
        return self.table, self.field

    @property
    def written(self) -> str:
        """The column, and where its values must occur."""
        return f"{self.column}: {self.table}.{self.field}"

    def render_binding(self, model: str, row: str) -> str:
        """Returns a query of the column in which the values must occur."""
        return f"SELECT\n{quote_name(self.field)} FROM {quote_table(self.table)}"

    def render_failures(self, table: CandidateTable) -> str:
        """Returns a SELECT of the rows whose value the other table does not have."""
        column = quote_name(self.column)
        parent = f"{quote_table(self.table)} AS parent"
        field = f"parent.{quote_name(self.field)}"
        if table.columns.get(self.column, "").endswith("]"):
            items = f"SELECT unnest({column}) AS _enrich_item FROM {table.name}"
            orphans = f"({items}) ANTI JOIN {parent} ON {field} = _enrich_item"
            listed = f"SELECT list(_enrich_item) FROM {orphans} WHERE _enrich_item IS NOT NULL"
            return f"SELECT * FROM {table.name} WHERE list_has_any({column}, ({listed}))"
        # An ANTI JOIN also keeps NULLs, but a row without a value refers to nothing.
        children = f"{table.name} AS child ANTI JOIN {parent} ON {field} = child.{column}"
        return f"SELECT child.* FROM {children}\nWHERE child.{column} IS NOT NULL"


@dataclass(frozen=True, kw_only=True)
class CheckTest(DataTest):
    """A condition that is false for no row; if it aggregates, it is not false for the table."""

    sql: str

    @property
    def written(self) -> str:
        """The condition."""
        return self.sql

    @classmethod
    def find_conditions(cls, value: object) -> Iterator[str]:
        """The condition."""
        if isinstance(value, str):
            yield value

    @classmethod
    def render_schema(cls) -> Schema:
        """A condition in SQL that is false for no row, or an aggregate."""
        return {"type": ["string", "boolean"]}

    @classmethod
    def parse(cls, item: DeclaredItem, value: object) -> Iterator[DataTest]:
        """`check: condition`."""
        from sqlglot import exp, parse
        from sqlglot.errors import SqlglotError

        written, line = str(value), item.settings.lines.get("tests", 1)
        # Messages and the test's name show what the user wrote, so variables are filled in a copy.
        sql = fill_variables(written, item.values, source=item.source, line=line)
        try:
            (tree,) = [found for found in parse(sql, read="duckdb") if found]
        except (SqlglotError, RecursionError, ValueError) as problem:
            hint = "one condition on the table's columns: len(summary) < 200"
            raise item.error(f"cannot read '{written}'", hint=hint) from problem
        if isinstance(tree, exp.Query):
            hint = "a query of failing rows belongs in a file of its own: tests/NAME.sql"
            raise item.error(f"cannot contain the query '{written}'", hint=hint)
        guard.check_expression(sql, source=item.source, line=None)
        # The table of failing rows gets this name: it is long enough to tell conditions apart and
        # short enough to type.
        slug = re.sub(r"\W+", "_", written.lower()).strip("_")[:40].rstrip("_")
        yield CheckTest(name=f"check_{slug}", source=item.source, sql=sql)

    def render_failures(self, table: CandidateTable) -> str:
        """Returns a SELECT of the rows for which the condition is false; if it aggregates, one row
        with the number of rows."""
        return self.render_probe(table.name)

    def render_probe(self, table: str) -> str:
        """Returns the same SELECT over any table."""
        from sqlglot import exp, parse_one

        # WHERE takes no aggregate, so a condition on the whole table goes into HAVING. An aggregate
        # in a subquery or a window is not about the whole table.
        aggregates = any(
            not node.find_ancestor(exp.Query, exp.Window)
            for node in parse_one(self.sql, read="duckdb").find_all(exp.AggFunc)
        )
        if aggregates:
            return f"SELECT count(*) AS rows FROM {table} HAVING NOT {wrap_expression(self.sql)}"
        return f"SELECT * FROM {table} WHERE NOT {wrap_expression(self.sql)}"


@dataclass(frozen=True, kw_only=True)
class MinOkTest(DataTest):
    """At least this share of the rows with an answer is ok."""

    limit: float

    @classmethod
    def render_schema(cls) -> Schema:
        """The least share of rows that are ok."""
        return SHARE_SCHEMA

    @classmethod
    def parse(cls, item: DeclaredItem, value: object) -> Iterator[DataTest]:
        """`min_ok: share`."""
        limit = item.read_share("min_ok", value)
        yield MinOkTest(name="min_ok", source=item.source, limit=limit)

    def render_failures(self, table: CandidateTable) -> str:
        """Returns a SELECT of the rows that are not ok, which is empty unless there are too
        many."""
        # count(outcome) leaves out the rows that are still waiting for an answer.
        came = f"FROM {table.provenance}"
        share = f"(SELECT count(*) FILTER (outcome = 'ok') / count(outcome) {came})"
        return f"SELECT * {came} WHERE outcome <> 'ok' AND {share} < {self.limit!r}"


@dataclass(frozen=True, kw_only=True)
class DriftTest(DataTest):
    """The table has not moved away from the published one by more than this share: see `Drifts`."""

    compares: ClassVar[bool] = True

    limit: float

    @classmethod
    def render_schema(cls) -> Schema:
        """How far the table may move from the published one: shares by what they measure."""
        words = dict.fromkeys(DRIFTS._fields, SHARE_SCHEMA)
        return BY_COLUMN_SCHEMA | {"properties": words, "additionalProperties": False}

    @classmethod
    def parse(cls, item: DeclaredItem, value: object) -> Iterator[DataTest]:
        """`drift: {changed: share, lost: share}`, a test of each."""
        known = dict(zip(DRIFTS._fields, DRIFTS, strict=True))
        for word, share in item.read_mapping("drift", value, "changed: 0.2").items():
            if word not in known:
                raise item.error(f"has no drift test '{word}'", hint=nearest(str(word), known))
            limit = item.read_share(str(word), share)
            yield known[word](name=f"drift_{word}", source=item.source, limit=limit)


@dataclass(frozen=True, kw_only=True)
class ColumnDriftTest(DriftTest):
    """A drift that shows in the columns of the output."""

    def render_failures(self, table: CandidateTable) -> str | None:
        """Returns a SELECT of what moved too far; None if the tables cannot be compared."""
        key = {column.lower() for column in table.key}
        output = {name: kind for name, kind in table.shared.items() if name.lower() not in key}
        # If the key has changed, the published table may not have all of its columns. Joining on
        # one that is missing is an error, and in DuckDB an error ends the whole transaction.
        if not output or len(table.shared) < len(output) + len(key):
            return None
        return self.render_moved(table, output)

    @abstractmethod
    def render_moved(self, table: CandidateTable, output: Mapping[str, str]) -> str | None:
        """Returns the same for `output`, the columns that both tables have, with their types."""


@dataclass(frozen=True, kw_only=True)
class ChangedDriftTest(ColumnDriftTest):
    """Rows that are in both tables keep their answer."""

    def render_moved(self, table: CandidateTable, output: Mapping[str, str]) -> str:
        """Returns a SELECT of the rows whose answer has changed, with the published answer."""
        # Compared as text: the column may have had another type when it was published.
        now, was = (
            f"({', '.join(f'CAST({side}.{quote_name(c)} AS VARCHAR)' for c in output)})"
            for side in ("now", "was")
        )
        same = ", ".join(map(quote_name, table.key))
        old = render_struct({column: f"was.{quote_name(column)}" for column in output})
        both = f"{table.name} AS now JOIN {PUBLISHED_COPY} AS was USING ({same})"
        return f"""SELECT now.*, {old} AS was FROM {both}
WHERE {now} IS DISTINCT FROM {was} AND (
    SELECT avg(CAST({now} IS DISTINCT FROM {was} AS INTEGER))
    FROM {both}
) > {self.limit!r}"""


@dataclass(frozen=True, kw_only=True)
class LabelsDriftTest(ColumnDriftTest):
    """Each label of an ENUM, or of a list of ENUMs, keeps its share of the rows."""

    def render_moved(self, table: CandidateTable, output: Mapping[str, str]) -> str | None:
        """Returns a SELECT of the labels whose share moved too far; None without an ENUM."""
        moved = (
            self._render_column(column, kind, table.name)
            for column, kind in output.items()
            if "ENUM" in kind
        )
        return "\nUNION ALL\n".join(moved) or None

    def _render_column(self, column: str, kind: str, table: str) -> str:
        """Returns the SELECT for one column."""
        name = quote_name(column)
        # A label that occurs twice in one list counts once: shares are shares of rows.
        label = f"unnest(list_distinct({name}))" if kind.endswith("]") else name

        before, now = (
            f"""(SELECT CAST(label AS VARCHAR) AS label,
        count(*) / (SELECT count(*) FROM {side}) AS share
    FROM (SELECT {label} AS label FROM {side}) WHERE label IS NOT NULL GROUP BY label)"""
            for side in (PUBLISHED_COPY, table)
        )
        # The last line: without rows on either side all shares are 0, and every label would seem to
        # have moved. `lost` is the test for a table that has become empty.
        return f"""SELECT * FROM (
    SELECT {quote_text(column)} AS "column", label,
        coalesce(was.share, 0) AS before, coalesce(present.share, 0) AS now
    FROM {before} AS was FULL JOIN {now} AS present USING (label)
) WHERE abs(now - before) > {self.limit!r}
    AND (SELECT count(*) FROM {PUBLISHED_COPY}) > 0 AND (SELECT count(*) FROM {table}) > 0"""


@dataclass(frozen=True, kw_only=True)
class NullsDriftTest(ColumnDriftTest):
    """Each column keeps its share of NULLs."""

    def render_moved(self, table: CandidateTable, output: Mapping[str, str]) -> str:
        """Returns a SELECT of the columns whose share of NULLs moved too far."""
        return "\nUNION ALL\n".join(self._render_column(column, table.name) for column in output)

    def _render_column(self, column: str, table: str) -> str:
        """Returns the SELECT for one column."""
        before, now = (
            f"(SELECT avg(CAST({quote_name(column)} IS NULL AS INTEGER)) FROM {side})"
            for side in (PUBLISHED_COPY, table)
        )
        return f"""SELECT * FROM (
    SELECT {quote_text(column)} AS "column", {before} AS before, {now} AS now
) WHERE abs(now - before) > {self.limit!r}"""


@dataclass(frozen=True, kw_only=True)
class LostDriftTest(DriftTest):
    """The table has not lost more of its rows."""

    counts: ClassVar[bool] = True

    def render_failures(self, table: CandidateTable) -> None:
        """Returns None: rows that are gone cannot be shown."""

    def judge_counts(self, *, before: int, now: int) -> str:
        """Returns how many rows would be lost, in words, if that is too many."""
        lost = before - now
        return f"it would lose {lost:,} of {before:,} rows" if lost > self.limit * before else ""


@dataclass(frozen=True, kw_only=True)
class SqlTest(DataTest):
    """A SQL file: a SELECT of rows that should not exist."""

    is_file: ClassVar[bool] = True

    sql: str

    def render_failures(self, table: CandidateTable) -> str:
        """Returns the SELECT of the file."""
        return self.sql

    def render_binding(self, model: str, row: str) -> str:
        """Returns the SELECT of the file, in which the table of the model is one row."""
        return f"WITH {quote_name(model)} AS ({row}) SELECT * FROM (\n{self.sql}\n)"


class Drifts(NamedTuple):
    """Every key that is allowed under `drift:`."""

    changed: type[DriftTest]
    labels: type[DriftTest]
    nulls: type[DriftTest]
    lost: type[DriftTest]


DRIFTS = Drifts(
    changed=ChangedDriftTest,
    labels=LabelsDriftTest,
    nulls=NullsDriftTest,
    lost=LostDriftTest,
)


class DataTestTypes(NamedTuple):
    """Every key that is allowed under `tests:`."""

    unique: DataTestType
    not_null: DataTestType
    accepted_values: DataTestType
    relationships: DataTestType
    check: DataTestType
    min_ok: DataTestType
    drift: DataTestType


DATA_TEST_TYPES = DataTestTypes(
    unique=UniqueTest,
    not_null=NotNullTest,
    accepted_values=AcceptedValuesTest,
    relationships=RelationshipsTest,
    check=CheckTest,
    min_ok=MinOkTest,
    drift=DriftTest,
)
