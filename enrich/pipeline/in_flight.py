"""In flight: the requests that have been asked and have no response yet, and what plans foresee.

Models whose requests are equal share them: whoever asks first sends them. The others keep them in
batches that are never sent, and are planned again once what these await has been read, or is no
longer under way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from enrich.pipeline.portion import name_batch

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from enrich.compiler.version import Version
    from enrich.db.database import Ledger
    from enrich.ledger.run import Run
    from enrich.pipeline.portion import PlannedPortion


def list_in_flight(database: Ledger, model: str = "", foreseen: Sequence[Path] = ()) -> None:
    """Create `temp._enrich_in_flight`, as it is for a plan of a model. What is `foreseen` by
    earlier plans of the same command is in flight as well: see `keep_foreseen`."""
    database.call("under_way")
    database.call("in_flight", model=model)
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


def await_shared(database: Ledger, run: Run, versions: Sequence[Version]) -> None:
    """Keep the requests of `temp._enrich_asked` that other models have in flight, as batches of the
    run that await theirs: one for each of the `versions`. Their cost is the other models'."""
    database.call("shared", model=run.model, since=run.since)
    for place, requests, awaits in database.execute(
        "SELECT place, count(*), list(DISTINCT batch) FROM temp._enrich_shared GROUP BY ALL"
    ):
        batch = name_batch(run.model)
        database.call(
            "batch_planned",
            batch=batch,
            run=run.id,
            model=run.model,
            prompt=versions[place].id,
            provider=run.provider,
            requests=requests,
            bytes=0,
            part=0,
            held=None,
            awaits=awaits,
            input_price=None,
            cached_price=None,
            output_price=None,
            reserved=0.0,
        )
        database.call("assign_shared", batch=batch, place=place)


def list_released(database: Ledger) -> set[str]:
    """Returns the models with batches that no longer have anything to await."""
    database.call("under_way")
    return {str(row[0]) for row in database.call("released")}
