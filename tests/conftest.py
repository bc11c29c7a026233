"""What all tests stand on."""

from __future__ import annotations

import signal

from hypothesis import settings

# Whoever starts the suite in the background has it ignore Ctrl-C, and so would every process that
# a test starts and interrupts.
signal.signal(signal.SIGINT, signal.default_int_handler)

# How long an example may take says nothing about it on a machine that does other work as well.
settings.register_profile("enrich", deadline=None)
settings.load_profile("enrich")
