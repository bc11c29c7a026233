"""Versions: the answers of one version of a model beside those of another, row by row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from enrich.compiler import viewing
from enrich.compiler.version import Version

if TYPE_CHECKING:
    from enrich.db.database import Both
    from enrich.view.rows import ShownRows


def compare_versions(
    database: Both,
    shown: ShownRows,
    versions: tuple[str, str],
    *,
    offset: int,
    limit: int,
    differing: bool,
) -> dict[str, Any]:
    """Returns rows that both versions have answered, with the cells of each side, and how often the
    cells of each column agree. Needs the ledger, and the rows as `shown`."""
    was, now = (Version.from_ledger(database, each) for each in versions)
    # Both sides are read as the later version's output: what it does not have cannot be compared.
    output, form = now.parsed_output, now.response_format
    for side, version in zip(("was", "now"), (was, now), strict=True):
        other = version.response_format
        form_of = other if (other == "text") != (form == "text") else form
        database.execute(
            viewing.render_version_answers(shown.model, side, output, form_of),
            version=version.id,
        )
    columns = [(column.name, column.type.is_list) for column in output.columns]
    database.execute(viewing.render_version_pairs(columns, shown.key))
    both, changed, *many = database.fetch_one(viewing.render_pair_counts(len(columns)))
    found = database.execute(
        "SELECT n, key, was, now, differs FROM temp._enrich_pairs "
        f"WHERE {'list_bool_or(differs)' if differing else 'true'} "
        f"ORDER BY n LIMIT {int(limit)} OFFSET {int(offset)}"
    )
    return {
        "columns": [name for name, _ in columns],
        "agreement": [
            {"column": name, "changed": odd, "share": 1 - odd / both if both else None}
            for (name, _), odd in zip(columns, many, strict=True)
        ],
        "both": both,
        "total": changed if differing else both,
        "rows": [
            {"n": n, "key": key, "was": old, "now": new, "differs": odd}
            for n, key, old, new, odd in found
        ],
        "diff": now.diff(was, called=was.id),
    }
