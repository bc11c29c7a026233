"""Marks: what enrich makes in the warehouse carries a comment that says so, from what, and by which
ledger.

Nothing without one is ever replaced, nor anything that another project's ledger made; and nothing
is made twice from the same.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from enrich.db.quote import quote_name, quote_readably, quote_text
from enrich.errors import ProjectError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from enrich.db.database import Warehouse

MARK_START = "made by enrich from "
MARK_LEDGER = re.compile(r" \(ledger ([0-9a-f-]+)\)$")


def render_comment(database: Warehouse, source: str, about: str = "") -> str:
    """What is said of a table or view that this project made from `source`; what it is `about`
    comes first, for people."""
    made = f"{MARK_START}{source} (ledger {database.owner})"
    return f"{about.strip()}\n\n{made}" if about.strip() else made


def find_mark(comment: str) -> str:
    """The mark in a comment, without what the table is about; nothing where there is none."""
    _, found, rest = comment.rpartition(MARK_START)
    return found + rest


def is_ours(database: Warehouse, comment: str) -> bool:
    """Whether this project's ledger made it; an earlier enrich did not say which one did."""
    named = MARK_LEDGER.search(comment)
    return MARK_START in comment and (named is None or named[1] == database.owner)


def check_name_free(database: Warehouse, name: str, source: str, *, schema: str = "main") -> str:
    """Refuse a name that stands for what enrich did not make, or made from something else.

    Gives TABLE or VIEW if there is one that may be replaced, else nothing.
    """
    found = database.call("exists", schema=schema, name=name)
    if not found:
        return ""
    kind, said = found[0][0], find_mark(str(found[0][1] or ""))
    shown = quote_readably(name) if schema == "main" else quote_readably(schema, name)
    where = name if schema == "main" else f"{schema}.{name}"
    what = f"the warehouse has a {str(kind).lower()} '{where}'"
    if said and not is_ours(database, said):
        hint = f"give each project a warehouse of its own, or drop it: DROP {kind} {shown}"
        raise ProjectError(f"{what} that another project's ledger made", hint=hint)
    if not said.startswith(MARK_START + source):
        made_from = MARK_LEDGER.sub("", said).partition(":")[0]
        whose = f"it was {made_from}" if said else "enrich did not make it"
        hint = f"drop it (DROP {kind} {shown}) or rename the file"
        raise ProjectError(f"{what}: {whose}", hint=hint)
    return str(kind)


def clear_name(database: Warehouse, name: str, source: str) -> None:
    """Make room for a table or view."""
    kind = check_name_free(database, name, source)
    if kind:
        database.execute(f"DROP {kind} {quote_name('warehouse', 'main', name)}")


def mark_table(
    database: Warehouse,
    kind: str,
    schema: str,
    name: str,
    source: str,
    *,
    about: str = "",
    columns: Mapping[str, str] | None = None,
) -> None:
    """Say in a table's or view's comment that enrich made it, from what, and what it is `about`;
    and in those of its `columns` what they hold."""
    where = quote_name("warehouse", schema, name)
    said = render_comment(database, source, about)
    database.execute(f"COMMENT ON {kind} {where} IS {quote_text(said)}")
    for column, what in (columns or {}).items():
        database.execute(f"COMMENT ON COLUMN {where}.{quote_name(column)} IS {quote_text(what)}")
