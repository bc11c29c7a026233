"""In flight: the requests that have been asked and have no response yet, and what plans foresee.

Models whose requests are equal share them: whoever asks first sends them, and the others wait.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from enrich.db.database import Ledger
    from enrich.pipeline.portion import PlannedPortion


def list_in_flight(database: Ledger, foreseen: Sequence[Path] = ()) -> None:
    """Create `temp._enrich_in_flight`. What is `foreseen` by earlier plans of the same command is
    in flight as well: see `keep_foreseen`."""
    database.call("under_way")
    database.call("in_flight")
    if foreseen:
        database.call("foreseen", files=list(foreseen))


def keep_foreseen(
    database: Ledger, model: str, portions: Sequence[PlannedPortion], file: Path
) -> None:
    """Write the requests that a model's plan would send to a file, for the plans after it."""
    database.call(
        "keep_foreseen",
        model=model,
        starts=[each.portion.start for each in portions],
        paid=[each.paid for each in portions],
        file=file,
    )
