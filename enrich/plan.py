"""Plan: which requests to send, cut into batches that keep every limit of the provider."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import uuid4

if TYPE_CHECKING:
    from enrich.database import Database
    from enrich.providers import Limits

BYTES_PER_TOKEN = 4
"""A rule of thumb for English text; used to stay below limits, never to bill."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """A run of a model, as the ledger keeps it."""

    run: int
    model: str
    prompt: str
    provider: str
    max_attempts: int
    retry: tuple[str, ...]
    again: bool

    @classmethod
    def latest(cls, database: Database, model: str) -> Run:
        """The model's latest run."""
        row = database.script("latest_run", model=model)[0]
        values = dict(zip(cls.__dataclass_fields__, row, strict=True))
        return cls(**values | {"retry": tuple(values["retry"])})


def plan(database: Database, run: Run, *, overhead: int, limits: Limits) -> int:
    """Plan batches for what `temp.snapshot` still needs; gives the number of requests.

    Needs the ledger, in a transaction of the caller's. A request is left out when it is answered,
    in flight in any batch, or has no tries left.
    """
    database.script(
        "todo",
        run=run.run,
        again=run.again,
        retry=list(run.retry),
        max_attempts=run.max_attempts,
        overhead=overhead,
    )
    total = int(database.one("SELECT count(*) FROM temp.todo")[0])
    most_bytes = limits.bytes
    if limits.enqueued_tokens is not None:
        most_bytes = min(most_bytes, limits.enqueued_tokens * BYTES_PER_TOKEN)
    start = before = 0
    cuts: dict[str, int] = {}
    while start < total:
        last, upto = database.script(
            "cut", start=start, before=before, requests=limits.requests, bytes=most_bytes
        )[0]
        if last is None:  # one request above the token limit alone: the provider will say so
            last, upto = database.one("SELECT n, upto FROM temp.todo WHERE n = $n", n=start)
        batch = _planned(database, run, requests=last - start + 1, size=int(upto) - before)
        cuts[batch] = start
        start, before = last + 1, int(upto)
    if cuts:
        database.script("assign", batches=list(cuts), starts=list(cuts.values()))
    return total


def _planned(database: Database, run: Run, *, requests: int, size: int) -> str:
    """A new batch in the ledger; its id begins with the model's name, for those who see it."""
    batch = f"{re.sub(r'[^A-Za-z0-9_-]', '', run.model)[:40]}-{uuid4().hex[:12]}"
    database.script(
        "batch_planned",
        batch=batch,
        run=run.run,
        model=run.model,
        prompt=run.prompt,
        provider=run.provider,
        requests=requests,
        bytes=size,
    )
    return batch
