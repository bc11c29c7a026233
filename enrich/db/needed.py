"""Needed: which of the user's other databases SQL names, so that no other one is opened for it.

A database that is missing, damaged or held by another program must not stop what never reads it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from enrich.db.attached import AttachedDatabase
    from enrich.db.database import Database

COMMENT_LINE = re.compile(r"^\s*--.*$", re.MULTILINE)
"""Such as `-- publish: lake`, which reads nothing."""
KEPT_SQL = """SELECT view_name, sql FROM duckdb_views()
WHERE database_name = 'warehouse' AND NOT internal
UNION ALL SELECT function_name, macro_definition FROM duckdb_functions()
WHERE database_name = 'warehouse' AND macro_definition IS NOT NULL"""


def find_needed(
    database: Database, attached: Sequence[AttachedDatabase], texts: Iterable[str], *, kept: bool
) -> tuple[AttachedDatabase, ...]:
    """Returns the databases whose names occur in SQL, or in a view or macro of the warehouse that
    it names, if the warehouse is attached (`kept`). A name counts wherever it occurs."""
    said = COMMENT_LINE.sub("", "\n".join(texts))
    if not said or not attached:
        return ()
    left: dict[str, list[str]] = {}
    for name, sql in database.execute(KEPT_SQL) if kept else ():
        left.setdefault(name, []).append(sql or "")  # a macro may have several definitions
    while named := [name for name in left if _occurs(name, said)]:
        said = "\n".join((said, *(sql for name in named for sql in left.pop(name))))
    return tuple(each for each in attached if _occurs(each.name, said))


def _occurs(name: str, text: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text, re.IGNORECASE) is not None
