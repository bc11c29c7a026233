"""Flow: models run in the order of their SQL, a turn at a time.

One turn takes every batch as far as it goes, publishes what was read, and begins whatever waited
for that. `run` takes turns until its models are through; `status` takes one.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from enrich.compiler.compilation import described
from enrich.errors import (
    DatabaseError,
    DiskError,
    EnrichError,
    InputError,
    Locked,
    ModelError,
    ProjectError,
    Unavailable,
)
from enrich.ledger import queue
from enrich.ledger.batch import Done, standing, unread
from enrich.ledger.budget import Left
from enrich.ledger.queue import Waiting
from enrich.ledger.run import Run
from enrich.ledger.state import State
from enrich.manifest import data_test
from enrich.pipeline import publish, run
from enrich.pipeline.backoff import Wait
from enrich.pipeline.listener import Progress
from enrich.pipeline.publish import check_answers, check_names
from enrich.providers.capabilities import read_notice

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from enrich.db.database import Files
    from enrich.ledger.run import RunOptions
    from enrich.manifest.config import Config
    from enrich.manifest.data_test import DataTest
    from enrich.manifest.graph import Graph
    from enrich.manifest.model import Model
    from enrich.pipeline.listener import Talk
    from enrich.pipeline.publish import Published
    from enrich.pipeline.run import Turn
    from enrich.pipeline.test import Result
    from enrich.providers import Provider

NOT_BEGUN = "failed"
NOT_PUBLISHED = "could not be published"


@dataclass(kw_only=True)
class Flow:
    """A project at work.

    `load` reads the models with values of variables; `provider` opens the provider of a name.
    `results` are those of the tests that were run so far, `built` the plain models, by name, and
    `problems` why models could not be begun or published. `accept_drift`: what a drift test finds
    is only told. `fail_fast`: a model that cannot be begun, or that
    tests hold back, ends the command. `spoiled` are seeds
    and sources that could not be loaded, in lower case, and why.
    """

    files: Files
    config: Config
    load: Callable[[Mapping[str, Any]], tuple[Graph, Sequence[DataTest]]]
    provider: Callable[[str], Provider]
    talk: Talk
    variables: Mapping[str, Any]
    results: dict[str, tuple[Result, ...]] = field(default_factory=dict)
    problems: dict[str, EnrichError] = field(default_factory=dict)
    built: dict[str, State] = field(default_factory=dict)
    accept_drift: bool = False
    fail_fast: bool = False
    spoiled: dict[str, EnrichError] = field(default_factory=dict)

    @property
    def tested(self) -> tuple[Result, ...]:
        """What the tests found that were run so far."""
        return tuple(result for found in self.results.values() for result in found)

    @property
    def graph(self) -> Graph:
        return self.load(self.variables)[0]

    def provider_name(self, each: Model, override: str | None) -> str:
        """The provider that answers a model."""
        return override or (each.prompt.provider if each.prompt else "") or self.config.provider

    def upstream(self, each: Model, picked: Sequence[Model]) -> tuple[str, ...]:
        """Those of the picked models that this one depends on."""
        before = self.graph.before(each.name)
        return tuple(other.name for other in picked if other.name in before)

    def check(
        self,
        picked: Sequence[Model],
        provider: str | None,
        *,
        ready: bool = True,
        refresh: bool = False,
    ) -> None:
        """Compile whatever does not wait for another model, before anything is spent; `ready`:
        its provider must be able to answer now, `refresh`: a plain model may replace answers. What
        is wrong with one model stops no other."""
        with self.files.open(warehouse="read") as database:
            for each in picked:
                check_names(database, each)
        for each in picked:
            try:
                with self.files.open(warehouse="read") as database:
                    check_answers(database, each, refresh=refresh)
                if not self.upstream(each, picked) and not self.spoiled_by(each):
                    self.check_one(each, provider, ready=ready)
            except (Locked, DiskError):
                raise
            except EnrichError as problem:
                self.fail(each.name, problem)

    def check_one(self, each: Model, provider: str | None, *, ready: bool = False) -> None:
        """Compile one model against the warehouse as it stands."""
        self.check_built(each)
        if each.prompt is not None:
            chosen = self.provider(self.provider_name(each, provider))
            run.check(self.files, self.config, chosen, each, ready=ready)
            return
        with self.files.open(warehouse="read", attached=True) as database:
            described(database, each)

    def spoiled_by(self, each: Model) -> EnrichError | None:
        """Why a seed, a source or a model that one reads, itself or behind plain models, is not
        there."""
        before = (self.graph.models[name] for name in self.graph.before(each.name))
        readers = (each, *(model for model in before if model.prompt is None))
        broken = {name.lower(): problem for name, problem in self.graph.broken.items()}
        spoiled = broken | self.spoiled
        names = sorted({name for model in readers for name in model.reads} & spoiled.keys())
        return spoiled[names[0]] if names else None

    def check_seeds(self, each: Model) -> None:
        """The seeds and sources that a model reads must have been loaded as they are now."""
        problem = self.spoiled_by(each)
        if problem is not None:
            raise problem

    def check_built(self, each: Model) -> None:
        """The models that this one reads, and that are not run with it, must have been built."""
        self.check_seeds(each)
        for name in self.unbuilt(each):
            message = f"{each.source}: it reads '{name}', which has not been run yet"
            raise InputError(message, hint=f"enrich run +{each.name}")

    def check_there(self, name: str) -> None:
        """A model must have been built."""
        if not self._there({name}):
            raise InputError(f"'{name}' has not been run yet", hint=f"enrich run +{name}")

    def unbuilt(self, each: Model) -> tuple[str, ...]:
        """The models that this one reads, and that are not in the warehouse."""
        names = sorted(self.graph.parents[each.name])
        if not names:
            return ()
        with self.files.open(warehouse="read") as database:
            return tuple(n for n in names if not database.script("exists", schema="main", name=n))

    def run(
        self, picked: Sequence[Model], provider: str | None, order: RunOptions, *, detach: bool
    ) -> None:
        """Run these models, each after those it reads; returns when they are through, or a budget
        holds what is left. `detach`: after the first turn."""
        command, names = uuid4().hex[:12], {each.name for each in picked}
        wait = Wait()
        with run.turn(self.files):
            self._line_up(picked, provider, order, command)
        while True:
            with self._all_or_none(command):
                with run.turn(self.files):
                    turn = self.turn(command)
                    self._show(turn)
                self._raise(turn, names)
                self._raise_held_back(names)
            with self.files.open(ledger=True) as database:
                left = [each for each in queue.queue(database) if each.command == command]
            under_way = {name for name in names if turn.open(name)}
            still = all(batch.held for batch in turn.batches)  # nothing would change by waiting
            hopeful = wait.note(turn, self.talk)
            if detach or still or not (left or under_way) or turn.held(under_way):
                break
            if not hopeful:
                self.talk.say("given up for now; nothing is lost, and enrich status tries again")
                break
            wait.after(turn, self.provider, self.talk)
        self._account(names)
        own = [(n, p) for n, p in self.problems.items() if n in names or n in self.graph.broken]
        self.problems.clear()
        for name, problem in own[:1]:
            if name in problem.message:
                raise problem
            raise type(problem)(f"{name}: {problem.message}", hint=problem.hint) from problem

    def _raise_held_back(self, names: set[str]) -> None:
        """End the command at the first table that its tests hold back, if it is to fail fast."""
        for name in sorted(names if self.fail_fast else ()):
            failed = [each.test for each in self.results.get(name, ()) if each.verdict == "fail"]
            if failed:
                what = f"'{name}' is held back: the test {failed[0]} fails"
                raise InputError(what, hint=f"enrich test {name} shows its rows")

    def _account(self, names: set[str]) -> None:
        """Say what was spent of the budgets of these models' runs, of each budget once."""
        told: dict[str, None] = {}
        with self.files.open(ledger=True) as database:
            for name in sorted(names):
                if not database.script("latest_run", model=name):
                    continue
                run = Run.latest(database, name)
                left = Left.of(
                    database, run.limits, model=name, run=run.run, invocation=run.invocation
                )
                if left.account:
                    whose = "" if left.scope in ("run", "month") else f"{name}: "
                    told[f"{whose}{left.account}"] = None
        for sentence in told:
            self.talk.say(sentence)

    def turn(self, command: str = "") -> Turn:
        """Every batch as far as it goes, what was read published, and what waited for it begun.

        What goes wrong with a model of `command` ends its part of the command, with any other it is
        told, and the model waits on.
        """
        tried: set[str] = set()
        troubles: list[tuple[str, EnrichError]] = []
        done: list[Done] = []
        while True:
            turn = self._advance()
            turn.troubles[:0] = troubles
            turn.read[:0] = done
            with self.files.open(ledger=True) as database:
                ready = [each for each in queue.ready(database) if each.model not in tried]
            if not ready:
                return turn
            troubles, done = turn.troubles, turn.read
            for each in ready:
                tried.add(each.model)
                self._go_on(each, command)

    def publish(self, names: set[str]) -> None:
        """Publish what is known of these models; tests may hold a table back."""
        if not names:
            return
        try:
            graph, tests = self.load(self.variables)
        except EnrichError as problem:
            listed = ", ".join(sorted(names))
            self.talk.say(f"{problem.message}; until that is mended {listed} cannot be tested")
            self.problems["models"] = problem
            return
        for name in sorted(names):
            model = graph.models.get(name)
            if name in graph.broken:  # without its files nobody knows its tests
                self.talk.say(f"{name} is not published until its files are mended")
                self.problems[name] = graph.broken[name]
                continue
            try:
                self._publish(name, model, tests)
            except Locked:
                raise
            except (ProjectError, ModelError, InputError, DatabaseError) as problem:
                self.talk.say(f"{name} is not published: {problem.message}; {problem.hint}")
                self.problems[name] = problem
                self._skip_after(name, NOT_PUBLISHED)

    def _publish(self, name: str, model: Model | None, tests: Sequence[DataTest]) -> None:
        if model is not None and model.prompt is None:  # its answers stay in the ledger
            with self.files.open(ledger=True) as database:
                database.script("left_alone", model=name)
            return
        own = self.tests(model, tests) if model else ()
        whole, under_way = not all(test.counts for test in own), self._under_way(name)
        if whole and under_way:
            return  # tests judge a whole table: bit by bit any change would look small
        with self.files.open(warehouse=True, ledger=True, attached=whole) as database:
            found = publish.publish(
                database,
                name,
                own,
                folder=self.files.work,
                under_way=under_way,
                about=model.description if model else "",
            )
        if not found.same and not (under_way and found.held_back):
            self._tell(found)
            self.books()

    def tests(self, model: Model, tests: Sequence[DataTest]) -> tuple[DataTest, ...]:
        """The tests of a model: its own, and those of files that read it, if all else that they
        read is there."""
        own = data_test.with_lost(model.prompt.tests, model.prompt.source) if model.prompt else ()
        if self.accept_drift:
            own = tuple(replace(t, severity="warn") if t.kind == "drift" else t for t in own)
        found = []
        names = {name.lower(): name for name in self.graph.models}
        for test in tests:
            others = {names[table] for table in test.reads if table in names} - {model.name}
            if model.name.lower() in test.reads and self._there(others):
                found.append(test)
        taken = {test.name.lower() for test in own}
        for test in found:
            if test.name.lower() in taken:
                message = f"{test.source}: '{model.name}' has a test of this name already"
                raise ModelError(message, hint="rename the file, or give the other one a `name`")
        return (*own, *found)

    def test(self, picked: Sequence[Model], *, alone: bool) -> tuple[Result, ...]:
        """The tests of these models, on their tables as they would be published; each SQL test
        once, with the last model that it reads. `alone`: also those that read none."""
        graph, files = self.load(self.variables)
        left = {test.name for test in files}
        names = {name.lower() for name in graph.models}
        others = [test for test in files if not test.reads & names] if alone else []
        found: list[Result] = []
        if others:
            with self.files.open(warehouse=True, attached=True) as database:
                found += publish.test_alone(database, others, folder=self.files.work)
        for each in reversed(picked):
            own = [t for t in self.tests(each, files) if t.kind != "sql" or t.name in left]
            left -= {test.name for test in own}
            if not own:
                continue
            with self.files.open(warehouse=True, ledger=True, attached=True) as database:
                there = database.script("exists", schema="main", name=each.name)
                if not there and not database.script("latest_run", model=each.name):
                    self.talk.say(f"skipped the tests of {each.name}: it has not been run yet")
                    continue
                folder, asks = self.files.work, each.prompt is not None
                results = publish.test(database, each.name, own, folder=folder, asks=asks).results
            found = [*results, *found]
        return tuple(found)

    def _there(self, names: set[str]) -> bool:
        if not names:
            return True
        with self.files.open(warehouse="read") as database:
            return all(database.script("exists", schema="main", name=name) for name in names)

    def _under_way(self, name: str) -> bool:
        with self.files.open(ledger=True) as database:
            return any(b.model == name and not b.held for b in unread(database))

    def _tell(self, found: Published) -> None:
        """Say what tests found."""
        self.results[found.model] = found.results
        for result in found.results:
            if result.verdict == "pass":
                continue
            what = result.error or f"{result.failures:,} rows, in {result.table}"
            word = "fails" if result.verdict == "fail" else "warns"
            self.talk.say(f"{found.model}: test {result.test} {word}: {what}")
        if found.held_back:
            self.talk.say(f"{found.model} is held back: its table stays as it was")

    def _line_up(
        self, picked: Sequence[Model], provider: str | None, order: RunOptions, command: str
    ) -> None:
        """Begin what waits for nothing; then the others wait, but for those after one that did not
        come through.

        They wait from then on only: whatever is killed before leaves nobody to go on without it.
        """
        later = {each.name: self.upstream(each, picked) for each in picked}
        stopped: dict[str, str] = {}
        for each in picked:
            if later[each.name]:
                continue
            if each.name in self.problems:
                stopped[each.name] = NOT_BEGUN
                continue
            try:
                order = self._begin(each, provider, order)
            except (Locked, DiskError):
                raise
            except EnrichError as problem:
                self.fail(each.name, problem)
                stopped[each.name] = NOT_BEGUN
            if each.name in self.problems:
                stopped.setdefault(each.name, NOT_PUBLISHED)
            if each.name in self.built and self.built[each.name].held_back:
                stopped[each.name] = "was held back by its tests"
        with self.files.open(ledger=True) as database, database.transaction():
            for name, after in later.items():
                cause = next((other for other in after if other in stopped), "")
                if cause:
                    self._skip(name, cause, stopped[cause])
                elif after:
                    row = Waiting(
                        model=name,
                        command=command,
                        after=after,
                        provider=provider or "",
                        order=order,
                        variables=self.variables,
                    )
                    queue.put(database, row)

    @contextmanager
    def _all_or_none(self, command: str) -> Iterator[None]:
        """Where a command ends with an error, nothing waits for its turn any more."""
        try:
            yield
        except EnrichError:
            with self.files.open(ledger=True) as database:
                left = [each.model for each in queue.queue(database) if each.command == command]
                queue.drop(database, left)
            raise

    def _begin(self, each: Model, provider: str | None, order: RunOptions) -> RunOptions:
        """Build a plain SQL model, or start an enrichment model's run; gives the order, which knows
        the command's first run from then on."""
        self.check_seeds(each)
        if each.prompt is None:
            tests = self.tests(each, self.load(self.variables)[1])
            with self.files.open(warehouse=True, attached=True) as database:
                check_answers(database, each, refresh=order.full_refresh)
                described(database, each)
                found = publish.build(database, each, tests, folder=self.files.work)
            self._tell(found)
            made_at = None if found.held_back else datetime.now(UTC).replace(tzinfo=None)
            self.built[each.name] = State(
                model=each.name, kind=each.kind, held_back=found.held_back, published_at=made_at
            )
            if not found.held_back:
                self.talk.say(f"{each.name}: {each.kind} made")
            return order
        chosen = self.provider(self.provider_name(each, provider))
        result = run.start(self.files, self.config, chosen, each, order)
        planned = result.plan.noted(self.graph.unstable(each.name))
        for sentence in (str(planned), *planned.notes):
            self.talk.say(sentence)
        notice = read_notice(chosen)
        if notice and result.plan.requests:
            self.talk.say(notice)
        if result.answered or not result.plan.requests:
            self.publish({each.name})
        return replace(order, invocation=order.invocation or result.run)

    def _go_on(self, each: Waiting, command: str) -> None:
        """Begin a model that waited, unless one before it did not come through."""
        with self.files.open(ledger=True) as database:
            stuck = queue.stuck(database, each)
            if stuck:
                queue.drop(database, [each.model])
        if stuck:
            self._skip(each.model, *stuck)
            self._skip_after(*stuck)
            return
        flow = replace(self, variables=each.variables)
        why = ""
        try:
            order = flow._begin(flow.graph.one(each.model), each.provider, each.order)
        except (Locked, DiskError):
            raise
        except EnrichError as problem:
            if each.command != command:
                self.talk.say(f"{each.model} waits: {problem.message}; {problem.hint}")
                self.talk.say(f"it is tried again each time; enrich cancel {each.model} ends that")
                return
            self.fail(each.model, problem)
            order, why = each.order, NOT_BEGUN
        built = self.built.get(each.model)
        if built and built.held_back:
            why = "was held back by its tests"
        with self.files.open(ledger=True) as database:
            queue.drop(database, [each.model])
            if order.invocation:
                queue.begun(database, each.command, order.invocation)
        if why:
            self._skip_after(each.model, why)

    def fail(self, name: str, problem: EnrichError) -> None:
        """A model cannot be begun; others go on, unless they must not."""
        if self.fail_fast:
            raise problem
        self.talk.say(f"{name} failed: {problem.message} ({problem.hint})")
        self.problems[name] = problem

    def _skip_after(self, name: str, why: str) -> None:
        """Let no model wait for one that does not come through."""
        with self.files.open(ledger=True) as database:
            left = [each.model for each in queue.queue(database) if name in each.after]
            queue.drop(database, left)
        for other in left:
            self._skip(other, name, why)

    def _skip(self, name: str, cause: str, why: str) -> None:
        self.talk.say(f"skipped {name}: upstream model {cause} {why}")

    def _advance(self) -> Turn:
        """Every batch as far as it goes, and what was read published."""
        turn = run.advance(self.files, self.provider)
        for batch, outcomes in turn.read:
            if (batch.status or "").lower() == "failed" and not outcomes:
                why = batch.error or batch.code
                self.talk.say(f"{batch.batch} failed, and nothing of it was run: {why}")
                continue
            parts = ", ".join(f"{many:,} {word}" for word, many in outcomes.items())
            self.talk.say(f"{batch.batch} {batch.status}: {batch.requests:,} sent = {parts}")
        with self.files.open(ledger=True) as database:
            unpublished = {str(row[0]) for row in database.script("unpublished")}
        self.publish(unpublished)
        if turn.read or unpublished:
            self.books()
        if turn.planned:
            self.talk.say(f"{turn.planned:,} requests are asked again")
        if turn.replanned:
            with self.files.open(ledger=True) as database:
                turn.batches = list(unread(database))
        return turn

    def books(self) -> None:
        """Make anew what enrich tells of all models."""
        try:
            with self.files.open(warehouse=True, ledger=True) as database:
                publish.books(database)
        except ProjectError as problem:  # somebody else's table stands there
            self.talk.say(f"{problem.message}; {problem.hint}")

    def _show(self, turn: Turn) -> None:
        """Tell how far each model is."""
        seen = [*turn.batches, *(batch for batch, _ in turn.read)]
        names = sorted({batch.model for batch in seen})
        if not names:
            return
        with self.files.open(ledger=True) as database:
            figures = {name: database.script("progress", model=name)[0] for name in names}
        for name, (total, answered, _, failed, spent) in figures.items():
            own = [batch for batch in seen if batch.model == name]
            words = {"read" if batch.read_at else standing(batch) for batch in own}
            words = words - {"read"} or {"done"}
            self.talk.progress(
                Progress(
                    model=name,
                    total=int(total),
                    answered=int(answered),
                    failed=int(failed),
                    spent=spent,
                    state=", ".join(sorted(words)),
                )
            )

    def _raise(self, turn: Turn, names: set[str]) -> None:
        """Give up on a model whose batches are refused; what passes by itself is waited for."""
        for name, trouble in turn.troubles:
            if name in names and not isinstance(trouble, Unavailable):
                raise trouble
