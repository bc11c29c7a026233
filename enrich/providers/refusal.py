"""Refusals: which part of a request a server says that it does not take.

Servers agree on no wording (OpenAI's are "Unsupported parameter: 'max_tokens' is not supported with
this model. Use 'max_completion_tokens' instead." and "Unrecognized request argument supplied:
reasoning_effort"; Gemini says 'Unknown name "seed": Cannot find field.'), so their words are
searched for what the request itself has.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

REFUSING_WORDS = re.compile(
    r"unsupported|not support|not permitted|not allowed|not available|unavailable|unrecognized"
    r"|unknown (?:name|parameter|argument|field|variant)|unexpected|forbidden|cannot find field"
    r"|invalid (?:parameter|value|argument|type|content)|must be|only supported|only the default"
    r"|found that support",
    re.I,
)
INSTEAD = re.compile(r"(?:use|moved to) ['\"`]([\w.]+)['\"`]", re.I)
SUPPORTED_VALUES = re.compile(r"supported values are:?\s*(.+?)\.?\s*$", re.I)
# Not "You uploaded an unsupported image", which is about one row.
IMAGE_WORDS = re.compile(
    r"(?:not support|found that support|unknown variant|unsupported content type)[^.]{0,60}"
    r"(?:image|vision)|(?:image_url|images?|vision)[^.]{0,40}(?:only|not) supported",
    re.I,
)
SENT_KEYS = ("response_format", "service_tier", "text.format")
"""What enrich itself writes into requests and servers may not know."""
IMAGE = "image"


@dataclass(frozen=True, kw_only=True)
class RequestRefusal:
    """What a server does not take: the name of a parameter, one of SENT_KEYS, or IMAGE; what it
    wants `instead`, and the `values` that it does take, in its own words ("": it does not say)."""

    part: str
    instead: str = ""
    values: str = ""


def read_refusal(words: str, params: Iterable[str]) -> RequestRefusal | None:
    """Returns what a server refuses of a request with these parameters, by its `words`; None if
    they are about something else.

    >>> read_refusal("Unknown parameter: 'seed'.", ["seed"])
    RequestRefusal(part='seed', instead='', values='')
    >>> read_refusal("The seed was not sown.", ["seed"])
    """
    if not REFUSING_WORDS.search(words):
        return None
    places = {
        match.start(): name
        for name in (*params, *SENT_KEYS)
        if (match := re.search(rf"(?<![\w.]){re.escape(name)}(?!\w)", words))
    }
    if not places:
        return RequestRefusal(part=IMAGE) if IMAGE_WORDS.search(words) else None
    instead, values = INSTEAD.search(words), SUPPORTED_VALUES.search(words)
    return RequestRefusal(
        part=places[min(places)],  # the first: a later one may be the advice
        instead=instead[1] if instead else "",
        values=values[1] if values else "",
    )
