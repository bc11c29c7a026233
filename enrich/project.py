"""The project: everything enrich does, as one object. Each command has a method of its name."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from enrich.ledger import copy
from enrich.ledger.run import RunOptions
from enrich.manifest import selection
from enrich.pipeline import backup, forecast, lookup
from enrich.pipeline.cancel import cancel_models
from enrich.pipeline.debug import find_findings
from enrich.pipeline.evaluate import evaluate_model
from enrich.pipeline.explain import explain_model
from enrich.pipeline.flow import Flow
from enrich.pipeline.forecast import foresee_models, pick_models
from enrich.pipeline.listener import Silence
from enrich.pipeline.lock import hold_project
from enrich.pipeline.release import test_models
from enrich.pipeline.sample import compare_model, preview_model
from enrich.pipeline.scheduler import follow, run_models
from enrich.pipeline.seed import load_seeds
from enrich.pipeline.workspace import Workspace
from enrich.results import CommandResult, Listed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from enrich.ledger.batch import Batch
    from enrich.ledger.copy import Export
    from enrich.ledger.costs import By
    from enrich.ledger.state import State
    from enrich.manifest.graph import Graph
    from enrich.manifest.model import Model
    from enrich.pipeline.compare import Comparison
    from enrich.pipeline.debug import Finding
    from enrich.pipeline.listener import Listener
    from enrich.pipeline.plan import Plan
    from enrich.pipeline.preview import Preview
    from enrich.pipeline.test import Result
    from enrich.providers import Provider
    from enrich.results import Evaluation, Failures, Rows


class Project:
    """A folder with project.yml and models/.

    `lock_timeout` (seconds) and the values of `variables` override project.yml; `talk` hears what
    happens; in `environment` `${NAME}` and keys are looked up.
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
        self.workspace = Workspace.from_folder(
            Path(path),
            listener=talk or _usual_listener(),
            lock_timeout=lock_timeout,
            verbose=verbose,
            environment=environment,
            overrides=variables,
        )
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
        """The models that a command with these words would work on, in its order; for the words
        see `enrich.manifest.selection`."""
        changed = partial(forecast.find_changed, self._flow())
        return selection.select(self.graph, names, exclude, changed=changed)

    def seed(self, *names: str) -> tuple[str, ...]:
        """Load the files of seeds/ as tables, and make the views of sources; gives the names of the
        seeds that were loaded anew.

        What cannot be loaded stops no other; then the first of these problems is raised.
        """
        self.files.check_writable()
        loaded, problems = load_seeds(self._flow(), *names)
        for problem in problems[:1]:
            raise problem
        return loaded

    def compile(self, name: str, *, provider: str | None = None) -> dict[str, Any]:
        """What a model becomes: its SQL, the JSON Schema and the first request. Sends nothing."""
        return explain_model(self._flow(), name, provider)

    def plan(
        self,
        *names: str,
        provider: str | None = None,
        retry: bool = False,
        full_refresh: bool = False,
        max_cost: float | None = None,
        exclude: Sequence[str] = (),
    ) -> CommandResult[Plan]:
        """What `run` would do with the named models, or all, in its order. Spends nothing.

        Seeds that changed are loaded. A model that reads what another's answers will change is not
        guessed at: its plan says `after` which. What is wrong with one model stops no other: it has
        no plan, and is in `problems`; raised if there is no plan at all.
        """
        flow = self._flow(names)
        picked = pick_models(flow, names, exclude)
        options = RunOptions(retry=retry, full_refresh=full_refresh, max_cost=max_cost)
        plans = foresee_models(flow, picked, provider, options)
        return CommandResult.of(plans, problems=flow.found.problems.values())

    def preview(
        self, name: str, *, limit: int = 5, where: str = "", provider: str | None = None
    ) -> Preview:
        """Answer the first `limit` rows of a model now, of those that the SQL condition `where` is
        true for. What the ledger knows is not asked again, and what is asked now is in it."""
        self.files.check_writable()
        return preview_model(self._flow(), name, provider=provider, limit=limit, where=where)

    def compare(
        self,
        name: str,
        *,
        llm: str = "",
        limit: int = 20,
        where: str = "",
        provider: str | None = None,
    ) -> Comparison:
        """Answer a sample of rows with the working prompt, beside those published, or, with `llm`,
        beside those that another llm gives to the same prompt."""
        self.files.check_writable()
        flow = self._flow()
        return compare_model(flow, name, provider=provider, llm=llm, limit=limit, where=where)

    def evaluate(
        self, name: str, labels: str, *, columns: Mapping[str, str] | None = None
    ) -> Evaluation:
        """Score the published columns of a model against the table `labels`; gives the figures of
        every version that was ever scored against it.

        `columns` says what the labels of output columns are called, where not like these. The
        figures are kept in `enrich.evaluations`.
        """
        self.files.check_writable()
        return evaluate_model(self._flow(), name, labels, columns or {})

    def run(
        self,
        *names: str,
        provider: str | None = None,
        detach: bool = False,
        retry: bool = False,
        full_refresh: bool = False,
        max_cost: float | None = None,
        exclude: Sequence[str] = (),
        accept_drift: bool = False,
        fail_fast: bool = False,
    ) -> CommandResult[State]:
        """Run the named models, or all, in the order their SQL asks for; gives where they stand.

        For the names see `manifest.selection`. Waits for the batches unless `detach`. `retry` asks
        rows again that failed in earlier runs, `full_refresh` all rows. `max_cost` (USD) is this
        run's budget, instead of the project's. `accept_drift` publishes what a drift test would
        hold back. A model that cannot be begun stops those after it; the others go on, and then it
        is raised; with `fail_fast` at once, before any other is begun.
        """
        self.files.check_writable()
        flow = self._flow(names, accept_drift=accept_drift, fail_fast=fail_fast)
        picked = pick_models(flow, names, exclude)
        options = RunOptions(retry=retry, full_refresh=full_refresh, max_cost=max_cost)
        run_models(flow, picked, provider, options, detach=detach)
        return self._result(flow, [each.name for each in picked])

    def status(self) -> CommandResult[State]:
        """Poll, load and publish what has ended, and begin what waited for it; gives where every
        enrichment model stands."""
        flow = self._flow()
        if self.files.copies is None:
            follow(flow)
        else:
            what = f"{self.config.root} cannot be written: nothing is fetched or published"
            self.workspace.listener.say(what)
        return self._result(flow)

    def cancel(self, *names: str, forget: bool = False) -> tuple[Batch, ...]:
        """Stop the batches of the named models, or all; what was answered is kept.

        `forget` waits no more for batches that their provider cannot stop or does not know: what it
        answers all the same is lost.
        """
        self.files.check_writable()
        return cancel_models(self._flow(), names, forget=forget)

    def debug(self, *, provider: str | None = None) -> Iterator[Finding]:
        """What is there, what can be reached, and what would go wrong. Nothing is sent or spent."""
        return find_findings(self._flow(), provider=provider)

    def test(self, *names: str, exclude: Sequence[str] = ()) -> Listed[Result]:
        """Run the tests of the named models, or all, on their tables as they would be published.

        Nothing is published; failing rows are in the schema `enrich_tests`. A SQL test is run once,
        with the last of the models that it reads.
        """
        flow = self._flow()
        picked = pick_models(flow, names, exclude)
        with hold_project(self.files):
            return Listed(test_models(flow, picked, alone=not names and not exclude))

    def failing(self, result: Result, *, limit: int = 10) -> Rows:
        """The first rows that a test found."""
        return lookup.find_failing(self._flow(), result, limit)

    def history(self, name: str, *key: str) -> Rows:
        """The life of one row: when it asked what, what came back, and when each answer held.

        `key` are the values of its key's columns, in order, as text. Times are UTC.
        """
        return lookup.find_life(self._flow(), name, key)

    def failures(self, name: str, *, limit: int = 20) -> Failures:
        """The rows of a model that are not ok: the first `limit`, and how many there are of each
        kind."""
        return lookup.find_failures(self._flow(), name, limit)

    def cost(self, by: By = "model") -> Rows:
        """What was spent by model, llm, prompt, day or batch; `enrich.costs` is made anew."""
        return lookup.sum_costs(self._flow(), by)

    def ledger_check(self) -> tuple[copy.Part, ...]:
        """Read all of the ledger and say what of it is damaged; nothing is changed."""
        return copy.check(self.files)

    def ledger_export(self, folder: str | Path, *, skip_damaged: bool = False) -> Export:
        """Write all of the ledger into a new folder, as Parquet; `skip_damaged` without the rows
        that cannot be read."""
        return backup.export_ledger(self.workspace, Path(folder), skip_damaged=skip_damaged)

    def ledger_import(self, folder: str | Path, *, replace: bool = False) -> Path | None:
        """Make the ledger from an export; gives where the old one is kept, which is replaced only
        with `replace`, if it holds anything."""
        return backup.import_ledger(self.workspace, Path(folder), replace=replace)

    def sql(self, query: str) -> Rows:
        """Run a query on the warehouse; the ledger is attached as `ledger`, for reading only.

        It is the caller's own: unlike a model's SELECT it may write, and read any file.
        """
        return lookup.run_query(self.workspace, query)

    def _flow(self, names: Sequence[str] | None = None, **options: bool) -> Flow:
        """A new command. One that works on all models, `names` being empty, also tells of files
        that are broken."""
        flow = Flow(workspace=self.workspace, **options)  # type: ignore[arg-type]  # its flags
        if names is not None and not names:
            flow.found.problems.update(self.graph.broken)
        return flow

    def _result(self, flow: Flow, names: list[str] | None = None) -> CommandResult[State]:
        states, found = lookup.find_states(flow, names), flow.found
        return CommandResult.of(states, tests=found.tests, problems=found.problems.values())


def _usual_listener() -> Listener:
    """A notebook shows what happens; any other program asks for it."""
    from enrich.report.screen import Screen, is_in_notebook

    return Screen() if is_in_notebook() else Silence()
