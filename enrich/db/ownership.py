"""Marks: comments on the tables and views that enrich creates, with their source and ledger.

Nothing without a mark is ever replaced, nor anything created by another project's ledger; and
nothing is created twice from the same source.
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
    """Returns the comment for a table or view that this project creates from `source`; what it is
    `about` comes first, for people."""
    made = f"{MARK_START}{source} (ledger {database.owner})"
    return f"{about.strip()}\n\n{made}" if about.strip() else made


def find_mark(comment: str) -> str:
    """Returns the mark in a comment, without what the table is about; "" if there is none."""
    # The last one counts: what a model is about is the user's own text, and may quote a mark.
    _, found, rest = comment.rpartition(MARK_START)
    return found + rest


def is_ours(database: Warehouse, comment: str) -> bool:
    """Whether this project's ledger created what has this comment."""
    # Marks of an earlier enrich name no ledger. They count as ours: otherwise an upgrade would not
    # replace any table.
    named = MARK_LEDGER.search(comment)
    return MARK_START in comment and (named is None or named[1] == database.owner)


def check_name_free(database: Warehouse, name: str, source: str, *, schema: str = "main") -> str:
    """Returns TABLE or VIEW if the name belongs to one that may be replaced, and "" if it is free.

    Raises ProjectError if enrich did not create what has the name, created it from something other
    than `source`, or did so for another project.
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
        raise ProjectError(f"{what} created by another project's ledger", hint=hint)
    if not said.startswith(MARK_START + source):
        made_from = MARK_LEDGER.sub("", said).partition(":")[0]
        whose = f"it was {made_from}" if said else "enrich did not create it"
        hint = f"drop it (DROP {kind} {shown}) or rename the file"
        raise ProjectError(f"{what}: {whose}", hint=hint)
    return str(kind)


def clear_name(database: Warehouse, name: str, source: str) -> None:
    """Drop the table or view of this name that enrich created from `source`, if there is one.

    Raises ProjectError as `check_name_free` does.
    """
    # A view cannot replace a table, nor a table a view: CREATE OR REPLACE fails in DuckDB.
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
    """Write the comment of a table or view: that enrich created it, from what, and what it is
    `about`. `columns` holds the comments of its columns."""
    where = quote_name("warehouse", schema, name)
    said = render_comment(database, source, about)
    database.execute(f"COMMENT ON {kind} {where} IS {quote_text(said)}")
    for column, what in (columns or {}).items():
        database.execute(f"COMMENT ON COLUMN {where}.{quote_name(column)} IS {quote_text(what)}")
