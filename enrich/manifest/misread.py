"""Misread: what a prompt's author means as a role or as a template, but enrich would send as text.

A role that is not recognized loses a message without a word, so it is refused. What is really meant
as text can be said by an expression, such as `{{ 'User:' }}`.
"""

from __future__ import annotations

import re

from enrich.errors import ModelError
from enrich.manifest.template import mask_expressions

JINJA_BLOCK = re.compile(r"\{%.*?%\}|\{#.*?#\}", re.DOTALL)
"""What the template language of dbt has besides `{{ }}`."""
ROLE_LINE = re.compile(r"^(system|user|assistant):[ \t]*$", re.MULTILINE)
"""The start of a section."""
ALMOST_ROLE_LINE = re.compile(
    r"^[ \t]*(system|user|assistant)[ \t]*:[ \t]*$", re.MULTILINE | re.IGNORECASE
)
ROLE_AND_TEXT = re.compile(
    r"^[ \t]*(system|user|assistant)[ \t]*:[ \t]*\S.*", re.MULTILINE | re.IGNORECASE
)


def check_body(body: str, *, source: str, line: int, embeds: bool) -> None:
    """Refuse what would be misread in the text of a prompt, which starts at `line` of the file.
    `embeds`: it is the text of an embedding, which has no roles. Raises ModelError."""
    said = mask_expressions(body)

    def locate(found: re.Match[str]) -> str:
        start = found.start() + len(found[0]) - len(found[0].lstrip())
        return f"{source}:{line + said.count(chr(10), 0, start)}"

    if (jinja := JINJA_BLOCK.search(said)) is not None:
        hint = (
            "{{ }} holds DuckDB expressions, such as {{ CASE WHEN ... END }}; "
            f"as text, write {{{{ '{jinja[0][:2]}' }}}}"
        )
        tag = jinja[0].split("\n")[0]
        raise ModelError(f"{locate(jinja)}: {tag} is Jinja, which enrich does not read", hint=hint)
    roles = {found.start() for found in ROLE_LINE.finditer(said)}
    for found in ALMOST_ROLE_LINE.finditer(said):
        if found.start() not in roles:
            role, words = found[1].lower(), found[0].strip()
            hint = f"write `{role}:` at the start of the line; as text, write {{{{ '{words}' }}}}"
            what = f"'{words}' does not start a message"
            raise ModelError(f"{locate(found)}: {what}", hint=hint)
    # In a prompt that has sections, such a line is one of a conversation that the prompt shows.
    together = ROLE_AND_TEXT.search(said) if not (roles or embeds) else None
    if together is not None:
        role = together[1].lower()
        hint = (
            f"write `{role}:` on a line of its own, and the text below it; "
            f"as text, write {{{{ '{together[1]}:' }}}}"
        )
        what = f"'{together[1]}:' does not start a message, because text follows it"
        raise ModelError(f"{locate(together)}: {what}", hint=hint)
