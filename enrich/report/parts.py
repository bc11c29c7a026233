"""Parts: the ledger's tables, whole or damaged, and their export."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from enrich.report.safe import as_json, clean, to_stderr, to_stdout
from enrich.report.text import tabulate

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from enrich.ledger.copy import Export, Part


def parts(found: Sequence[Part]) -> None:
    """The tables of the ledger, a line each, and what is wrong with them."""
    cells = [[each.table, f"{each.rows:,}", "; ".join(each.faults) or "ok"] for each in found]
    tabulate(["table", "rows", "state"], cells, right={1})


def parts_json(found: Sequence[Part]) -> None:
    """The same for machines: one JSON array."""
    to_stdout(as_json([asdict(each) for each in found], indent=2) + "\n")


def ledger_damaged(ledger: Path, found: Sequence[Part]) -> None:
    """What to do about a ledger that is damaged."""
    to_stderr(f"\nerror: {clean(str(ledger))} is damaged\n")
    way = "`enrich ledger import DIR --replace` brings back an export"
    if any(each.unread for each in found):
        rest = "if there is none, `enrich ledger export DIR --skip-damaged` copies what can be read"
    else:
        rest = "every row can be read, so one can still be made: `enrich ledger export DIR`"
    to_stderr(f"\nhint: {way}; {rest}\n")


def exported(made: Export) -> None:
    """Where an export went, and what is not in it."""
    to_stderr(f"exported {made.rows:,} rows to {clean(str(made.folder))}\n")
    for each in made.parts:
        if each.unread:
            to_stderr(
                f"{each.table}: up to {each.unread:,} rows could not be read and are left out\n"
            )
        if each.incomplete:
            to_stderr(
                f"{each.table}: {each.incomplete:,} rows lack a value that could not be read\n"
            )
