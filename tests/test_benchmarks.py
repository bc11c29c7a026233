"""Benchmarks: a figure depends on what is measured alone, and pages are read as written."""

from __future__ import annotations

import sys

import pytest

if sys.platform == "win32":
    pytest.skip("Windows does not tell how much memory a process has had", allow_module_level=True)

from typing import TYPE_CHECKING

from claims import SPEED, Claim, compare_claims, read_claims
from measuring import measure_call, read_peak

if TYPE_CHECKING:
    from pathlib import Path

HELD = 300_000_000


def test_a_peak_is_that_of_its_own_process() -> None:
    """A process that holds much measures one that holds little, and after it has let go as well."""
    held = b"x" * HELD
    assert read_peak() > HELD
    small = measure_call("measuring:do_nothing")
    del held
    again = measure_call("measuring:do_nothing")
    assert 0 < small.peak < HELD // 3
    assert 0 < again.peak < HELD // 3


def test_a_call_has_a_value() -> None:
    """Its arguments and its value are JSON, and what it takes is its own."""
    found = measure_call("json:dumps", obj=[1, "ä"])
    assert found.value == '[1, "\\u00e4"]'
    assert found.seconds >= 0
    assert found.cpu >= 0


def test_every_figure_is_found() -> None:
    """What README.md and docs/ say on speed is read from them: no figure is absent."""
    claims = read_claims()
    assert [claim.what for claim in claims if not claim.says] == []
    assert len(claims) == 23
    assert all(claim.says and claim.says > 0 for claim in claims)


def test_what_is_off_is_named(tmp_path: Path) -> None:
    """By more than a third, in either direction; a sentence that is gone is said to be."""
    words = "A million rows pass through enrich [in 30 seconds](x), not counting"
    (tmp_path / "README.md").write_text(words, encoding="utf-8")
    (tmp_path / SPEED).parent.mkdir(parents=True)
    table = "| rows to JSONL: all | 1,200 | 2.0 times | 0.1 times |"
    (tmp_path / SPEED).write_text(f"{words}\n\n{table}\n", encoding="utf-8")
    claims = read_claims(tmp_path)
    assert [claim.says for claim in claims[:3]] == [30, 30, None]
    assert [claim.says for claim in claims if claim.what.startswith("rows")] == [1200, 2, 0.1]
    measured = {"whole line, 1,000,000 rows: seconds": 19.0, "rows to JSONL: rows/s": 1500.0}
    lines = list(compare_claims(claims, measured))
    assert sum(" *" in line for line in lines) == 2
    assert "absent" in lines[3]
    assert lines[-1] == "* 2 of these figures are off by more than a third"
    assert Claim(page=SPEED, what="", says=0.1).is_off(0.14)
