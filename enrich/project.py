"""The project: everything enrich does, as one object. Each command has a method of its name."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from enrich.compiler import history, tables
from enrich.compiler.compilation import described
from enrich.db import quote
from enrich.db.database import Files, statement
from enrich.errors import (
    Damaged,
    DatabaseError,
    DiskError,
    EnrichError,
    InputError,
    Locked,
    ProjectError,
    ProviderError,
    nearest,
)
from enrich.ledger import copy as ledgercopy
from enrich.ledger import costs, queue
from enrich.ledger.batch import unread
from enrich.ledger.run import RunOptions
from enrich.ledger.state import State, states
from enrich.manifest import hidden, loading, seed_file, selection, variables
from enrich.manifest.config import Config
from enrich.manifest.sources import address
from enrich.pipeline import debug, draft, publish, run, snapshot
from enrich.pipeline import seed as seeds
from enrich.pipeline.cancel import cancel, give_up
from enrich.pipeline.compare import Comparison, compare
from enrich.pipeline.evaluate import evaluate
from enrich.pipeline.listener import Silence, Talk
from enrich.pipeline.plan import Plan
from enrich.pipeline.preview import Preview, preview, settle_previews
from enrich.pipeline.scheduler import Flow
from enrich.providers.capabilities import check_provider, read_notice
from enrich.results import CommandResult, Evaluation, Failures, Listed, Rows

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from enrich.compiler.compilation import Compiled
    from enrich.db.database import Access, Database
    from enrich.ledger.batch import Batch
    from enrich.ledger.copy import Export
    from enrich.ledger.costs import By
    from enrich.manifest.data_test import DataTest
    from enrich.manifest.graph import Graph
    from enrich.manifest.model import Model
    from enrich.pipeline.debug import Finding
    from enrich.pipeline.test import Result
    from enrich.providers import Provider


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
        talk: Talk | None = None,
        environment: Mapping[str, str] | None = None,
        variables: Mapping[str, Any] | None = None,
    ) -> None:
        self.config = Config.from_folder(Path(path))
        self.talk = talk or _usual_talk()
        self.environment = os.environ if environment is None else environment
        timeout = self.config.lock_timeout if lock_timeout is None else lock_timeout
        files = (self.config.seeds, *(path for s in self.config.sources for path in s.reach))
        root = self.config.root
        attached = tuple(address(each, self.environment, root) for each in self.config.attached)
        files += tuple(Path(each.path) for each in attached if each.type == "duckdb")
        for name in variables or {}:
            if name not in self.config.variables:
                hint = nearest(name, self.config.variables)
                raise ProjectError(f"project.yml has no variable '{name}'", hint=hint)
        self.variables = {**self.config.variables, **(variables or {})}
        self.files = Files(
            root=self.config.root,
            warehouse=self.config.warehouse,
            ledger=self.config.ledger,
            work=self.config.work,
            lock_timeout=timeout,
            say=self.talk.say,
            verbose=verbose,
            reach=self.config.reach if self.config.reach is None else (*self.config.reach, *files),
            memory_limit=self.config.memory_limit,
            attached=attached,
            storage=self.config.storage,
        )
        if not self.files.writable:
            self.files = self.files.on_copies()
        self._providers: dict[str, Provider] = {}
        self._told: set[str] = set()
        self._loaded: dict[str, tuple[Graph, tuple[DataTest, ...]]] = {}

    @property
    def models(self) -> Mapping[str, Model]:
        """The project's models, by name."""
        return self.graph.models

    @property
    def graph(self) -> Graph:
        """Which model reads which."""
        return self._load(self.variables)[0]

    def _flow(self, **options: bool) -> Flow:
        """The project at work, for one command."""
        return Flow(
            files=self.files,
            config=self.config,
            load=self._load,
            provider=self.provider,
            talk=self.talk,
            variables=self.variables,
            **options,  # type: ignore[arg-type]  # the flags of Flow
        )

    def _load(self, values: Mapping[str, Any]) -> tuple[Graph, tuple[DataTest, ...]]:
        """The models and the SQL tests, with these values of variables."""
        key = variables.dumped(values)
        if key not in self._loaded:
            tests = loading.tests(self.config, values)
            found = loading.graph(self.config, values)
            for problem in found.broken.values():
                self._tell(f"{problem.message} ({problem.hint})")
            for sentence in found.unread:
                self._tell(sentence)
            self._loaded[key] = self._resolved(found), tests
        return self._loaded[key]

    def _resolved(self, found: Graph) -> Graph:
        """The graph with what models read behind the user's macros and views: the warehouse is
        asked where a model names what is no model, seed, source or function of DuckDB's."""
        if not self.config.warehouse.exists() or not hidden.may_hide(found):
            return found
        try:
            with self.files.open(warehouse="read") as database:
                return replace(found, models=hidden.resolved(database, found.models))
        except Locked as problem:
            self.talk.say(f"{problem.message}: what macros and views hide is not known")
            return found

    def provider(self, name: str) -> Provider:
        """The provider that project.yml calls `name`."""
        from enrich.providers.registry import open_provider

        if name not in self.config.providers:
            hint = nearest(name, self.config.providers)
            raise ProjectError(f"project.yml names no provider '{name}'", hint=hint)
        if name not in self._providers:
            self._providers[name] = open_provider(
                name,
                self.config.providers[name],
                root=self.config.root,
                work=self.files.work,
                environment=self.environment,
            )
        return self._providers[name]

    def seed(self, *names: str) -> tuple[str, ...]:
        """Load the files of seeds/ as tables, and make the views of sources; gives the names of the
        seeds that were loaded anew.

        What cannot be loaded stops no other; then the first of these problems is raised.
        """
        self.files.check_writable()
        loaded, problems = self._seed(self._flow(), *names)
        for problem in problems[:1]:
            raise problem
        return loaded

    def _seed(self, flow: Flow, *names: str) -> tuple[tuple[str, ...], list[EnrichError]]:
        """The same, where what cannot be loaded is left to the models that read it."""
        found = seed_file.found(self.config)
        known = (*found.files, *found.problems)
        for name in names:
            if name not in known:
                raise ProjectError(f"there is no seed '{name}'", hint=nearest(name, known))
        wanted = {name: each for name, each in found.files.items() if not names or name in names}
        problems = {name: p for name, p in found.problems.items() if not names or name in names}
        loaded: list[str] = []
        if wanted or self.config.sources:
            with self.files.open(warehouse=True) as database:
                problems |= self._load_sources(database)
                for name, each in wanted.items():
                    try:
                        loaded += [name] if seeds.seed(database, each, work=self.files.work) else []
                    except Damaged:
                        raise
                    except (InputError, DiskError) as problem:
                        problems[name] = problem
        flow.spoiled.update({name.lower(): problem for name, problem in problems.items()})
        if loaded:
            copy = "a copy of " if self.files.copies else ""
            self.talk.say(f"loaded {', '.join(loaded)} into {copy}{self.config.warehouse.name}")
        for sentence in (*found.unread, *(f"{p.message} ({p.hint})" for p in problems.values())):
            self._tell(sentence)
        return tuple(loaded), list(problems.values())

    def _check_seeds(self, flow: Flow) -> None:
        """Load the seeds, into a copy where the warehouse cannot be written."""
        for problem in self._seed(flow)[1][:1]:
            raise problem

    def _tell(self, sentence: str) -> None:
        """Say a sentence, once."""
        if sentence not in self._told:
            self.talk.say(sentence)
            self._told.add(sentence)

    def _load_sources(self, database: Database) -> dict[str, EnrichError]:
        """Make the views of sources; gives what is wrong with those that cannot be made."""
        problems: dict[str, EnrichError] = {}
        seeds.forget_sources(database, self.config.sources)
        for each in self.config.sources:
            try:
                seeds.source(database, each)
            except DatabaseError as problem:
                message = f"the source '{each.name}' cannot be read: {problem.message}"
                problems[each.name] = InputError(message, hint="see `sources:` in project.yml")
        return problems

    def select(self, *names: str, exclude: Sequence[str] = ()) -> tuple[Model, ...]:
        """The models that a command with these words would work on, in its order; for the words
        see `enrich.manifest.selection`."""
        return selection.select(self.graph, names, exclude, changed=self._changed)

    def _changed(self, reason: str) -> set[str]:
        """The models that have something to ask, for any reason or one whose words hold `reason`.

        Nobody knows that of models that wait for such a one, so they count.
        """
        if not any(model.prompt for model in self.models.values()):
            return set()
        return {
            plan.model
            for plan in self.plan()
            if (plan.after and not reason) or any(reason in words for words in plan.reasons)
        }

    def compile(self, name: str, *, provider: str | None = None) -> dict[str, Any]:
        """What a model becomes: its SQL, the JSON Schema and the first request. Sends nothing."""
        flow = self._flow()
        picked = self.graph.one(name)
        self._seed(flow)
        flow.check_seeds(picked)
        if picked.prompt is None:
            with self.files.open(warehouse="read", attached=True) as database:
                described(database, picked)
            return {"sql": picked.query}
        chosen = self.provider(flow.provider_name(picked, provider))
        with self.files.open(warehouse="read", attached=True) as database:
            work = draft.compile_for(database, self.config, chosen, picked, identity="")
            first = self._first_request(database, work, chosen.limits.bytes)
        return {"sql": work.snapshot, "schema": picked.prompt.output.schema(), "request": first}

    def _first_request(
        self, database: Database, work: Compiled, most_bytes: int
    ) -> dict[str, Any] | None:
        snapshot.take(database, work, config=self.config, most_bytes=most_bytes)
        rows = database.run(
            "SELECT custom_id, tail FROM temp._enrich_snapshot WHERE error IS NULL LIMIT 1"
        )
        if not rows:
            return None
        body = json.loads(work.body.prefix + rows[0][1])
        return {"custom_id": rows[0][0], "method": "POST", "url": work.body.endpoint, "body": body}

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
        no plan, and stands in `problems`; raised if there is no plan at all.
        """
        picked = self._picked(names, exclude)
        order = RunOptions(retry=retry, full_refresh=full_refresh, max_cost=max_cost)
        flow = self._flow()
        flow.problems.update({} if names else self.graph.broken)
        with run.turn(self.files):
            self._seed(flow)
            flow.check(picked, provider, ready=False, refresh=full_refresh)
            settle_previews(self.files)
        plans: list[Plan] = []
        waits: dict[str, tuple[str, ...]] = {}
        for each in picked:
            upstream = sorted(flow.upstream(each, picked))
            if flow.spoiled_by(each) or each.name in flow.problems:
                waits[each.name] = (each.name,)
                continue
            after = tuple(dict.fromkeys(name for other in upstream for name in waits[other]))
            if each.prompt is None or after:
                plans.append(Plan(model=each.name, kind=each.kind, after=after))
                waits[each.name] = after
                continue
            built = [self.models[name] for name, queue in waits.items() if not queue]
            try:
                found = self._foreseen(each, provider, order, built)
            except (Locked, DiskError):
                raise
            except EnrichError as problem:
                flow.fail(each.name, problem)
                waits[each.name] = (each.name,)
                continue
            plans.append(found)
            order = replace(order, foreseen=order.foreseen + found.spend)
            waits[each.name] = () if found.settled else (each.name,)
        for first in flow.problems.values() if not plans else ():
            raise first
        return CommandResult.of(plans, problems=flow.problems.values())

    def _foreseen(
        self, each: Model, provider: str | None, order: RunOptions, built: list[Model]
    ) -> Plan:
        """A model's plan; says so where its provider could not answer now. `built` are the models
        before it, of which the plain ones need not be there yet."""
        flow = self._flow()
        chosen = self.provider(flow.provider_name(each, provider))
        if each.prompt is not None:
            try:
                images = bool(each.prompt.images)
                check_provider(chosen, images=images, endpoint=each.prompt.endpoint)
            except ProviderError as problem:
                self.talk.say(f"{each.name} cannot be run yet: {problem.message}; {problem.hint}")
        views = [view for view in built if view.prompt is None]
        found = draft.foresee(self.files, self.config, chosen, each, order, views=views)
        return found.noted(self.graph.unstable(each.name))

    def preview(
        self, name: str, *, limit: int = 5, where: str = "", provider: str | None = None
    ) -> Preview:
        """Answer the first `limit` rows of a model now, of those that the SQL condition `where` is
        true for. What the ledger knows is not asked again, and what is asked now is in it."""
        flow = self._flow()
        picked = self.graph.one(name)
        if picked.prompt is None:
            hint = "preview the model that asks, or look at this one: enrich sql"
            raise ProjectError(f"{picked.source}: '{name}' has no prompt", hint=hint)
        self.files.check_writable()
        chosen = self.provider(flow.provider_name(picked, provider))
        with run.turn(self.files):
            self._seed(flow)
            flow.check_built(picked)
            settle_previews(self.files)
            found = preview(self.files, self.config, chosen, picked, limit=limit, where=where)
        self._back_up()
        notice = read_notice(chosen)
        if notice and found.asked:
            self.talk.say(notice)
        return found

    def compare(
        self,
        name: str,
        *,
        limit: int = 20,
        where: str = "",
        llm: str = "",
        provider: str | None = None,
    ) -> Comparison:
        """Lay the working prompt's answers to a sample of `limit` rows beside those published, or,
        with `llm`, beside those that another llm gives to the same prompt."""
        flow = self._flow()
        picked = self.graph.one(name)
        self._check_asks(picked)
        self.files.check_writable()
        chosen = self.provider(flow.provider_name(picked, provider))
        with run.turn(self.files):
            self._seed(flow)
            flow.check_built(picked)
            settle_previews(self.files)
            found = compare(
                self.files,
                self.config,
                self.provider,
                picked,
                provider=chosen,
                llm=llm,
                limit=limit,
                where=where,
            )
        self._back_up()
        notice = read_notice(chosen)
        if notice and found.asked:
            self.talk.say(notice)
        return found

    def evaluate(
        self, name: str, labels: str, *, columns: Mapping[str, str] | None = None
    ) -> Evaluation:
        """Score the published columns of a model against the table `labels`; gives the figures of
        every version that was ever scored against it.

        `columns` says what the labels of output columns are called, where not like these. The
        figures are kept in `enrich.evaluations`.
        """
        flow = self._flow()
        self.files.check_writable()
        picked = self.graph.one(name)
        if picked.prompt is None:
            hint = "name a model that asks: enrich list"
            raise ProjectError(f"{picked.source}: '{name}' has no prompt", hint=hint)
        self._run_before(name)
        if labels in self.models:
            flow.check_there(labels)
        with run.turn(self.files):
            self._seed(flow)
            with self.files.open(warehouse=True, ledger=True, attached=True) as database:
                evaluate(database, name, picked.prompt, labels, columns or {})
                publish.books(database)
                named = {"model": name, "labels": labels}
                figures = _rows(database, statement("scores"), **named)
                latest = database.script("latest_scored", **named)[0][0]
                found = _rows(database, statement("scores_by_label"), **named, prompt=latest)
        return Evaluation(figures=figures, labels=found, prompt=latest)

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
        picked = self._picked(names, exclude)
        order = RunOptions(retry=retry, full_refresh=full_refresh, max_cost=max_cost)
        flow = self._flow(accept_drift=accept_drift, fail_fast=fail_fast)
        flow.problems.update({} if names else self.graph.broken)
        with run.turn(self.files):
            self._seed(flow)
            flow.check(picked, provider, refresh=full_refresh)
            settle_previews(self.files)
        try:
            flow.run(picked, provider, order, detach=detach)
        except EnrichError:
            self._back_up()  # other models may have been answered
            raise
        self._back_up()
        found = {state.model: state for state in self._states([each.name for each in picked])}
        found |= flow.built
        return CommandResult.of(
            (found[each.name] for each in picked if each.name in found),
            tests=flow.tested,
            problems=flow.problems.values(),
        )

    def _picked(self, names: Sequence[str], exclude: Sequence[str] = ()) -> tuple[Model, ...]:
        picked = self.select(*names, exclude=exclude)
        if not picked and self.models:
            self.talk.say("nothing has changed")
            return ()
        for problem in self.graph.broken.values() if not picked else ():
            raise problem
        if not picked:
            hint = "write models/NAME.sql and models/NAME.prompt.md"
            raise ProjectError(f"{self.config.models} holds no model yet", hint=hint)
        return picked

    def status(self) -> CommandResult[State]:
        """Poll, load and publish what has ended, and begin what waited for it; gives where every
        enrichment model stands."""
        flow = self._flow()
        if self.files.copies is not None:
            self.talk.say(f"{self.config.root} cannot be written: nothing is fetched or published")
            return CommandResult.of(self._states())
        with run.turn(self.files):
            turn = flow.turn()
        self._back_up()
        for sentence in dict.fromkeys(f"{t.message} ({t.hint})" for _, t in turn.troubles):
            self.talk.say(sentence)
        return CommandResult.of(self._states(), tests=flow.tested, problems=flow.problems.values())

    def cancel(self, *names: str, forget: bool = False) -> tuple[Batch, ...]:
        """Stop the batches of the named models, or all; what was answered is kept.

        `forget` waits no more for batches that their provider cannot stop or does not know: what it
        answers all the same is lost.
        """
        flow = self._flow()
        self.files.check_writable()
        with self.files.open(ledger=True) as database:
            known = {batch.model for batch in unread(database)}
            known |= {each.model for each in queue.queue(database)}
        for name in set(names) - known:
            self.graph.one(name)
        stopped: list[Batch] = []
        problems: list[EnrichError] = []
        with run.turn(self.files):
            with self.files.open(ledger=True) as database:
                todo = [b for b in unread(database) if not names or b.model in names]
                left = [
                    each.model
                    for each in queue.queue(database)
                    if not names or {each.model, *each.after} & set(names)
                ]
                queue.drop(database, left)
            for name in left:
                self.talk.say(f"{name} no longer waits to be run")
            for batch in todo:
                try:
                    after = cancel(self.files, self.provider(batch.provider), batch)
                except (ProviderError, ProjectError) as problem:
                    problems.append(problem)
                    after = batch
                stopped.append(after)
            flow.turn()
            if forget:
                given_up = self._forget({batch.batch for batch in todo})
                stopped = [given_up.get(batch.batch, batch) for batch in stopped]
        if problems and not forget:
            first = problems[0]
            hint = f"{first.hint}; to wait for it no more: enrich cancel --forget".lstrip("; ")
            raise ProviderError(first.message, hint=hint)
        return tuple(stopped)

    def _forget(self, stopped: set[str]) -> dict[str, Batch]:
        """Give up on what was to be stopped and is still unread, in whatever state it is."""
        flow = self._flow()
        with self.files.open(ledger=True) as database:
            left = [batch for batch in unread(database) if batch.batch in stopped]
        given_up = {batch.batch: give_up(self.files, batch, billed=batch.sent) for batch in left}
        flow.turn()
        return given_up

    def debug(self, *, provider: str | None = None) -> Iterator[Finding]:
        """What is there, what can be reached, and what would go wrong. Nothing is sent or spent."""
        flow = self._flow()
        return debug.findings(flow, provider=provider, seed=partial(self._check_seeds, flow))

    def test(self, *names: str, exclude: Sequence[str] = ()) -> Listed[Result]:
        """Run the tests of the named models, or all, on their tables as they would be published.

        Nothing is published; failing rows stand in the schema `enrich_tests`. A SQL test is run
        once, with the last of the models that it reads.
        """
        flow = self._flow()
        picked = self._picked(names, exclude)
        with run.turn(self.files):
            return Listed(flow.test(picked, alone=not names and not exclude))

    def failing(self, result: Result, *, limit: int = 10) -> Rows:
        """The first rows that a test found."""
        with self.files.open(warehouse="read") as database:
            return _rows(database, f"FROM {result.table} LIMIT {limit}")

    def history(self, name: str, *key: str) -> Rows:
        """The life of one row: when it asked what, what came back, and when each answer held.

        `key` are the values of its key's columns, in order, as text. Times are UTC.
        """
        picked = self._run_before(name)
        with self.files.open(ledger=True) as database:
            kinds = publish.run_key(database, picked.name)
            if len(key) != len(kinds):
                columns = " ".join(f"--key {column.upper()}" for column in kinds)
                message = f"the key of '{name}' has {len(kinds)} columns: {', '.join(kinds)}"
                raise ProjectError(message, hint=f"enrich history {name} {columns}")
            values = {f"key_{number}": value for number, value in enumerate(key)}
            found = _rows(database, history.life(picked.name, kinds), **values)
        if not found.rows:
            what = f"no row of '{name}' ever had the key {', '.join(key)}"
            raise InputError(what, hint=f"enrich.{quote.readable(name)} shows them")
        return found

    def failures(self, name: str, *, limit: int = 20) -> Failures:
        """The rows of a model that are not ok: the first `limit`, and how many there are of each
        kind."""
        picked = self._run_before(name)
        with self.files.open(ledger=True) as database:
            database.run(tables.inputs_completed(picked.name))
            database.run(tables.settled(picked.name))
            counts = _rows(database, statement("failed_counts"))
            return Failures(rows=_rows(database, tables.failures(), limit=limit), counts=counts)

    def _check_asks(self, picked: Model) -> None:
        """Refuse a plain model where only one that asks will do."""
        if picked.prompt is None:
            message = f"{picked.source}: '{picked.name}' has no prompt"
            raise ProjectError(message, hint="name a model that asks: enrich list")

    def _run_before(self, name: str) -> Model:
        """A model that was run already."""
        picked = self.graph.one(name)
        with self.files.open(ledger=True) as database:
            if not database.script("latest_run", model=name):
                self._check_asks(picked)
                raise ProjectError(f"'{name}' has not been run yet", hint=f"enrich run {name}")
        return picked

    def cost(self, by: By = "model") -> Rows:
        """What was spent by model, llm, prompt, day or batch; `enrich.costs` is made anew."""
        with self.files.open(warehouse=True, ledger=True) as database:
            publish.books(database)
            return _rows(database, costs.summed(by))

    def _states(self, names: list[str] | None = None) -> Listed[State]:
        with self.files.open(ledger=True) as database:
            return Listed(states(database, names))

    def ledger_check(self) -> tuple[ledgercopy.Part, ...]:
        """Read all of the ledger and say what of it is damaged; nothing is changed."""
        return ledgercopy.check(self.files)

    def ledger_export(self, folder: str | Path, *, skip_damaged: bool = False) -> Export:
        """Write all of the ledger into a new folder, as Parquet; `skip_damaged` without the rows
        that cannot be read."""
        with run.turn(self.files):
            made = ledgercopy.export(self.files, Path(folder), skip_damaged=skip_damaged)
        ledgercopy.note(self.files, made)
        return made

    def ledger_import(self, folder: str | Path, *, replace: bool = False) -> Path | None:
        """Make the ledger from an export; gives where the old one is kept, which is replaced only
        with `replace`, if it holds anything."""
        self.files.check_writable()
        with run.turn(self.files):
            aside = ledgercopy.import_(self.files, Path(folder), replace_ledger=replace)
        moment = ledgercopy.read_manifest(Path(folder)).exported_at
        self.talk.say(
            f"the export is of {moment:%Y-%m-%d %H:%M} UTC: "
            "what was asked after that is not in it, and may be asked again"
        )
        return aside

    def _back_up(self) -> None:
        """Export the ledger to where project.yml wants copies, if it changed. That one cannot be
        made is said, and undoes nothing of the command before it."""
        if self.config.backup is None or not self.config.ledger.exists():
            return
        try:
            with run.turn(self.files):
                ledgercopy.back_up(self.files, self.config.backup)
        except EnrichError as problem:
            self.talk.say(f"the ledger is not backed up: {problem.message} ({problem.hint})")

    def sql(self, query: str) -> Rows:
        """Run a query on the warehouse; the ledger is attached as `ledger`, for reading only.

        It is the caller's own: unlike a model's SELECT it may write, and read any file.
        """
        there = [a for a in self.files.attached if a.type != "duckdb" or Path(a.path).is_file()]
        free = replace(self.files, reach=None, attached=tuple(there))
        if set(variables.used(query)) <= set(self.variables):
            query = variables.filled(query, self.variables, source="the query")
        access: Access = "read" if self.files.copies else True
        with free.open(warehouse=access, ledger="read", attached=True) as database:
            return _rows(database, query)


def _usual_talk() -> Talk:
    """A notebook shows what happens; any other program asks for it."""
    from enrich.report.screen import Screen, in_notebook

    return Screen() if in_notebook() else Silence()


def _rows(database: Database, query: str, **values: Any) -> Rows:  # noqa: ANN401  # any SQL value
    rows = database.run(query, **values)
    columns = tuple(column[0] for column in database.connection.description or ())
    return Rows(columns=columns, rows=tuple(rows))
