"""Marks: what enrich makes in the warehouse carries a comment that says so, and from what.

Nothing without one is ever replaced, and nothing is made twice from the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from enrich.compiler import quote
from enrich.errors import ProjectError

if TYPE_CHECKING:
    from enrich.database import Database

MARK = "made by enrich from "


def check_free(database: Database, name: str, source: str, *, schema: str = "main") -> str:
    """Refuse a name that stands for what enrich did not make, or made from something else.

    Gives TABLE or VIEW if there is one that may be replaced, else nothing.
    """
    found = database.script("exists", schema=schema, name=name)
    if not found:
        return ""
    kind, comment = found[0]
    if not str(comment or "").startswith(MARK + source):
        made_from = str(comment or "").partition(":")[0]
        ours = made_from.startswith(MARK)
        whose = f"it was {made_from}" if ours else "enrich did not make it"
        shown = name if schema == "main" else f"{schema}.{name}"
        hint = f"drop it (DROP {kind} {shown}) or rename the file"
        what = f"the warehouse has a {str(kind).lower()} '{shown}': {whose}"
        raise ProjectError(what, hint=hint)
    return str(kind)


def cleared(database: Database, name: str, source: str) -> None:
    """Make room for a table or view."""
    kind = check_free(database, name, source)
    if kind:
        database.run(f"DROP {kind} {quote.name('warehouse', 'main', name)}")


def mark(database: Database, kind: str, schema: str, name: str, source: str) -> None:
    """Say in a table's or view's comment that enrich made it, and from what."""
    where = quote.name("warehouse", schema, name)
    database.run(f"COMMENT ON {kind} {where} IS {quote.text(MARK + source)}")
