"""Versions: the answers of one version of a model beside those of another, row by row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from enrich.compiler import viewing
from enrich.compiler.version import Version
from enrich.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from enrich.db.database import Both
    from enrich.view.rows import ShownRows


@dataclass(frozen=True, kw_only=True)
class PairedRows:
    """The rows that two versions have both answered, in a database of their own: `both` in all, of
    which `changed` differ, and in each of the `columns` as many as `differing` says."""

    path: Path
    columns: tuple[str, ...]
    both: int
    changed: int
    differing: tuple[int, ...]
    diff: str

    def find_page(self, *, offset: int, limit: int, differing: bool) -> dict[str, Any]:
        """Returns some of the rows, or of those that differ: for each its number, its key, the
        cells of each side as texts, and which of them differ."""
        import duckdb

        condition = "list_bool_or(differs)" if differing else "true"
        with duckdb.connect(str(self.path), read_only=True) as connection:
            found = connection.execute(
                f"SELECT n, key, was, now, differs FROM pairs WHERE {condition} "
                f"ORDER BY n LIMIT {int(limit)} OFFSET {int(offset)}"
            ).fetchall()
        return {
            "columns": list(self.columns),
            "agreement": [
                {
                    "column": column,
                    "changed": many,
                    "share": 1 - many / self.both if self.both else None,
                }
                for column, many in zip(self.columns, self.differing, strict=True)
            ],
            "both": self.both,
            "total": self.changed if differing else self.both,
            "rows": [
                {"n": n, "key": key, "was": was, "now": now, "differs": differs}
                for n, key, was, now, differs in found
            ],
            "diff": self.diff,
        }


def pair_versions(
    database: Both, shown: ShownRows, versions: tuple[str, str], *, folder: Path
) -> PairedRows:
    """Put the answers of two versions side by side, in a new database in `folder`. Both are read as
    the later version's output.

    Needs the ledger, and the rows as `shown`. Raises InputError if one is text and the other JSON.
    """
    was, now = (Version.from_ledger(database, each) for each in versions)
    output, form = now.parsed_output, now.response_format
    if not now.can_read(was):
        message = f"the answers of {was.id} and {now.id} cannot be compared"
        raise InputError(message, hint="one of them is text, and the other JSON")
    for side, version in zip(("was", "now"), (was, now), strict=True):
        database.execute(
            viewing.render_version_answers(shown.model, side, output, form),
            version=version.id,
        )
    columns = [(column.name, column.type.is_list) for column in output.columns]
    path = folder / f"{uuid4().hex}.duckdb"
    database.attach(path, "paired")
    try:
        database.execute(viewing.render_version_pairs(columns, shown.key))
        both, changed, *differing = database.fetch_one(viewing.render_pair_totals(len(columns)))
    finally:
        database.execute("DETACH paired")
    return PairedRows(
        path=path,
        columns=tuple(name for name, _ in columns),
        both=both,
        changed=changed,
        differing=tuple(differing),
        diff=now.diff(was, called=was.id),
    )
