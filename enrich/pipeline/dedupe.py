"""Dedupe: rows with nearly the same vector stand for one request, if the prompt says so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from enrich.compiler import similar
from enrich.compiler.similar import FEW_ROWS, Bands

if TYPE_CHECKING:
    from enrich.compiler.compilation import CompiledModel
    from enrich.db.database import Ledger
    from enrich.ledger.run import Run


@dataclass(frozen=True, kw_only=True)
class Copies:
    """The requests that a run does not send because a near-duplicate's answer is copied, and their
    bytes."""

    requests: int = 0
    bytes: int = 0


def copy_duplicates(database: Ledger, work: CompiledModel, run: Run) -> Copies:
    """Let rows of `temp._enrich_snapshot` stand for the request of a near-duplicate. Does nothing
    without `dedupe`."""
    dedupe, vector = work.prompt.dedupe, work.vector
    if dedupe is None or vector is None:
        return Copies()
    if work.is_limited:
        chain = list(run.chain)
        database.execute(similar.render_kept_copies(), versions=chain, since=run.since)
    digests = [each.digest for each in work.chain[1:]]
    database.execute(
        similar.render_vectors(vector.length),
        since=run.since,
        digests=digests,
        repeated=run.is_repeated(database),
    )
    (rows,) = database.fetch_one("SELECT count(*) FROM temp._enrich_vectors")
    pairs = similar.render_all_pairs()
    if rows > FEW_ROWS:
        (middle,) = database.fetch_one(similar.render_middle(vector.length), rows=rows)
        bands = Bands.choose(rows, dedupe.at, middle)
        database.execute(similar.render_words(middle, bands))
        pairs = similar.render_banded_pairs(bands)
    database.execute(similar.render_near(pairs), at=dedupe.at)
    _choose_leaders(database)
    database.execute(similar.render_copies(work.key))
    requests, size = database.fetch_one(similar.render_saved(), overhead=work.overhead)
    return Copies(requests=int(requests), bytes=int(size))


def _choose_leaders(database: Ledger) -> None:
    """Create `temp._enrich_groups`, with a leader for each row."""
    # Each round decides at least the undecided row of the lowest rank.
    database.execute(similar.render_groups())
    undecided = "SELECT count(*) FROM temp._enrich_groups WHERE leader IS NULL"
    while database.fetch_one(undecided) != (0,):
        database.execute(similar.render_followers())
        database.execute(similar.render_leaders())
    database.execute(similar.render_best_leaders())
