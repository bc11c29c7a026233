"""Packs: requests with several numbered inputs, as an llm that follows its instructions sees them.

The schema asks for `answers`, a list of objects with a number `n` and an `answer`; each input in
the last message is below a line `### ` with its number.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from enrich.rehearsal.dice import Dice

NUMBER_LINE = re.compile(r"^### (\d+)$", re.MULTILINE)


def find_item_schema(schema: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Returns the schema of the answer to one input; None if this is not the schema of a pack."""
    answers = (schema.get("properties") or {}).get("answers") or {}
    items = answers.get("items") if isinstance(answers, dict) else None
    found = items.get("properties") if isinstance(items, dict) else None
    if not isinstance(found, dict) or found.keys() != {"n", "answer"}:
        return None
    return dict(found["answer"])


def list_numbers(body: Mapping[str, Any]) -> list[int]:
    """Returns the numbers of the inputs in the last message."""
    messages = body.get("messages") or body.get("input")
    last = messages[-1] if isinstance(messages, list) and messages else {}
    content = last.get("content") if isinstance(last, dict) else None
    return [
        int(found) for found in NUMBER_LINE.findall(content if isinstance(content, str) else "")
    ]


def leave_out(value: dict[str, Any], dice: Dice) -> dict[str, Any]:
    """Returns the answer to a pack without one of its inputs, or with another one twice."""
    answers = list(value["answers"])
    gone = dice.draw_below(len(answers))
    kept = [each for number, each in enumerate(answers) if number != gone]
    return {"answers": [*kept, *(kept[:1] if dice.throw() < 0.5 else [])]}
