"""What all tests stand on."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from hypothesis import settings

if TYPE_CHECKING:
    import pytest

# Whoever starts the suite in the background has it ignore Ctrl-C, and so would every process that
# a test starts and interrupts.
signal.signal(signal.SIGINT, signal.default_int_handler)

# How long an example may take says nothing about it on a machine that does other work as well.
settings.register_profile("enrich", deadline=None)
settings.load_profile("enrich")


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--update`: write golden folders anew instead of comparing with them."""
    parser.addoption("--update", action="store_true", help="write golden folders anew")
