"""Parts: the tables of the ledger, intact or damaged, their export, and what a vacuum saves."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from enrich.db.disk import format_bytes
from enrich.errors import count_nouns
from enrich.report.safe import clean_text, format_json, write_note, write_stderr, write_stdout
from enrich.report.text import print_table

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from enrich.ledger.compaction import Saving
    from enrich.ledger.export import Export
    from enrich.ledger.integrity import Part


def print_parts(parts: Sequence[Part]) -> None:
    """Print a line for each table of the ledger, and what is wrong with it."""
    cells = [[each.table, f"{each.rows:,}", "; ".join(each.faults) or "ok"] for each in parts]
    print_table(["table", "rows", "state"], cells, right={1})


def print_parts_json(parts: Sequence[Part]) -> None:
    """Print one JSON array."""
    write_stdout(format_json([asdict(each) for each in parts], indent=2) + "\n")


def print_ledger_damage(ledger: Path, parts: Sequence[Part]) -> None:
    """Print that the ledger is damaged, and what to do about it."""
    write_stderr(f"\nerror: {clean_text(str(ledger))} is damaged\n")
    way = "`enrich ledger import DIR --replace` restores an export"
    if any(each.unread for each in parts):
        rest = "if there is none, `enrich ledger export DIR --skip-damaged` copies what can be read"
    else:
        rest = "every row can be read, so you can still create one: `enrich ledger export DIR`"
    write_stderr(f"\nhint: {way}; {rest}\n")


def print_export(export: Export) -> None:
    """Print where an export has been written, and what is missing from it."""
    write_note(f"exported {count_nouns(export.rows, 'row')} to {clean_text(str(export.folder))}\n")
    for each in export.parts:
        if each.unread:
            write_stderr(
                f"{each.table}: up to {count_nouns(each.unread, 'row')} could not be read, "
                "and what could not be read is left out\n"
            )
        if each.incomplete:
            write_stderr(
                f"{each.table}: a value that could not be read is missing in "
                f"{count_nouns(each.incomplete, 'row')}\n"
            )


def print_savings(savings: Sequence[Saving], *, foreseen: bool) -> None:
    """Print what a vacuum has saved, or about what it would save."""
    sizes = [(each.what, each.before, each.after) for each in savings]
    sizes.append(("in total", sum(e.before for e in savings), sum(e.after for e in savings)))
    about = "about " if foreseen else ""
    cells = [
        [
            what,
            format_bytes(before),
            about + format_bytes(after),
            f"{about}{format_bytes(before - after)} ({(before - after) / (before or 1):.0%})",
        ]
        for what, before, after in sizes
    ]
    print_table(["", "before", "after", "saved"], cells, right={1, 2, 3})


def print_savings_json(savings: Sequence[Saving]) -> None:
    """Print one JSON array."""
    listed = [asdict(each) | {"saved": each.saved} for each in savings]
    write_stdout(format_json(listed, indent=2) + "\n")
