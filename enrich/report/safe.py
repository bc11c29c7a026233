"""What may be shown: text that cannot move a terminal's cursor or reverse its direction.

Whatever a server, an llm or a file says is shown only through this module.
"""

from __future__ import annotations

import json
import re
import sys
from contextvars import ContextVar

# The C0 and C1 controls except tab and newline: terminals may obey \x9b alone as they obey ESC [.
# Then the marks that change the direction of text, as in "Trojan Source" (CVE-2021-42574).
CONTROL_CHARACTERS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def clean_text(text: str) -> str:
    """Returns text in which what could move the cursor or reverse the text has been replaced.

    >>> clean_text("a\\x1b[31mb")
    'a\\ufffd[31mb'
    """
    return CONTROL_CHARACTERS.sub("\ufffd", text)


def write_stdout(text: str) -> None:
    """Write clean text to stdout."""
    sys.stdout.write(clean_text(text))


ONLY_ERRORS: ContextVar[bool] = ContextVar("ONLY_ERRORS", default=False)
"""Whether the user wants to read errors alone on stderr."""


def write_note(text: str) -> None:
    """Write clean text that is about no error to stderr, unless errors alone are wanted."""
    if not ONLY_ERRORS.get():
        write_stderr(text)


def write_stderr(text: str) -> None:
    """Write clean text to stderr."""
    sys.stderr.write(clean_text(text))


OUTCOME_ADVICE = {
    "truncated": "an answer without an end repeats itself, or needs more room: limit its text in "
    "`output:`, such as VARCHAR(200), or raise `max_tokens` under `params:`"
}
"""What to change, by outcome, where asking again is not enough."""


def format_query_command(sql: str) -> str:
    """Returns the command that runs a query, quoted for a shell.

    >>> print(format_query_command('FROM "cast"'))
    enrich sql 'FROM "cast"'
    """
    return f"enrich sql '{sql}'" if '"' in sql else f'enrich sql "{sql}"'


def format_json(value: object, indent: int | None = None) -> str:
    """Returns JSON that people can read; only what could move the cursor is escaped.

    >>> format_json(["é", "\x9b"])
    '["é", "\\\\u009b"]'
    """
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    return CONTROL_CHARACTERS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
