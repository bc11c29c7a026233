"""Claims: the figures on speed in README.md and docs/, as they are written there, beside those that
were measured."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROOT = Path(__file__).resolve().parent.parent
README, SPEED = Path("README.md"), Path("docs/explanation/speed.md")
MOST_OFF = 1 / 3
"""How far a figure may be off, as a share of what is written."""
FIGURE = r"([\d.,]*\d)"

SENTENCES = (
    ("whole line, 1,000,000 rows: seconds", README, rf"million rows pass .*?in {FIGURE} seconds"),
    ("whole line, 1,000,000 rows: seconds", SPEED, rf"million rows pass .*?in {FIGURE} seconds"),
    ("whole line, 1,000,000 rows: seconds", SPEED, rf"{FIGURE} seconds when this page was last"),
    ("whole line, 1,000,000 rows: MB", SPEED, rf"at most {FIGURE} MB"),
    ("nothing changed, 1,000,000 rows: seconds", SPEED, rf"changed, a run takes {FIGURE} second"),
    ("planned, 1,000,000 rows: seconds", SPEED, rf"million rows are planned in {FIGURE} seconds"),
    ("enrich status", SPEED, rf"`enrich status` takes {FIGURE} seconds"),
    ("enrich plan", SPEED, rf"`enrich plan` {FIGURE} seconds"),
    ("whole line, 10,000,000 rows: seconds", SPEED, rf"[Tt]en million rows took {FIGURE} seconds"),
    ("whole line, 10,000,000 rows: MB", SPEED, rf"[Tt]en million rows took .*? and {FIGURE} MB"),
    ("whole line, 5,000,000 rows: MB", SPEED, rf"[Ff]ive million rows took {FIGURE} MB"),
)
"""What is measured, and the page and the words in which its figure stands."""
TABLE = (
    ("rows to JSONL", r"rows to JSONL"),
    ("  of it: write", r"of that, writing"),
    ("results to table", r"results to table"),
    ("  of it: read", r"of that, reading"),
)
"""The lines of the table, and how they begin on the page."""
COLUMNS = ("rows/s", "x python", "x duckdb")


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A figure on a page, None if the page no longer has it. `what` names what is measured."""

    page: Path
    what: str
    says: float | None

    def is_off(self, measured: float) -> bool:
        """Whether the page is off by more than a third, in either direction.

        >>> [Claim(page=README, what="", says=30).is_off(each) for each in (19, 21, 39, 41)]
        [True, False, False, True]
        """
        return bool(self.says) and abs(measured / (self.says or 1) - 1) > MOST_OFF


def read_claims(root: Path = ROOT) -> list[Claim]:
    """Returns the figures of all pages below `root`."""
    pages = {page: (root / page).read_text(encoding="utf-8") for page in (README, SPEED)}
    return [*_read_sentences(pages), *_read_table(pages[SPEED])]


def _read_sentences(pages: Mapping[Path, str]) -> Iterator[Claim]:
    for what, page, words in SENTENCES:
        text = re.sub(r"[\[\]]|\s+", lambda found: " " * found[0].isspace(), pages[page])
        found = re.search(words, text)
        yield Claim(page=page, what=what, says=_read_figure(found[1]) if found else None)


def _read_table(text: str) -> Iterator[Claim]:
    for what, words in TABLE:
        line = re.search(rf"^\| {words}.*?\| {FIGURE} \| {FIGURE} .*?\| {FIGURE}", text, re.M)
        for number, column in enumerate(COLUMNS, start=1):
            says = _read_figure(line[number]) if line else None
            yield Claim(page=SPEED, what=f"{what}: {column}", says=says)


def _read_figure(text: str) -> float:
    return float(text.replace(",", ""))


def compare_claims(claims: list[Claim], measured: Mapping[str, float]) -> Iterator[str]:
    """Yields a table, a line for each figure, and then what to mend."""
    yield f"{'what the pages say':<44}{'says':>10}{'measured':>10}  page"
    off = []
    for claim in claims:
        found = measured.get(claim.what)
        says = "absent" if claim.says is None else f"{claim.says:,g}"
        shown = "" if found is None else f"{found:,.4g}" if found < 1000 else f"{found:,.0f}"
        if found is not None and claim.is_off(found):
            off.append(claim)
            shown = f"{shown} *"
        yield f"{claim.what:<44}{says:>10}{shown:>10}  {claim.page}"
    many = f"{len(off)} of these figures are" if len(off) != 1 else "one of these figures is"
    yield f"* {many} off by more than a third" if off else "none is off by more than a third"
