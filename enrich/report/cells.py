"""Cells: values as DuckDB's own shell writes them, not as Python does."""

from __future__ import annotations

import math
import struct
from datetime import timedelta
from typing import Any

MANY_NUMBERS = 16
"""The longest list of numbers that people read as numbers."""
DAY = timedelta(days=1)
QUOTED_BYTES = b"\\'\""
"""Bytes that DuckDB writes as an escape although they can be seen."""


def narrow_value(value: Any, kind: str) -> Any:  # noqa: ANN401  # any SQL value
    """Returns a value of the SQL type `kind`: of a FLOAT, Python has the nearest DOUBLE, such as
    0.10000000149011612 for 0.1."""
    if kind == "FLOAT" and isinstance(value, float):
        return _round_single(value)
    # Nobody reads the numbers of an embedding, and rounding them would take seconds.
    if kind.startswith("FLOAT[") and isinstance(value, (list, tuple)) and len(value) < MANY_NUMBERS:
        return [narrow_value(item, "FLOAT") for item in value]
    return value


def _round_single(value: float) -> float:
    """Returns the shortest number that is the same FLOAT.

    >>> _round_single(0.10000000149011612)
    0.1
    """
    if not math.isfinite(value):
        return value
    packed = struct.pack("f", value)
    shorter = (float(f"{value:.{digits}g}") for digits in range(6, 9))
    return next(
        (each for each in shorter if struct.pack("f", each) == packed), float(f"{value:.9g}")
    )


def write_bytes(value: bytes) -> str:
    r"""Returns a BLOB as text.

    >>> print(write_bytes(b"it's \x00"))
    it\x27s \x00
    """
    return "".join(
        chr(byte) if 32 <= byte < 127 and byte not in QUOTED_BYTES else f"\\x{byte:02X}"
        for byte in value
    )


def write_interval(value: timedelta) -> str:
    """Returns an INTERVAL as text. Python's client has made its months to 30 days each.

    >>> write_interval(timedelta(days=1, seconds=62)), write_interval(timedelta(hours=-1))
    ('1 day 00:01:02', '-01:00:00')
    """
    sign = "-" if value < timedelta() else ""
    days, rest = divmod(abs(value), DAY)
    minutes, seconds = divmod(rest.seconds, 60)
    clock = f"{sign}{minutes // 60:02}:{minutes % 60:02}:{seconds:02}"
    if rest.microseconds:
        clock += f".{rest.microseconds:06}".rstrip("0")
    words = [f"{sign}{days} day{'' if days == 1 else 's'}"] if days else []
    return " ".join([*words, clock] if rest or not days else words)
