"""The project: everything enrich does, as one object. Each command has a method of the same name.

What a command needs is imported in its method, so that `status` need not load what only `run` does.
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from enrich.errors import EnrichError
from enrich.pipeline.listener import Silence
from enrich.pipeline.standing import find_quiet_states
from enrich.pipeline.workspace import Workspace
from enrich.results import CommandResult, Listed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from enrich.ledger.batch import Batch
    from enrich.ledger.compaction import Saving
    from enrich.ledger.costs import CostGroup
    from enrich.ledger.export import Export
    from enrich.ledger.integrity import Part
    from enrich.ledger.state import State
    from enrich.manifest.graph import Graph
    from enrich.manifest.model import Model
    from enrich.pipeline.compare import Comparison
    from enrich.pipeline.finding import Finding
    from enrich.pipeline.flow import Flow
    from enrich.pipeline.listener import Listener
    from enrich.pipeline.plan import Plan
    from enrich.pipeline.preview import Preview
    from enrich.pipeline.test import Result
    from enrich.providers import Provider
    from enrich.results import Evaluation, Failures, Rows
    from enrich.view import Viewer
    from enrich.view.shown import Shown


class Project:
    """A folder with project.yml and models/.

    `lock_timeout` (seconds) and the values of `variables` override project.yml. `talk` receives
    messages and progress. `${NAME}` and API keys are looked up in `environment`, by default
    os.environ. Raises ProjectError if project.yml is missing or invalid.
    """

    def __init__(
        self,
        path: str | Path = ".",
        *,
        lock_timeout: float | None = None,
        verbose: bool = False,
        talk: Listener | None = None,
        environment: Mapping[str, str] | None = None,
        variables: Mapping[str, Any] | None = None,
    ) -> None:
        self._open = partial(
            Workspace.from_folder,
            Path(path),
            lock_timeout=lock_timeout,
            verbose=verbose,
            environment=environment,
            overrides=variables,
        )
        self.workspace = self._open(listener=talk or _choose_listener())
        self.config, self.files = self.workspace.config, self.workspace.files

    @property
    def graph(self) -> Graph:
        """Which model reads which."""
        return self.workspace.graph

    @property
    def models(self) -> Mapping[str, Model]:
        """The project's models, by name."""
        return self.graph.models

    def provider(self, name: str) -> Provider:
        """The provider that project.yml calls `name`."""
        return self.workspace.open_provider(name)

    def select(self, *names: str, exclude: Sequence[str] = ()) -> tuple[Model, ...]:
        """The models that a command with these arguments would work on, in the order in which it
        would; see `enrich.manifest.selection` for the syntax."""
        from enrich.manifest import selection
        from enrich.pipeline import forecast

        changed = partial(forecast.find_changed, self._flow())
        return selection.select_models(self.graph, names, exclude, changed=changed)

    def seed(self, *names: str) -> tuple[str, ...]:
        """Load the files of seeds/ as tables, and create the views of sources. Returns the names of
        the seeds that were loaded because they had changed.

        One that cannot be loaded does not stop the others; the first problem is raised at the end.
        """
        from enrich.pipeline.seed import load_seeds

        self.files.check_writable()
        loaded, problems = load_seeds(self._flow(), *names)
        for problem in problems[:1]:
            raise problem
        return loaded

    def compile(self, name: str, *, provider: str | None = None) -> dict[str, Any]:
        """Returns what a model becomes: its SQL, the JSON Schema and the first request. Sends
        nothing."""
        from enrich.pipeline.explain import explain_model

        return explain_model(self._flow(), name, provider)

    def plan(
        self,
        *names: str,
        provider: str | None = None,
        retry: bool = False,
        full_refresh: bool = False,
        where: str | None = None,
        since: str | None = None,
        max_cost: float | None = None,
        by: datetime | None = None,
        exclude: Sequence[str] = (),
        capacity: Mapping[str, float] | None = None,
    ) -> CommandResult[Plan]:
        """Returns what `run` would do with the named models, or all, in the same order. Spends
        nothing.

        Seeds that have changed are loaded. A model that reads another one whose answers will change
        cannot be planned yet; its plan names that one in `after`. A model with a problem has no
        plan and does not stop the others: its problem is in `problems`, and raised if no plan is
        left.

        With `capacity`, such as `{"rows": 1e8, "rows_per_second": 50, "hours": 24}`, each plan also
        has what so many rows would take: see `enrich.pricing.capacity`.
        """
        from enrich.ledger.run import RunOptions
        from enrich.pipeline.capacity import extend_plans
        from enrich.pipeline.forecast import foresee_models, pick_models
        from enrich.pricing.capacity import Capacity

        # The same options as `run` has, or the plan would be of another run.
        wanted = Capacity.of(capacity) if capacity else None
        flow = self._flow(names)
        picked = pick_models(flow, names, exclude)
        options = RunOptions.of(
            retry=retry,
            full_refresh=full_refresh,
            where=where,
            since=since,
            max_cost=max_cost,
            by=by,
        )
        plans = foresee_models(flow, picked, provider, options)
        if wanted is not None:
            plans = extend_plans(self.files, plans, wanted, self.workspace.open_provider)
        return CommandResult.of(plans, problems=flow.found.problems.values())

    def preview(
        self, name: str, *, limit: int = 5, where: str = "", provider: str | None = None
    ) -> Preview:
        """Answer the first `limit` rows of a model now, among those for which the SQL condition
        `where` is true. Requests that the ledger has answers to are not sent again, and the new
        answers are kept in it."""
        from enrich.pipeline.sample import preview_model

        self.files.check_writable()
        return preview_model(self._flow(), name, provider=provider, limit=limit, where=where)

    def compare(
        self,
        name: str,
        *,
        llm: str = "",
        alone: bool = False,
        limit: int = 20,
        where: str = "",
        provider: str | None = None,
    ) -> Comparison:
        """Answer a sample of rows with the working prompt and compare the answers with the
        published ones, or, with `llm`, with those of that llm to the same prompt. With `alone`,
        each row is asked by itself, not in a pack."""
        from enrich.pipeline.sample import compare_model

        self.files.check_writable()
        return compare_model(
            self._flow(),
            name,
            provider=provider,
            llm=llm,
            alone=alone,
            limit=limit,
            where=where,
        )

    def evaluate(
        self, name: str, labels: str, *, columns: Mapping[str, str] | None = None
    ) -> Evaluation:
        """Score the published columns of a model against the table `labels`. Returns the figures of
        every version that has been scored against it.

        `columns` maps output columns to label columns where their names differ. The figures are
        kept in `enrich.evaluations`.
        """
        from enrich.pipeline.evaluate import evaluate_model

        self.files.check_writable()
        return evaluate_model(self._flow(), name, labels, columns or {})

    def review_examples(self, name: str, limit: int) -> str:
        """Returns up to `limit` reviewed rows of a model as sections that can be pasted into its
        prompt, those that show the most labels first."""
        from enrich.pipeline.example import write_examples

        return write_examples(self._flow(), name, limit)

    def run(
        self,
        *names: str,
        provider: str | None = None,
        detach: bool = False,
        retry: bool = False,
        full_refresh: bool = False,
        where: str | None = None,
        since: str | None = None,
        max_cost: float | None = None,
        by: datetime | None = None,
        exclude: Sequence[str] = (),
        accept_drift: bool = False,
        fail_fast: bool = False,
    ) -> CommandResult[State]:
        """Run the named models, or all, each after the models that its SQL reads. Returns their
        states.

        See `manifest.selection` for the names. Waits for the batches unless `detach`. `retry` asks
        again for rows that failed in earlier runs, `full_refresh` for all rows. `where` and `since`
        limit the run to partitions: see `partition_by` of a prompt. `max_cost` (USD) replaces the
        project's budget for a run. What is left at the moment `by` is answered at once, by chat.
        `accept_drift` publishes even if a drift test fails. If a model cannot be started, the
        models after it are skipped and the others go on; the problem is raised at the end or, with
        `fail_fast`, at once. Its `states` are those of the models.
        """
        from enrich.ledger.run import RunOptions
        from enrich.pipeline.forecast import pick_models
        from enrich.pipeline.scheduler import run_models

        self.files.check_writable()
        flow = self._flow(names, accept_drift=accept_drift, fail_fast=fail_fast)
        picked = pick_models(flow, names, exclude)
        options = RunOptions.of(
            retry=retry,
            full_refresh=full_refresh,
            where=where,
            since=since,
            max_cost=max_cost,
            by=by,
        )
        chosen = [each.name for each in picked]
        try:
            run_models(flow, picked, provider, options, detach=detach)
        except EnrichError as problem:
            # Other models may have been answered. If even that cannot be read, the first error says
            # more.
            if flow.found.runs or flow.found.built:
                with suppress(EnrichError):
                    problem.states = self._result(flow, chosen)
            raise
        return self._result(flow, chosen)

    def status(self) -> CommandResult[State]:
        """Poll open batches, read and publish what has ended, and start the models that were
        waiting for it. Returns the state of every enrichment model."""
        quiet = find_quiet_states(self.workspace)
        if quiet is not None:
            return CommandResult.of(quiet)
        from enrich.pipeline.scheduler import follow_batches

        flow = self._flow()
        # In a project that cannot be written, what a turn fetches could not be kept.
        if self.files.copies is None:
            follow_batches(flow)
        else:
            what = f"{self.config.root} cannot be written: nothing is fetched or published"
            self.workspace.listener.say(what)
        return self._result(flow)

    def cancel(self, *names: str, forget: bool = False) -> tuple[Batch, ...]:
        """Cancel the batches of the named models, or all; answers that have come in are kept.

        `forget` stops tracking batches that their provider cannot cancel or does not know; answers
        to these are lost.
        """
        from enrich.pipeline.cancel import cancel_models

        self.files.check_writable()
        return cancel_models(self._flow(), names, forget=forget)

    def debug(self, *, provider: str | None = None, ask: bool = False) -> Iterator[Finding]:
        """Check the set-up: files, models and providers. No request is sent, and nothing is spent,
        unless `ask`: then each llm is asked a tiny question of each kind that its models need. The
        answers are not kept."""
        from enrich.pipeline.debug import find_findings

        return find_findings(self._flow(), provider=provider, ask=ask)

    def test(self, *names: str, exclude: Sequence[str] = ()) -> CommandResult[Result]:
        """Run the tests of the named models, or all, on their tables as they would be published.

        Nothing is published; failing rows go to tables in the schema `enrich_tests`. A SQL test
        runs once, with the last of the models that it reads.
        """
        from enrich.pipeline.forecast import pick_models
        from enrich.pipeline.lock import hold_project
        from enrich.pipeline.release import test_models

        flow = self._flow(names)
        picked = pick_models(flow, names, exclude)
        with hold_project(self.files):
            found = test_models(flow, picked, alone=not names and not exclude)
        return CommandResult.of(found, problems=flow.found.problems.values())

    def failing(self, result: Result, *, limit: int = 10) -> Rows:
        """Returns the first `limit` failing rows of a test."""
        from enrich.pipeline import lookup

        return lookup.find_failing(self._flow(), result, limit)

    def history(self, name: str, *key: str) -> Rows:
        """Returns the history of one row: what was asked and when, what came back, and from when
        until when each answer was valid.

        `key` is the values of the row's key columns, in order, as text. Times are UTC.
        """
        from enrich.pipeline import lookup

        return lookup.find_life(self._flow(), name, key)

    def failures(self, name: str, *, limit: int = 20) -> Failures:
        """Returns the first `limit` rows of a model that are not ok, and the counts of all of them
        by outcome and error."""
        from enrich.pipeline import lookup

        return lookup.find_failures(self._flow(), name, limit)

    def cost(self, by: CostGroup = "model") -> Rows:
        """Returns what was spent by model, llm, prompt, day or batch, and rebuilds
        `enrich.costs`."""
        from enrich.pipeline import lookup

        return lookup.sum_costs(self._flow(), by)

    def ledger_check(self) -> tuple[Part, ...]:
        """Read the whole ledger and report what is damaged. Changes nothing."""
        from enrich.ledger.integrity import check_ledger

        return check_ledger(self.files)

    def ledger_export(self, folder: str | Path, *, skip_damaged: bool = False) -> Export:
        """Write the whole ledger to a new folder, as Parquet; with `skip_damaged`, rows that cannot
        be read are left out."""
        from enrich.pipeline import backup

        return backup.export_ledger(self.workspace, Path(folder), skip_damaged=skip_damaged)

    def ledger_import(self, folder: str | Path, *, replace: bool = False) -> Path | None:
        """Create the ledger from an export. A ledger that holds anything is replaced only with
        `replace`. Returns the path under which the old one is kept, None if there was none."""
        from enrich.pipeline import backup

        return backup.import_ledger(self.workspace, Path(folder), replace=replace)

    def ledger_vacuum(self, *, dry_run: bool = False) -> Listed[Saving]:
        """Do what `keep_files` says with the files of all batches that have been read, and compact
        the ledger. Returns the bytes before and after; with `dry_run`, about what they would be,
        and nothing is changed."""
        from enrich.pipeline.vacuum import foresee_vacuum, vacuum_project

        found = foresee_vacuum if dry_run else vacuum_project
        return Listed(found(self.workspace))

    def sql(self, query: str) -> Rows:
        """Run a query on the warehouse; the ledger is attached as `ledger`, read-only.

        Unlike a model's SELECT, the query may write to the warehouse and read any file.
        """
        from enrich.pipeline import lookup

        return lookup.run_query(self.workspace, query)

    def view(self, name: str, *, rows: int = 500) -> Shown:
        """Returns the rows of a model beside their answers, for a notebook: its first `rows` rows,
        those that are not ok first, which can be searched, filtered, sorted and opened."""
        from enrich.view.shown import show_model

        return show_model(self.open_viewer(copies=False), name, rows=rows)

    def open_viewer(self, reviewer: str = "", *, copies: bool = True) -> Viewer:
        """Returns what answers the questions of the page that `enrich view` opens. It looks at
        copies of the databases unless not `copies`: this process must not have them open then."""
        from enrich.view import Viewer

        viewer = Viewer(partial(self._open, listener=Silence()), reviewer, copies)
        viewer.refresh()
        return viewer

    def _flow(self, names: Sequence[str] | None = None, **options: bool) -> Flow:
        """A new command. If it works on all models (`names` is empty), its problems include the
        files that cannot be parsed."""
        from enrich.pipeline.flow import Flow

        flow = Flow(workspace=self.workspace, **options)  # type: ignore[arg-type]  # its flags
        if names is not None and not names:
            flow.found.problems.update(self.graph.broken)
        return flow

    def _result(self, flow: Flow, names: list[str] | None = None) -> CommandResult[State]:
        from enrich.pipeline import lookup

        states, found = lookup.find_states(flow, names), flow.found
        return CommandResult.of(states, tests=found.tests, problems=found.problems.values())


def _choose_listener() -> Listener:
    """A screen in a notebook, silence in any other program: a library prints only on request."""
    # Imported here so that a program which only uses the library does not load rich.
    from enrich.report.screen import Screen, is_in_notebook

    return Screen() if is_in_notebook() else Silence()
