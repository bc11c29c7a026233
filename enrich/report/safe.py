"""What may be shown: text that cannot move a terminal's cursor or turn its writing round.

What servers and llms say, and what files hold, is shown through here only.
"""

from __future__ import annotations

import json
import re
import sys

CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def clean(text: str) -> str:
    """Text that cannot move a terminal's cursor or turn its writing round.

    >>> clean("a\\x1b[31mb")
    'a\\ufffd[31mb'
    """
    return CONTROL.sub("\ufffd", text)


def to_stdout(text: str) -> None:
    sys.stdout.write(clean(text))


def to_stderr(text: str) -> None:
    sys.stderr.write(clean(text))


ADVICE = {
    "truncated": "an answer without an end repeats itself, or needs more room: bound its text in "
    "`output:`, such as VARCHAR(200), or raise `max_tokens` under `params:`"
}
"""What helps, by outcome, where asking again alone does not."""


def query(sql: str) -> str:
    """The command that runs a query, for a shell.

    >>> print(query('FROM "cast"'))
    enrich sql 'FROM "cast"'
    """
    return f"enrich sql '{sql}'" if '"' in sql else f'enrich sql "{sql}"'


def as_json(value: object, indent: int | None = None) -> str:
    """JSON in letters that people read; what could move the cursor is escaped.

    >>> as_json(["é", "\x9b"])
    '["é", "\\\\u009b"]'
    """
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    return CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
