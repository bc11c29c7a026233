"""Marks: custom_ids that say which intent their batch belongs to.

A batch at Anthropic has no metadata. So each of its requests is called `iTAG-ID`: after a create
whose answer was lost, the first line of a batch's results tells whose batch it is. An ID that does
not fit is replaced by the request's number: `nTAG-NUMBER`.
"""

from __future__ import annotations

import re
from hashlib import sha256
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

TAG_LENGTH = 12
LONGEST_CUSTOM_ID = 64
"""Characters; with its alphabet, what Anthropic accepts (anthropic-sdk-python#984)."""
FITTING = re.compile(rf"[A-Za-z0-9_-]{{1,{LONGEST_CUSTOM_ID - TAG_LENGTH - 2}}}")
MARKED = re.compile(rf"(?P<way>[in])(?P<tag>[0-9a-f]{{{TAG_LENGTH}}})-(?P<rest>.+)", re.S)


def make_tag(intent: str) -> str:
    """Returns the tag of an intent.

    >>> make_tag("one")
    '7692c3ad3540'
    """
    return sha256(intent.encode()).hexdigest()[:TAG_LENGTH]


def fits(custom_id: str) -> bool:
    """Whether a custom_id can follow a tag as it is."""
    return FITTING.fullmatch(custom_id) is not None


def mark_id(tag: str, number: int, custom_id: str) -> str:
    """Returns the custom_id of the request with this number in its file.

    >>> mark_id("7692c3ad3540", 3, "row-1"), mark_id("7692c3ad3540", 3, "a row")
    ('i7692c3ad3540-row-1', 'n7692c3ad3540-3')
    """
    return f"i{tag}-{custom_id}" if fits(custom_id) else f"n{tag}-{number}"


def read_tag(marked: object) -> str:
    """Returns the tag of a marked custom_id; "" for any other value."""
    found = MARKED.fullmatch(marked) if isinstance(marked, str) else None
    return found["tag"] if found else ""


def restore_id(marked: str, replaced: Mapping[str, str]) -> str:
    """Returns the custom_id that was marked. `replaced` holds those that do not fit, by number.

    >>> restore_id("i7692c3ad3540-row-1", {}), restore_id("n7692c3ad3540-3", {"3": "a row"})
    ('row-1', 'a row')
    """
    found = MARKED.fullmatch(marked)
    if not found:
        return marked
    return found["rest"] if found["way"] == "i" else replaced.get(found["rest"], marked)
