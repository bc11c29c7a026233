"""What all tests stand on."""

from __future__ import annotations

import signal

# Whoever starts the suite in the background has it ignore Ctrl-C, and so would every process that
# a test starts and interrupts.
signal.signal(signal.SIGINT, signal.default_int_handler)
