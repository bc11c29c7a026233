"""Data tests: what must be true of a table before it is published.

In a prompt's front matter they stand under `tests:`; a SQL file in the project's test folders is a
test of every model it reads. What a test finds is rows that should not be: none is a pass.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, get_args

from enrich.errors import ModelError, nearest
from enrich.manifest import guard
from enrich.manifest.variables import filled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from enrich.manifest.settings import Settings

Kind = Literal[
    "unique", "not_null", "accepted_values", "relationships", "check", "min_ok", "drift", "sql"
]
Severity = Literal["error", "warn"]

KINDS = tuple(kind for kind in get_args(Kind) if kind != "sql")
DRIFTS = ("changed", "labels", "nulls", "lost")
LOST = 0.5
"""The share of its rows that a table may lose, unless its tests say another."""
SETTINGS = ("name", "severity")
EXAMPLE = """tests:
  - unique: summary
  - accepted_values: {mood: [light, dark]}
  - relationships: {movie_id: movies.movie_id}
  - len(summary) < 200
  - {min_ok: 0.98, severity: warn}
  - drift: {changed: 0.2, labels: 0.1, nulls: 0.05, lost: 0.5}"""


@dataclass(frozen=True, kw_only=True)
class DataTest:
    """One test of a table: its rows that should not be there are its failures.

    `columns` are the output's or key's that it looks at; `values` those that are accepted;
    `target` the table and column that must hold them; `sql` a condition or, in a file, a query;
    `limit` a share from 0 to 1, and `drift` what must not move by more. With severity `error`
    failures hold the table back, with `warn` they are only told. `implied`: nobody wrote it, and
    only its failures are told.
    """

    name: str
    kind: Kind
    source: str
    columns: tuple[str, ...] = ()
    values: tuple[Any, ...] = ()
    target: tuple[str, str] = ("", "")
    sql: str = ""
    limit: float = 0.0
    drift: str = ""
    severity: Severity = "error"
    reads: frozenset[str] = frozenset()
    implied: bool = False

    @property
    def counts(self) -> bool:
        """Whether it only counts the rows of the table and of the published one."""
        return self.drift == "lost"

    @property
    def told(self) -> str:
        """All that it says, the same in every process."""
        return repr(replace(self, reads=frozenset()))


def with_lost(tests: tuple[DataTest, ...], source: str) -> tuple[DataTest, ...]:
    """The tests of a model, and one on rows that are lost, if none of them is."""
    if any(test.counts for test in tests):
        return tests
    lost = DataTest(
        name="drift_lost", kind="drift", drift="lost", source=source, limit=LOST, implied=True
    )
    return (*tests, lost)


def parse(
    settings: Settings, columns: tuple[str, ...], values: Mapping[str, Any]
) -> tuple[DataTest, ...]:
    """The tests under `tests:` of a prompt whose table has these columns; `values` are those of
    variables."""
    given = settings.values.get("tests")
    if given is None:
        return ()
    items = [{kind: said} for kind, said in given.items()] if isinstance(given, dict) else given
    if not isinstance(items, list):
        raise settings.wrong("tests", "must be a list of tests", hint=f"as in:\n{EXAMPLE}")
    found: list[DataTest] = []
    for item in items:
        for test in _item(_Item(settings, columns, values), item):
            found.append(replace(test, name=_free(test.name, {t.name.lower() for t in found})))
    return tuple(found)


def _free(name: str, taken: set[str]) -> str:
    """A name that no other test has: with a number, if need be.

    >>> _free("early", {"early", "early_2"})
    'early_3'
    """
    names = (name, *(f"{name}_{number}" for number in range(2, len(taken) + 3)))
    return next(each for each in names if each.lower() not in taken)


def conditions(settings: Settings) -> Iterator[str]:
    """The conditions under `tests:`, as written."""
    given = settings.values.get("tests")
    for item in given if isinstance(given, list) else ():
        said = item.get("check") if isinstance(item, dict) else item
        if isinstance(said, str):
            yield said


def from_file(
    text: str, severity: str, *, name: str, source: str, reads: frozenset[str]
) -> DataTest:
    """The test that a SQL file is: a SELECT of rows that should not be."""
    if severity not in get_args(Severity):
        hint = nearest(severity, get_args(Severity))
        raise ModelError(f"{source}: 'severity' cannot be '{severity}'", hint=hint)
    return DataTest(
        name=name, kind="sql", source=source, sql=text, severity=_severity(severity), reads=reads
    )


@dataclass(frozen=True)
class _Item:
    """Where an item of `tests:` stands."""

    settings: Settings
    columns: tuple[str, ...]
    values: Mapping[str, Any]

    def wrong(self, what: str, *, hint: str = f"as in:\n{EXAMPLE}") -> ModelError:
        problem = self.settings.wrong("tests", what, hint=hint)
        return ModelError(problem.message, hint=problem.hint)

    def column(self, word: object) -> str:
        """A column of the table as it is called there."""
        known = {column.lower(): column for column in self.columns}
        found = known.get(str(word).lower())
        if found is None:
            hint = nearest(str(word), self.columns)
            raise self.wrong(f"names '{word}', which is no column of the table", hint=hint)
        return found

    def test(self, kind: Kind, name: str, **more: Any) -> DataTest:  # noqa: ANN401
        """A test that stands here."""
        return DataTest(name=name, kind=kind, source=self.settings.source, **more)

    def share(self, kind: str, value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
            raise self.wrong(f"needs a share from 0 to 1 for '{kind}'", hint=f"{kind}: 0.98")
        return float(value)

    def mapping(self, kind: str, value: object, example: str) -> dict[str, Any]:
        if not isinstance(value, dict) or not value:
            raise self.wrong(f"needs columns for '{kind}'", hint=f"{kind}: {{{example}}}")
        return value


def _item(item: _Item, given: object) -> Iterator[DataTest]:
    """The tests that one item of the list means."""
    if isinstance(given, str):
        given = {"check": given}
    if not isinstance(given, dict):
        raise item.wrong(f"cannot hold '{given}'")
    kinds = [word for word in given if word in KINDS]
    for word in given:
        if word not in (*KINDS, *SETTINGS):
            raise item.wrong(f"has no test '{word}'", hint=nearest(str(word), (*KINDS, *SETTINGS)))
    if len(kinds) != 1:
        raise item.wrong("needs one kind of test in each item")
    severity, name = str(given.get("severity", "error")), str(given.get("name", ""))
    if severity not in get_args(Severity):
        hint = nearest(severity, get_args(Severity))
        raise item.wrong(f"has no severity '{severity}'", hint=hint)
    if name and not name.replace("_", "").isalnum():
        raise item.wrong(f"cannot call a test '{name}'", hint="letters, digits and _")
    tests = list(READERS[kinds[0]](item, given[kinds[0]]))
    for number, test in enumerate(tests):
        whole = f"{name}_{number + 1}" if len(tests) > 1 else name
        yield replace(test, severity=_severity(severity), name=whole if name else test.name)


def _severity(word: str) -> Severity:
    return "warn" if word == "warn" else "error"


def _unique(item: _Item, value: Any) -> Iterator[DataTest]:  # noqa: ANN401  # YAML's
    columns = tuple(map(item.column, _listed(value)))
    yield item.test("unique", f"unique_{'_'.join(columns)}", columns=columns)


def _not_null(item: _Item, value: Any) -> Iterator[DataTest]:  # noqa: ANN401
    for column in map(item.column, _listed(value)):
        yield item.test("not_null", f"not_null_{column}", columns=(column,))


def _accepted_values(item: _Item, value: Any) -> Iterator[DataTest]:  # noqa: ANN401
    for word, accepted in item.mapping("accepted_values", value, "mood: [light, dark]").items():
        column = item.column(word)
        if not isinstance(accepted, list) or not accepted:
            raise item.wrong(f"needs a list of values for '{word}'", hint=f"{word}: [a, b]")
        name = f"accepted_values_{column}"
        yield item.test("accepted_values", name, columns=(column,), values=tuple(accepted))


def _relationships(item: _Item, value: Any) -> Iterator[DataTest]:  # noqa: ANN401
    for word, target in item.mapping("relationships", value, "movie_id: movies.movie_id").items():
        column = item.column(word)
        table, _, field = str(target).rpartition(".")
        if not table or not field:
            what = f"needs a table and its column for '{word}'"
            raise item.wrong(what, hint=f"{word}: table.column")
        name = f"relationships_{column}"
        yield item.test("relationships", name, columns=(column,), target=(table, field))


def _min_ok(item: _Item, value: Any) -> Iterator[DataTest]:  # noqa: ANN401
    yield item.test("min_ok", "min_ok", limit=item.share("min_ok", value))


def _drift(item: _Item, value: Any) -> Iterator[DataTest]:  # noqa: ANN401
    for word, share in item.mapping("drift", value, "changed: 0.2").items():
        if word not in DRIFTS:
            raise item.wrong(f"has no drift of '{word}'", hint=nearest(str(word), DRIFTS))
        limit = item.share(str(word), share)
        yield item.test("drift", f"drift_{word}", limit=limit, drift=str(word))


def _check(item: _Item, value: Any) -> Iterator[DataTest]:  # noqa: ANN401
    """A condition that must not be false for any row."""
    from sqlglot import exp, parse
    from sqlglot.errors import SqlglotError

    written, source = str(value), item.settings.source
    line = item.settings.lines.get("tests", 1)
    sql = filled(written, item.values, source=source, line=line)
    try:
        (tree,) = [found for found in parse(sql, read="duckdb") if found]
    except (SqlglotError, RecursionError, ValueError) as problem:
        hint = "one condition on the table's columns: len(summary) < 200"
        raise item.wrong(f"cannot read '{written}'", hint=hint) from problem
    if isinstance(tree, exp.Query):
        hint = "a query of failing rows is a file of its own: tests/NAME.sql"
        raise item.wrong(f"cannot hold the query '{written}'", hint=hint)
    guard.check_expression(sql, source=source, line=None)
    slug = re.sub(r"\W+", "_", written.lower()).strip("_")[:40].rstrip("_")
    yield item.test("check", f"check_{slug}", sql=sql)


def _listed(value: Any) -> list[Any]:  # noqa: ANN401
    return value if isinstance(value, list) else [value]


READERS: dict[str, Callable[[_Item, Any], Iterator[DataTest]]] = {
    "unique": _unique,
    "not_null": _not_null,
    "accepted_values": _accepted_values,
    "relationships": _relationships,
    "check": _check,
    "min_ok": _min_ok,
    "drift": _drift,
}
"""How the value of each kind of test is read."""
