"""What all tests stand on."""

from __future__ import annotations

import signal
from collections import Counter
from typing import TYPE_CHECKING

from hypothesis import settings

if TYPE_CHECKING:
    import pytest

# Whoever starts the suite in the background has it ignore Ctrl-C, and so would every process that
# a test starts and interrupts.
signal.signal(signal.SIGINT, signal.default_int_handler)

# How long an example may take says nothing about it on a machine that does other work as well.
settings.register_profile("enrich", deadline=None, max_examples=30)
settings.register_profile("thorough", deadline=None, max_examples=200)
settings.load_profile("enrich")


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--update`: write golden folders anew instead of comparing with them. `--thorough`: run the
    cases that `few` leaves out as well, and more examples of each property."""
    parser.addoption("--update", action="store_true", help="write golden folders anew")
    parser.addoption("--thorough", action="store_true", help="run every case of every test")


def pytest_configure(config: pytest.Config) -> None:
    """More examples for properties with `--thorough`."""
    if config.getoption("thorough"):
        settings.load_profile("thorough")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Of a test with the mark `few(n)`, leave out all cases after the first n."""
    if config.getoption("thorough"):
        return
    seen: Counter[str] = Counter()
    left_out = []
    for item in items:
        mark = item.get_closest_marker("few")
        test = item.nodeid.partition("[")[0]
        seen[test] += 1
        if mark is not None and seen[test] > mark.args[0]:
            left_out.append(item)
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in set(left_out)]
