"""Run: snapshot and plan a model's rows, in one transaction of the ledger.

select -> render -> plan        `start_run`; `foresee_run` rolls it back
write -> submit -> poll -> fetch -> read        `advance_batches`, each batch as far as possible
publish        `publish_model`, one transaction of the warehouse
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from enrich.compiler import input_rows
from enrich.db.ownership import check_name_free
from enrich.ledger.run import Run
from enrich.pipeline import diff, draft
from enrich.pipeline.in_flight import await_shared
from enrich.pipeline.portion import assign_batches
from enrich.pipeline.select import SNAPSHOT_COUNT

if TYPE_CHECKING:
    from enrich.compiler.compilation import CompiledModel
    from enrich.db.database import Ledger
    from enrich.db.files import DatabaseFiles
    from enrich.ledger.run import RunOptions
    from enrich.manifest.config import Config
    from enrich.manifest.model import Model
    from enrich.pipeline.plan import Plan
    from enrich.providers import Provider


@dataclass(frozen=True, kw_only=True)
class StartedRun:
    """A run that has been started, and its plan.

    `answered`: the ledger holds answers to these requests or to those of earlier runs.
    """

    run: Run
    plan: Plan
    answered: bool


def check_model(
    files: DatabaseFiles, config: Config, provider: Provider, model: Model, *, ready: bool
) -> CompiledModel:
    """Compile a model against the warehouse as it is now. Nothing is read, written or spent.

    `ready`: its provider must be able to answer now. Raises EnrichError if anything is wrong.
    """
    with files.open_warehouse("read", attached=model.texts) as database:
        # Before anything is spent: publishing would be refused after the answers were paid for.
        for schema in ("main", "enrich"):
            check_name_free(database, model.name, "a model", schema=schema)
        if ready:
            return draft.compile_ready(database, config, provider, model)
        return draft.compile_for(database, config, provider, model, identity="")


def start_run(
    files: DatabaseFiles, config: Config, provider: Provider, model: Model, options: RunOptions
) -> StartedRun:
    """Snapshot the model's rows and plan what to ask, in one transaction. Nothing is sent."""
    with files.open_both(warehouse="read", attached=(*model.texts, options.where)) as database:
        work = draft.compile_ready(database, config, provider, model)
        work = work.limit(database, where=options.where, since=options.since)
        found = draft.select_present(database, config, provider, work, options)
        # The rows are recorded before the batches that they are in, and all of it or none: a crash
        # must not leave a batch whose rows nobody knows.
        with database.transaction():
            drafted = draft.draft_run(database, config, provider, work, found, options)
            run = drafted.run
            if not _are_all_known(database, model.name, found.recalled.unchanged):
                _record_inputs(database, work, run, renew_marks=drafted.has_old_marks)
            for portion in drafted.portions:
                assign_batches(database, run, portion)
            await_shared(database, run, drafted.versions)
            database.call(
                "run_started",
                run=run.id,
                model=run.model,
                prompt=run.version_id,
                provider=run.provider,
                max_attempts=run.max_attempts,
                retry=list(run.retry),
                again=run.again,
                forgives=run.forgives,
                rows=database.fetch_one(input_rows.render_row_count(model.name))[0],
                requests=drafted.plan.requests,
                since=run.since,
                invocation=run.invocation,
                budgets=list(run.limits),
                limits=list(run.limits.values()),
                due_at=run.due_at,
                fallbacks=list(run.fallbacks),
                partitions=run.partitions,
                read_before=run.read_before,
            )
        answered = bool(found.recalled.unchanged) or _has_answers(database, model.name)
    return StartedRun(run=run, plan=drafted.plan, answered=answered)


def _has_answers(database: Ledger, model: str) -> bool:
    """Whether the ledger has a response to any request of the model, present or past."""
    # Batches are few. Only answers to other models have to be looked for among all responses.
    own = "SELECT 1 FROM ledger.batches WHERE model = $model AND outcomes <> '{}' LIMIT 1"
    return bool(
        database.execute(own, model=model) or database.execute(input_rows.render_has_answers(model))
    )


def _are_all_known(database: Ledger, model: str, unchanged: int) -> bool:
    """Whether so many unchanged rows are all that the ledger knows, and all that there are."""
    left = database.fetch_one(SNAPSHOT_COUNT)[0] if unchanged else 1
    return not left and database.fetch_one(input_rows.render_row_count(model)) == (unchanged,)


def _record_inputs(database: Ledger, work: CompiledModel, run: Run, *, renew_marks: bool) -> None:
    """Record which request each row stands for from this run on."""
    model = work.model.name
    if not diff.has_known_rows(database, work):
        database.execute(input_rows.render_inputs_table(model, work.key))
    before = database.call("latest_run", model=model) if work.is_limited else ()
    if before and (version := Run.latest(database, model).version_id) != run.version_id:
        database.execute(input_rows.render_keep_others(model), version=version)
    database.execute(input_rows.render_close_inputs(model, limited=work.is_limited), run=run.id)
    database.execute(input_rows.render_open_inputs(model), run=run.id)
    if renew_marks or work.partition is not None:
        database.execute(input_rows.render_renew_marks(model))
