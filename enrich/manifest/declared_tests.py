"""The tests that a project declares: under `tests:` in the front matter of a prompt, and as SQL
files in its test folders, each of which tests every model that it reads."""

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
"""What an item of `tests:` may set besides its test."""


def parse_tests(
    settings: YamlSettings, columns: tuple[str, ...], values: Mapping[str, Any]
) -> tuple[DataTest, ...]:
    """Returns the tests under `tests:` of a prompt whose table has these columns. `values` are the
    values of variables. Raises ModelError."""
    given = settings.values.get("tests")
    if given is None:
        return ()
    items = [{kind: said} for kind, said in given.items()] if isinstance(given, dict) else given
    if not isinstance(items, list):
        hint = f"as in:\n{TESTS_EXAMPLE}"
        raise settings.make_error("tests", "must be a list of tests", hint=hint)
    found: list[DataTest] = []
    # Two conditions may get one name, which would also be the name of their tables of failing rows.
    # DuckDB ignores the case of those.
    for item in items:
        for test in _parse_item(DeclaredItem(settings, columns, values), item):
            name = _find_free_name(test.name, {known.name.lower() for known in found})
            found.append(replace(test, name=name))
    return tuple(found)


def find_conditions(settings: YamlSettings) -> Iterator[str]:
    """Yields the SQL under `tests:`, as written, and skips whatever is not a test."""
    # `parse_tests` reports mistakes. This only looks for variables, before it is called.
    given, types = settings.values.get("tests"), _list_types()
    for item in given if isinstance(given, list) else ():
        said = {"check": item} if isinstance(item, str) else item
        for word, value in said.items() if isinstance(said, dict) else ():
            if word in types:
                yield from types[word].find_conditions(value)


def read_test_file(
    text: str, severity: str, *, name: str, source: str, reads: frozenset[str]
) -> DataTest:
    """Returns the test in a SQL file, whose `text` is a SELECT of rows that should not exist and
    which `reads` these tables. Raises ModelError for a wrong `severity`."""
    if severity not in get_args(Severity):
        hint = nearest(severity, get_args(Severity))
        raise ModelError(f"{source}: 'severity' cannot be '{severity}'", hint=hint)
    return SqlTest(
        name=name, source=source, sql=text, severity=cast("Severity", severity), reads=reads
    )


def add_implied_tests(tests: tuple[DataTest, ...], source: str) -> tuple[DataTest, ...]:
    """Returns the tests of a model, with one on lost rows unless it has one of its own."""
    # A source that is empty by mistake would otherwise empty the published table.
    if any(test.counts for test in tests):
        return tests
    lost = LostDriftTest(name="drift_lost", source=source, limit=LOST_SHARE, implied=True)
    return (*tests, lost)


def _list_types() -> dict[str, DataTestType]:
    """Returns the types of tests by their keys under `tests:`."""
    return dict(zip(DATA_TEST_TYPES._fields, DATA_TEST_TYPES, strict=True))


def _find_free_name(name: str, taken: set[str]) -> str:
    """Returns a name that is not taken, with a number at its end if necessary.

    >>> _find_free_name("early", {"early", "early_2"})
    'early_3'
    """
    names = (name, *(f"{name}_{number}" for number in range(2, len(taken) + 3)))
    return next(each for each in names if each.lower() not in taken)


def _parse_item(item: DeclaredItem, given: object) -> Iterator[DataTest]:
    """Yields the tests that one item of the list stands for. Raises ModelError."""
    if isinstance(given, str) and given in _list_types() and given not in item.columns:
        form = (_list_types()[given].parse.__doc__ or "").partition(", a test")[0].rstrip(".")
        hint = f"write {form}" if form else f"as in:\n{TESTS_EXAMPLE}"
        raise item.error(f"needs more than '{given}'", hint=hint)
    if isinstance(given, str):
        given = {"check": given}
    if not isinstance(given, dict):
        raise item.error(f"cannot contain '{given}'")
    types = _list_types()
    known = (*types, *ITEM_SETTINGS)
    for word in given:
        if word not in known:
            raise item.error(f"has no test '{word}'", hint=nearest(str(word), known))
    kinds = [word for word in given if word in types]
    if len(kinds) != 1:
        raise item.error("needs exactly one kind of test in each item")
    severity, name = str(given.get("severity", "error")), str(given.get("name", ""))
    if severity not in get_args(Severity):
        hint = nearest(severity, get_args(Severity))
        raise item.error(f"has no severity '{severity}'", hint=hint)
    if name and not name.replace("_", "").isalnum():
        raise item.error(f"cannot call a test '{name}'", hint="letters, digits and _")
    tests = list(types[kinds[0]].parse(item, given[kinds[0]]))
    # An item may stand for several tests, which share the name that it sets, so they are numbered.
    for number, test in enumerate(tests):
        whole = f"{name}_{number + 1}" if len(tests) > 1 else name
        yield replace(test, severity=cast("Severity", severity), name=whole if name else test.name)
