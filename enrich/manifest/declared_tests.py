"""The tests that a project declares: under `tests:` of a prompt's front matter, and as SQL files in
its test folders, each a test of every model it reads."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast, get_args

from enrich.errors import ModelError, nearest
from enrich.manifest.data_test import TESTS_EXAMPLE, DeclaredItem, Severity
from enrich.manifest.data_test_types import DATA_TEST_TYPES, LOST_SHARE, LostDriftTest, SqlTest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from enrich.manifest.data_test import DataTest, DataTestType
    from enrich.manifest.settings import YamlSettings

ITEM_SETTINGS = ("name", "severity")
"""What an item of `tests:` may say beside its test."""


def parse_tests(
    settings: YamlSettings, columns: tuple[str, ...], values: Mapping[str, Any]
) -> tuple[DataTest, ...]:
    """The tests under `tests:` of a prompt whose table has these columns; `values` are those of
    variables."""
    given = settings.values.get("tests")
    if given is None:
        return ()
    items = [{kind: said} for kind, said in given.items()] if isinstance(given, dict) else given
    if not isinstance(items, list):
        hint = f"as in:\n{TESTS_EXAMPLE}"
        raise settings.make_error("tests", "must be a list of tests", hint=hint)
    found: list[DataTest] = []
    # DuckDB tells the tables of failing rows apart without regard to case.
    for item in items:
        for test in _parse_item(DeclaredItem(settings, columns, values), item):
            name = _find_free_name(test.name, {known.name.lower() for known in found})
            found.append(replace(test, name=name))
    return tuple(found)


def find_conditions(settings: YamlSettings) -> Iterator[str]:
    """The SQL under `tests:`, as written; of what is no test, nothing."""
    given, types = settings.values.get("tests"), _list_types()
    for item in given if isinstance(given, list) else ():
        said = {"check": item} if isinstance(item, str) else item
        for word, value in said.items() if isinstance(said, dict) else ():
            if word in types:
                yield from types[word].find_conditions(value)


def read_test_file(
    text: str, severity: str, *, name: str, source: str, reads: frozenset[str]
) -> DataTest:
    """The test that a SQL file is: a SELECT of rows that should not be."""
    if severity not in get_args(Severity):
        hint = nearest(severity, get_args(Severity))
        raise ModelError(f"{source}: 'severity' cannot be '{severity}'", hint=hint)
    return SqlTest(
        name=name, source=source, sql=text, severity=cast("Severity", severity), reads=reads
    )


def add_implied_tests(tests: tuple[DataTest, ...], source: str) -> tuple[DataTest, ...]:
    """The tests of a model, and one on rows that are lost, if none of them is."""
    if any(test.counts for test in tests):
        return tests
    lost = LostDriftTest(name="drift_lost", source=source, limit=LOST_SHARE, implied=True)
    return (*tests, lost)


def _list_types() -> dict[str, DataTestType]:
    """The types of tests by the words that they go by."""
    return dict(zip(DATA_TEST_TYPES._fields, DATA_TEST_TYPES, strict=True))


def _find_free_name(name: str, taken: set[str]) -> str:
    """A name that no other test has: with a number, if need be.

    >>> _find_free_name("early", {"early", "early_2"})
    'early_3'
    """
    names = (name, *(f"{name}_{number}" for number in range(2, len(taken) + 3)))
    return next(each for each in names if each.lower() not in taken)


def _parse_item(item: DeclaredItem, given: object) -> Iterator[DataTest]:
    """The tests that one item of the list means."""
    if isinstance(given, str):
        given = {"check": given}
    if not isinstance(given, dict):
        raise item.error(f"cannot hold '{given}'")
    types = _list_types()
    known = (*types, *ITEM_SETTINGS)
    for word in given:
        if word not in known:
            raise item.error(f"has no test '{word}'", hint=nearest(str(word), known))
    kinds = [word for word in given if word in types]
    if len(kinds) != 1:
        raise item.error("needs one kind of test in each item")
    severity, name = str(given.get("severity", "error")), str(given.get("name", ""))
    if severity not in get_args(Severity):
        hint = nearest(severity, get_args(Severity))
        raise item.error(f"has no severity '{severity}'", hint=hint)
    if name and not name.replace("_", "").isalnum():
        raise item.error(f"cannot call a test '{name}'", hint="letters, digits and _")
    tests = list(types[kinds[0]].parse(item, given[kinds[0]]))
    # An item may mean several tests; the name that it gives them is told apart by a number.
    for number, test in enumerate(tests):
        whole = f"{name}_{number + 1}" if len(tests) > 1 else name
        yield replace(test, severity=cast("Severity", severity), name=whole if name else test.name)
