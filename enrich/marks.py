"""Marks: what enrich makes in the warehouse carries a comment that says so, from what, and by which
ledger.

Nothing without one is ever replaced, nor anything that another project's ledger made; and nothing
is made twice from the same.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from enrich.compiler import quote
from enrich.errors import ProjectError

if TYPE_CHECKING:
    from enrich.database import Database

MARK = "made by enrich from "
LEDGER = re.compile(r" \(ledger ([0-9a-f-]+)\)$")


def comment(database: Database, source: str) -> str:
    """What is said of a table or view that this project made from `source`."""
    return f"{MARK}{source} (ledger {database.owner})"


def is_ours(database: Database, comment: str) -> bool:
    """Whether this project's ledger made it; an earlier enrich did not say which one did."""
    named = LEDGER.search(comment)
    return comment.startswith(MARK) and (named is None or named[1] == database.owner)


def check_free(database: Database, name: str, source: str, *, schema: str = "main") -> str:
    """Refuse a name that stands for what enrich did not make, or made from something else.

    Gives TABLE or VIEW if there is one that may be replaced, else nothing.
    """
    found = database.script("exists", schema=schema, name=name)
    if not found:
        return ""
    kind, said = found[0][0], str(found[0][1] or "")
    shown = name if schema == "main" else f"{schema}.{name}"
    what = f"the warehouse has a {str(kind).lower()} '{shown}'"
    if said.startswith(MARK) and not is_ours(database, said):
        hint = f"give each project a warehouse of its own, or drop it: DROP {kind} {shown}"
        raise ProjectError(f"{what} that another project's ledger made", hint=hint)
    if not said.startswith(MARK + source):
        made_from = LEDGER.sub("", said).partition(":")[0]
        whose = f"it was {made_from}" if said.startswith(MARK) else "enrich did not make it"
        hint = f"drop it (DROP {kind} {shown}) or rename the file"
        raise ProjectError(f"{what}: {whose}", hint=hint)
    return str(kind)


def cleared(database: Database, name: str, source: str) -> None:
    """Make room for a table or view."""
    kind = check_free(database, name, source)
    if kind:
        database.run(f"DROP {kind} {quote.name('warehouse', 'main', name)}")


def mark(database: Database, kind: str, schema: str, name: str, source: str) -> None:
    """Say in a table's or view's comment that enrich made it, and from what."""
    where = quote.name("warehouse", schema, name)
    database.run(f"COMMENT ON {kind} {where} IS {quote.text(comment(database, source))}")
