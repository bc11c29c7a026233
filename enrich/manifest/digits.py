"""Digits: JSON whose numbers keep all of their digits, which a float would round."""

from __future__ import annotations

import json
from decimal import Decimal, InvalidOperation
from typing import Any, NoReturn


def load_exact(text: str) -> Any:  # noqa: ANN401  # any JSON
    """Returns what a JSON text holds, its fractions as Decimals. Raises ValueError, also for NaN
    and Infinity, which are no JSON, and RecursionError for a text that is nested too deeply.

    >>> load_exact("0.1234567890123456789012345")
    Decimal('0.1234567890123456789012345')
    """
    return json.loads(text, parse_float=_read_fraction, parse_constant=_refuse_constant)


def dump_exact(value: object) -> str:
    """Returns JSON in one line, with every digit of a Decimal. Raises ValueError for NaN and
    Infinity, and RecursionError for what is nested too deeply.

    >>> dump_exact({"price": Decimal("123456789012345678.91"), "parts": [1, None, "a"]})
    '{"price": 123456789012345678.91, "parts": [1, null, "a"]}'
    """
    if isinstance(value, Decimal) and value.is_finite():
        return str(value)
    if isinstance(value, dict):
        pairs = (
            f"{json.dumps(str(name), ensure_ascii=False)}: {dump_exact(item)}"
            for name, item in value.items()
        )
        return f"{{{', '.join(pairs)}}}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(dump_exact, value))}]"
    if isinstance(value, Decimal):
        raise ValueError(f"{value} is no number of JSON")
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def _read_fraction(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation as problem:  # an exponent of many digits
        raise ValueError(f"{text:.40} is no number") from problem


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number of JSON")
