"""Triage: rows whose labeled neighbors are clear are answered by these, if the prompt says so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import uuid4

from enrich.compiler import scores, triage
from enrich.db.quote import quote_name, quote_table
from enrich.errors import DatabaseError, InputError, count_nouns, nearest
from enrich.pipeline.likelihood import estimate_share
from enrich.pipeline.read import Judge

if TYPE_CHECKING:
    from enrich.compiler.compilation import CompiledModel
    from enrich.db.database import Both, Ledger
    from enrich.ledger.run import Run


@dataclass(frozen=True, kw_only=True)
class Triaged:
    """`rows` are answered by labels. Of the `labeled` rows, `clear` ones would be by the labels of
    the others, and so many of these get their own label: `right`."""

    rows: int
    labeled: int
    clear: int
    right: int

    def __str__(self) -> str:
        """The same in words, for a plan."""
        many = f"{self.rows:,} {'row is' if self.rows == 1 else 'rows are'} answered by labels"
        rows = count_nouns(self.labeled, "labeled row")
        clear = f"{self.clear:,} {'is' if self.clear == 1 else 'are'} clear"
        known = f"of {rows}, {clear} by the others' labels"
        if not self.clear:
            return f"{many}; {known}"
        low, high = estimate_share(self.right, self.clear, 10**9)
        share = f"{self.right / self.clear:.0%} (likely {low:.0%} to {high:.0%})"
        return f"{many}; {known}, and {share} of these get their own label"


def answer_by_labels(database: Both, work: CompiledModel, run: Run) -> Triaged | None:
    """Let rows of `temp._enrich_snapshot` stand for the answer of their labeled neighbors, and
    write these answers to the ledger. Returns None without `triage`.

    Raises InputError if the table of labels cannot be used.
    """
    wanted, vector = work.prompt.triage, work.vector
    if wanted is None or vector is None:
        return None
    _check_labels(database, work, wanted.labels)
    database.execute(
        triage.render_labeled(wanted.labels, work.prompt.output, work.key, vector.length)
    )
    digests = [each.digest for each in work.chain[1:]]
    finding = triage.render_triaged(wanted, vector.length)
    repeated = run.is_repeated(database)
    database.execute(finding, since=run.since, digests=digests, repeated=repeated)
    database.execute(triage.render_applied(work.key))
    _record_answers(database, run)
    (rows,) = database.fetch_one(
        "SELECT count(*) FROM temp._enrich_snapshot WHERE reuse = 'triaged'"
    )
    labeled, clear, right = database.fetch_one(
        "SELECT count(*), count(*) FILTER (clear), count(*) FILTER (clear AND agrees) "
        "FROM temp._enrich_triaged WHERE agrees IS NOT NULL"
    )
    return Triaged(rows=rows, labeled=labeled, clear=clear, right=right)


def _record_answers(database: Ledger, run: Run) -> None:
    """Write the answers of labels to the ledger, as a batch that has been read."""
    database.call("labeling", since=run.since)
    batch = f"triage-{uuid4().hex[:12]}"
    named = {"model": run.model, "prompt": run.version_id, "provider": run.provider}
    database.call("labeled_batch", batch=batch, run=run.id, **named)
    database.call("labeled_requests", batch=batch)
    judge = Judge.of(database, run.version_id)
    database.call("labeled_responses", batch=batch, run=run.id, judged_by=judge.id)


def _check_labels(database: Both, work: CompiledModel, labels: str) -> None:
    """Raises InputError if the table is absent, lacks a column, or has two rows for a key."""
    where = f"{work.prompt.source}: the labels '{labels}'"
    try:
        given = database.describe(f"FROM {quote_table(labels)}")
    except DatabaseError as problem:
        hint = "triage: TABLE, such as a seed, a model or MODEL_review"
        raise InputError(f"{where} cannot be read", hint=hint) from problem
    known = {column.lower() for column in given}
    for column in (*work.key, *(each.name for each in work.prompt.output.columns)):
        if column.lower() not in known:
            raise InputError(f"{where} have no column '{column}'", hint=nearest(column, given))
    given_keys = " AND ".join(f"{quote_name(column)} IS NOT NULL" for column in work.key)
    keyed = f"(SELECT * FROM {quote_table(labels)} WHERE {given_keys})"
    double = database.execute(scores.render_duplicate_key(keyed, work.key))
    if double:
        hint = "labels need one row per key: write a model that combines them"
        raise InputError(f"{where} have more than one row for the key {double[0][0]}", hint=hint)
