"""The project: everything enrich does, as one object. Each command has a method of its name."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from enrich import batches, cost, draft, model, publish, run, snapshot
from enrich.compiler.compilation import described
from enrich.config import NAME, Config
from enrich.database import Files
from enrich.draft import Order
from enrich.errors import (
    DatabaseError,
    InputError,
    ProjectError,
    ProviderError,
    Unavailable,
    nearest,
)
from enrich.plan import Plan
from enrich.preview import Preview, preview
from enrich.state import State, states
from enrich.talk import Silence, Talk
from enrich.wait import Wait

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from enrich.batches import Batch
    from enrich.compiler.compilation import Compiled
    from enrich.cost import By
    from enrich.database import Database
    from enrich.errors import EnrichError
    from enrich.model import Model
    from enrich.providers import Provider
    from enrich.run import Turn

PATIENCE = 20
"""How many turns in a row may fail to reach a provider before `run` gives up waiting."""


@dataclass(frozen=True, kw_only=True)
class Rows:
    """The answer to a query: column names and rows."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)


class Project:
    """A folder with project.yml and models/.

    `lock_timeout` (seconds) overrides project.yml; `talk` hears what happens; in `environment`
    `${NAME}` and keys are looked up.
    """

    def __init__(
        self,
        path: str | Path = ".",
        *,
        lock_timeout: float | None = None,
        verbose: bool = False,
        talk: Talk | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.config = Config.from_folder(Path(path))
        self.talk = talk or Silence()
        self.environment = os.environ if environment is None else environment
        timeout = self.config.lock_timeout if lock_timeout is None else lock_timeout
        seeds = self.config.seeds
        self.files = Files(
            root=self.config.root,
            warehouse=self.config.warehouse,
            ledger=self.config.ledger,
            work=self.config.work,
            lock_timeout=timeout,
            say=self.talk.say,
            verbose=verbose,
            reach=self.config.reach if self.config.reach is None else (*self.config.reach, seeds),
            memory_limit=self.config.memory_limit,
        )
        self._providers: dict[str, Provider] = {}

    @cached_property
    def models(self) -> dict[str, Model]:
        """The project's models, by name."""
        return model.load(self.config.models, root=self.config.root)

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
                work=self.config.work,
                environment=self.environment,
            )
        return self._providers[name]

    def seed(self, *names: str) -> tuple[str, ...]:
        """Load the files of seeds/ as tables; gives the names of those that were loaded anew."""
        found: dict[str, Path] = {}
        for path in sorted(self.config.seeds.glob("*")):
            if path.suffix not in publish.READERS:
                continue
            if not NAME.fullmatch(path.stem):
                hint = "a seed's name is a table's name: letters, digits and _"
                raise ProjectError(f"seeds/{path.name} cannot name a table", hint=hint)
            if path.stem in found:
                message = f"seeds/ has two files for the table '{path.stem}'"
                raise ProjectError(message, hint="rename or remove one of them")
            found[path.stem] = path
        for name in names:
            if name not in found:
                raise ProjectError(f"there is no seed '{name}'", hint=nearest(name, found))
        wanted = {name: path for name, path in found.items() if not names or name in names}
        if not wanted:
            return ()
        loaded = []
        with self.files.open(warehouse=True) as database:
            for name, path in wanted.items():
                try:
                    if publish.seed(database, name, path):
                        loaded.append(name)
                except DatabaseError as problem:
                    message = f"seeds/{path.name} cannot be loaded: {problem.message}"
                    raise InputError(message, hint=problem.hint) from problem
        if loaded:
            self.talk.say(f"loaded {', '.join(loaded)} into {self.config.warehouse.name}")
        return tuple(loaded)

    def compile(self, name: str, *, provider: str | None = None) -> dict[str, Any]:
        """What a model becomes: its SQL, the JSON Schema and the first request. Sends nothing."""
        (picked,) = model.pick(self.models, [name])
        self.seed()
        if picked.prompt is None:
            with self.files.open(warehouse="read") as database:
                described(database, picked)
            return {"sql": picked.query}
        chosen = self.provider(self._provider_name(picked, provider))
        with self.files.open(warehouse="read") as database:
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
    ) -> tuple[Plan, ...]:
        """What `run` would do with the named models, or all, in its order. Spends nothing.

        Seeds that changed are loaded. A model that reads what another's answers will change is not
        guessed at: its plan says `after` which.
        """
        picked = self._picked(names)
        order = Order(retry=retry, full_refresh=full_refresh, max_cost=max_cost)
        with run.turn(self.files):
            self.seed()
            self._check(picked, provider, ready=False)
            batches.settle_previews(self.files)
        plans: list[Plan] = []
        waits: dict[str, tuple[str, ...]] = {}
        for each in picked:
            upstream = sorted(self._upstream(each, picked))
            after = tuple(dict.fromkeys(name for other in upstream for name in waits[other]))
            if each.prompt is None or after:
                plans.append(Plan(model=each.name, view=each.prompt is None, after=after))
                waits[each.name] = after
                continue
            built = [self.models[name] for name, waiting in waits.items() if not waiting]
            found = self._foreseen(each, provider, order, built)
            plans.append(found)
            order = replace(order, foreseen=order.foreseen + found.spend)
            waits[each.name] = () if found.settled else (each.name,)
        return tuple(plans)

    def _foreseen(
        self, each: Model, provider: str | None, order: Order, built: list[Model]
    ) -> Plan:
        """A model's plan; says so where its provider could not answer now. `built` are the models
        before it, of which the plain ones need not be there yet."""
        chosen = self.provider(self._provider_name(each, provider))
        if each.prompt is not None:
            try:
                chosen.check(images=bool(each.prompt.images), endpoint=each.prompt.endpoint)
            except ProviderError as problem:
                self.talk.say(f"{each.name} cannot be run yet: {problem.message}; {problem.hint}")
        views = [view for view in built if view.prompt is None]
        return draft.foresee(self.files, self.config, chosen, each, order, views=views)

    def preview(
        self, name: str, *, limit: int = 5, where: str = "", provider: str | None = None
    ) -> Preview:
        """Answer the first `limit` rows of a model now, of those that the SQL condition `where` is
        true for. What the ledger knows is not asked again, and what is asked now is in it."""
        (picked,) = model.pick(self.models, [name])
        if picked.prompt is None:
            hint = "preview the model that asks, or look at this one: enrich sql"
            raise ProjectError(f"{picked.source}: '{name}' has no prompt", hint=hint)
        chosen = self.provider(self._provider_name(picked, provider))
        with run.turn(self.files):
            self.seed()
            self._check_built(picked)
            batches.settle_previews(self.files)
            found = preview(self.files, self.config, chosen, picked, limit=limit, where=where)
        if chosen.notice and found.asked:
            self.talk.say(chosen.notice)
        return found

    def run(
        self,
        *names: str,
        provider: str | None = None,
        detach: bool = False,
        retry: bool = False,
        full_refresh: bool = False,
        max_cost: float | None = None,
    ) -> tuple[State, ...]:
        """Run the named models, or all, in the order their SQL asks for; gives where they stand.

        Waits for the batches unless `detach`. `retry` asks rows again that failed in earlier runs,
        `full_refresh` all rows. `max_cost` (USD) is this run's budget, instead of the project's.
        """
        picked = self._picked(names)
        order = Order(retry=retry, full_refresh=full_refresh, max_cost=max_cost)
        with run.turn(self.files):
            self.seed()
            self._check(picked, provider)
            batches.settle_previews(self.files)
        waiting, started, done = list(picked), set[str](), set[str]()
        wait = Wait()
        while len(done) < len(picked):
            with run.turn(self.files):
                for each in list(waiting):
                    if self._upstream(each, picked) <= done:
                        waiting.remove(each)
                        order = self._begin(each, provider, order, started, done)
                turn = self._turn()
                self._show(turn)
                done |= {name for name in started if not turn.open(name)}
            self._raise(turn, started, wait)
            if detach:
                break
            if any(self._upstream(each, picked) <= done for each in waiting):
                continue
            if turn.held(started - done):
                break
            if len(done) < len(picked):
                wait.after(turn, self.provider, self.talk)
        return self._states([each.name for each in picked if each.prompt])

    def _picked(self, names: tuple[str, ...]) -> tuple[Model, ...]:
        picked = model.pick(self.models, names)
        if not picked:
            hint = "write models/NAME.sql and models/NAME.prompt.md"
            raise ProjectError(f"{self.config.models} holds no model yet", hint=hint)
        return picked

    def status(self) -> tuple[State, ...]:
        """Poll, load and publish what has ended; gives where every enrichment model stands."""
        with run.turn(self.files):
            turn = self._turn()
        for sentence in dict.fromkeys(f"{t.message} ({t.hint})" for _, t in turn.troubles):
            self.talk.say(sentence)
        return self._states()

    def cancel(self, *names: str, forget: bool = False) -> tuple[Batch, ...]:
        """Stop the batches of the named models, or all; what was answered is kept.

        `forget` waits no more for batches that their provider cannot stop or does not know: what it
        answers all the same is lost.
        """
        for name in names:
            if name not in self.models:
                hint = nearest(name, self.models)
                raise ProjectError(f"there is no model '{name}'", hint=hint)
        stopped: list[Batch] = []
        problems: list[EnrichError] = []
        with run.turn(self.files):
            with self.files.open(ledger=True) as database:
                todo = [b for b in batches.unread(database) if not names or b.model in names]
            for batch in todo:
                try:
                    after = batches.cancel(self.files, self.provider(batch.provider), batch)
                except (ProviderError, ProjectError) as problem:
                    problems.append(problem)
                    after = batch
                stopped.append(after)
            self._turn()
            if forget:
                given_up = self._forget({batch.batch for batch in todo})
                stopped = [given_up.get(batch.batch, batch) for batch in stopped]
        if problems and not forget:
            first = problems[0]
            hint = f"{first.hint}; to wait for it no more: enrich cancel --forget".lstrip("; ")
            raise ProviderError(first.message, hint=hint)
        return tuple(stopped)

    def _forget(self, stopped: set[str]) -> dict[str, Batch]:
        """Give up on what was to be stopped, is still unread, and is not about to end by itself."""
        with self.files.open(ledger=True) as database:
            left = [batch for batch in batches.unread(database) if batch.batch in stopped]
        hopeless = [batch for batch in left if batch.status != "cancelling" and not batch.late]
        given_up = {
            batch.batch: batches.give_up(self.files, batch, billed=batch.sent) for batch in hopeless
        }
        self._turn()
        return given_up

    def cost(self, by: By = "model") -> Rows:
        """What was spent by model, llm, prompt, day or batch; `enrich.costs` is made anew."""
        with self.files.open(warehouse=True, ledger=True) as database:
            cost.refresh(database)
            return _rows(database, cost.summed(by))

    def _states(self, names: list[str] | None = None) -> tuple[State, ...]:
        with self.files.open(ledger=True) as database:
            return states(database, names)

    def sql(self, query: str) -> Rows:
        """Run a query on the warehouse; the ledger is attached as `ledger`, for reading only.

        It is the caller's own: unlike a model's SELECT it may write, and read any file.
        """
        free = replace(self.files, reach=None)
        with free.open(warehouse=True, ledger="read") as database:
            return _rows(database, query)

    def _provider_name(self, each: Model, override: str | None) -> str:
        return override or (each.prompt.provider if each.prompt else "") or self.config.provider

    def _raise(self, turn: Turn, started: set[str], wait: Wait) -> None:
        """Give up on a model whose batches are refused, or cannot be reached for too long."""
        for name, trouble in turn.troubles:
            passing = isinstance(trouble, Unavailable) and turn.open(name)
            if name in started and not (passing and wait.failures < PATIENCE):
                raise trouble

    def _upstream(self, each: Model, picked: tuple[Model, ...]) -> set[str]:
        return {other.name for other in picked if other.name.lower() in each.reads}

    def _check(
        self, picked: tuple[Model, ...], provider: str | None, *, ready: bool = True
    ) -> None:
        """Compile whatever does not wait for another model, before anything is spent; `ready`:
        its provider must be able to answer now."""
        for each in picked:
            if self._upstream(each, picked):
                continue
            self._check_built(each)
            if each.prompt is not None:
                run.check(
                    self.files,
                    self.config,
                    self.provider(self._provider_name(each, provider)),
                    each,
                    ready=ready,
                )

    def _check_built(self, each: Model) -> None:
        """The models that this one reads, and that are not run with it, must have been built."""
        others = [name for name in self.models if name.lower() in each.reads]
        if not others:
            return
        with self.files.open(warehouse="read") as database:
            for name in others:
                if not database.script("exists", schema="main", name=name):
                    message = f"{each.source}: it reads '{name}', which was not run yet"
                    raise InputError(message, hint=f"enrich run {name} {each.name}")

    def _begin(
        self, each: Model, provider: str | None, order: Order, started: set[str], done: set[str]
    ) -> Order:
        """Build a plain SQL model, or start an enrichment model's run; gives the order, which knows
        the command's first run from then on."""
        if each.prompt is None:
            with self.files.open(warehouse=True) as database:
                described(database, each)
                publish.build(database, each)
            self.talk.say(f"{each.name}: view made")
            done.add(each.name)
            return order
        chosen = self.provider(self._provider_name(each, provider))
        result = run.start(self.files, self.config, chosen, each, order)
        self.talk.say(str(result.plan))
        if chosen.notice and result.plan.requests:
            self.talk.say(chosen.notice)
        started.add(each.name)
        if result.answered or not result.plan.requests:
            self._publish({each.name})
        return replace(order, invocation=order.invocation or result.run)

    def _turn(self) -> Turn:
        """One turn: every batch as far as it goes, and what was read published."""
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
        self._publish(unpublished)
        if turn.read:
            try:
                with self.files.open(warehouse=True, ledger=True) as database:
                    cost.refresh(database)
            except ProjectError as problem:  # somebody else's table stands there
                self.talk.say(f"{problem.message}; {problem.hint}")
        if turn.planned:
            self.talk.say(f"{turn.planned:,} requests are asked again")
        if turn.replanned:
            with self.files.open(ledger=True) as database:
                turn.batches = list(batches.unread(database))
        return turn

    def _show(self, turn: Turn) -> None:
        """Tell how far each model's batches are."""
        for name in sorted({batch.model for batch in turn.batches}):
            self.talk.progress(name, [batch for batch in turn.batches if batch.model == name])

    def _publish(self, names: set[str]) -> None:
        for name in sorted(names):
            with self.files.open(warehouse=True, ledger=True) as database:
                publish.publish(database, name)


def _rows(database: Database, query: str) -> Rows:
    rows = database.run(query)
    columns = tuple(column[0] for column in database.connection.description or ())
    return Rows(columns=columns, rows=tuple(rows))
