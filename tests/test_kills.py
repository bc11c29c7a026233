"""Kills: at every named step and at random moments, nothing is lost and nothing is paid twice."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

if sys.platform == "win32":
    pytest.skip("needs SIGKILL and forks", allow_module_level=True)

from kills import FAULTS, Moment, Trial, measured, rounds

if TYPE_CHECKING:
    from enrich.rehearsal import Faults


def test_killed_at_named_steps() -> None:
    """Before or after the first time of each call, and of every twenty-fourth SQL statement: what
    follows ends well. (`benchmarks/kills.py` comes to all of them.)

    One project lives through all of these; the books are checked whenever it is done.
    """
    with Trial.begun(seed=1) as trial:
        _, _, names = measured(trial)
        assert len(names) > 60
        names = [name for n, name in enumerate(names) if n % 24 == 1 or not name.startswith("sql")]
        for number, name in enumerate(names):
            trial.change(4)
            trial.killed(Moment(1, after=number % 2 == 0, name=name))
            if number % 8 == 7:
                trial.finish()
                trial.check()
        trial.finish()
        trial.check()
        assert trial.happened["kills"] > 9


@pytest.mark.few(0)
def test_killed_before_the_first_model_is_begun() -> None:
    """What comes after it is not run on what it was: nobody waits before it is begun."""
    with Trial.begun(seed=2) as trial:
        _, _, names = measured(trial)
        trial.finish()
        trial.change(4)
        billed = trial.server.bill.total
        (begun,) = [name for name in names if "INSERT INTO ledger.runs" in name]
        assert trial.killed(Moment(1, after=False, name=begun))
        for _ in range(3):
            trial.ended(trial.start("status"), 0)
        assert trial.server.bill.total == billed
        trial.finish()
        trial.check()


@pytest.mark.parametrize("shared", [False, True], ids=["each row alone", "packs and copies"])
@pytest.mark.parametrize("faults", [None, FAULTS], ids=["no other faults", "faults of every kind"])
@pytest.mark.few(0)
def test_random_trouble(faults: Faults | None, shared: bool) -> None:
    """Kills at any moment, Ctrl-C, a full disk, a held or deleted warehouse, two runs at once."""
    trial = rounds(2, seed=3, faults=faults, say=print, shared=shared)
    assert trial.happened["kills"] >= 2
