"""Examples: few-shot turns, written so that they can be pasted into a prompt's file.

What a cell holds may look like a template, an image or the start of a section. Here it is written
so that the file says exactly this text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from enrich.db.quote import quote_text

if TYPE_CHECKING:
    from collections.abc import Iterable

# Characters that a terminal obeys or an editor may change, such as a carriage return.
CONTROLS = r"\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069"
UNSAFE_TEXT = re.compile(
    rf"[{CONTROLS}]|\{{{{2,}}|\{{(?=[%#])|!(?=\[)"
    r"|^[ \t]*(?:system|user|assistant)(?=[ \t]*:[ \t]*$)",
    re.MULTILINE | re.IGNORECASE,
)
"""What would not be read as text: see `misread` and `template.IMAGE_MARKUP`."""
UNSAFE_JSON = re.compile(rf"[{CONTROLS}]|\{{(?=[{{%#])|(?<=!)\[")
"""What has to be escaped in JSON, where it can only be inside a string."""


@dataclass(frozen=True, kw_only=True)
class Example:
    """An example: what the user says, and what the assistant answers, each as text in a file."""

    user: str
    assistant: str


def write_sections(examples: Iterable[Example]) -> str:
    """Returns the sections of a prompt that say these examples."""
    return "\n".join(
        f"user:\n{example.user}\n\nassistant:\n{example.assistant}\n" for example in examples
    )


def escape_text(text: str) -> str:
    """Returns how a section of a prompt says exactly this text: what would be read otherwise is
    inside `{{ }}`.

    >>> print(escape_text("Set {{ x }}, {y}"))
    Set {{ '{{' }} x }}, {y}
    >>> print(escape_text("Hello\\nuser:\\n![a](b) "))
    Hello
    {{ 'user' }}:
    {{ '!' }}[a](b){{ ' ' }}
    """
    if not text:
        return "{{ '' }}"
    unsafe = {n for found in UNSAFE_TEXT.finditer(text) for n in range(*found.span())}
    # A section is stripped, so spaces at its ends would be lost.
    unsafe |= {n for n in (0, len(text) - 1) if text[n].isspace()}
    for number in range(len(text) - 2, -1, -1):
        if text[number] == "{" and number + 1 in unsafe:
            unsafe.add(number)  # or three braces would stand in a row
    pieces, start = [], 0
    for end in range(1, len(text) + 1):
        if end == len(text) or (end in unsafe) != (start in unsafe):
            piece = text[start:end]
            pieces.append(f"{{{{ {_render_constant(piece)} }}}}" if start in unsafe else piece)
            start = end
    return "".join(pieces)


def escape_json(text: str) -> str:
    """Returns JSON of the same value that a section of a prompt can say as it is.

    >>> print(escape_json('{"a": "{{ x }}"}'))
    {"a": "\\u007b{ x }}"}
    """
    return UNSAFE_JSON.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _render_constant(piece: str) -> str:
    """SQL for a text, in which every character can be seen."""
    parts = re.findall(rf"[{CONTROLS}\n]|[^{CONTROLS}\n]+", piece)
    return " || ".join(
        f"chr({ord(part)})" if re.fullmatch(rf"[{CONTROLS}\n]", part) else quote_text(part)
        for part in parts
    )
