"""Compare: the working prompt against what is published, or one llm against another, on a sample.

What is asked for it is a preview: it stands in the ledger, and no run pays for it again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from enrich.compiler import comparison
from enrich.compiler.version import Version
from enrich.db.quote import quote_name
from enrich.errors import InputError
from enrich.ledger.run import Run
from enrich.pipeline.preview import ask_rows
from enrich.pipeline.publish import find_key
from enrich.pipeline.read import Judge
from enrich.providers.capabilities import quote_price
from enrich.results import Rows

if TYPE_CHECKING:
    from collections.abc import Callable

    from enrich.db.database import Both, Database, Ledger
    from enrich.db.files import DatabaseFiles
    from enrich.manifest.config import Config
    from enrich.manifest.model import Model
    from enrich.pipeline.preview import Asked
    from enrich.providers import Provider


@dataclass(frozen=True, kw_only=True)
class Side:
    """One of the two: what answered, and the tokens of its answers to the sample. `cost` is what
    these come to in a batch (USD), None where no price is known."""

    name: str
    input_tokens: int
    output_tokens: int
    cost: float | None


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """Of a column: the share of rows whose cells agree, None where there are none, and how many do
    not."""

    column: str
    share: float | None
    changed: int


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A cell that is different; `column` "": the row has an answer on one side only."""

    key: str
    column: str
    was: str | None
    now: str | None


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two answers to each of `rows`, of which `both` have two. Columns that one side lacks are
    `only_was` and `only_now`. `asked` requests were asked now, for `spent` USD. `diff` is what
    changed in the prompt since it was published."""

    model: str
    was: Side
    now: Side
    rows: int
    both: int
    agreement: tuple[Agreement, ...]
    differences: tuple[Difference, ...]
    only_was: tuple[str, ...]
    only_now: tuple[str, ...]
    asked: int
    spent: float | None
    diff: str

    def _repr_html_(self) -> str:
        shown = ((each.key, each.column, each.was, each.now) for each in self.differences)
        columns = ("row", "column", self.was.name, self.now.name)
        return Rows(columns=columns, rows=tuple(shown)).html


def compare_answers(
    files: DatabaseFiles,
    config: Config,
    open_provider: Callable[[str], Provider],
    model: Model,
    *,
    provider: Provider,
    llm: str = "",
    limit: int,
    where: str = "",
) -> Comparison:
    """Ask the working prompt of `limit` rows, always the same, of those that `where` is true for,
    and lay its answers beside those published; with `llm`, beside those that this one gives.

    Raises as `preview_rows` does, and InputError where nothing is published.
    """
    if not llm:
        _check_published(files, model)
        now = ask_rows(files, config, provider, model, limit=limit, where=where, among=model.name)
        with files.open_both(warehouse="read") as database:
            _answered(database, "now", now)
            version = _published(database, now)
            run = Run.latest(database, model.name)
            was = (f"{version.llm}, published", version.llm), open_provider(run.provider)
            working = _name(now, "working prompt"), provider
            return _compared(database, was, working, (now,), version=version)
    other = replace(model, prompt=replace(model.own_prompt, llm=llm))
    first = ask_rows(files, config, provider, model, limit=limit, where=where, among="")
    second = ask_rows(files, config, provider, other, limit=limit, where=where, among="")
    with files.open_both(warehouse="read") as database:
        _answered(database, "was", first)
        _answered(database, "now", second)
        sides = (_name(first), provider), (_name(second), provider)
        return _compared(database, sides[0], sides[1], (second, first))


Named = tuple[tuple[str, str], "Provider"]
"""What answered, its llm, and its provider."""


def _name(asked: Asked, what: str = "") -> tuple[str, str]:
    llm = asked.work.body.llm
    return f"{llm}, {what}" if what else llm, llm


def _check_published(files: DatabaseFiles, model: Model) -> None:
    with files.open_both(warehouse="read") as database:
        there = database.call("exists", schema="main", name=model.name)
        if not there or not database.call("latest_run", model=model.name):
            hint = f"enrich run {model.name}, or compare two llms: --llm NAME"
            raise InputError(f"nothing is published of '{model.name}' yet", hint=hint)


def _answered(database: Ledger, side: str, asked: Asked) -> None:
    judge = Judge.of(database, asked.work.version_id)
    database.execute(
        comparison.render_asked_side(side, judge.output, judge.form),
        keys=asked.keys,
        fingerprints=asked.fingerprints,
    )


def _published(database: Both, now: Asked) -> Version:
    """The published answers to the same rows; gives the version that most of them are from."""
    model = now.work.model.name
    key = list(find_key(database, model))
    there = database.describe(f"FROM {quote_name('warehouse', 'main', model)}")
    columns = [column for column in there if column not in key]
    database.execute(comparison.render_published_side("was", model, key, columns), keys=now.keys)
    told = quote_name("warehouse", "enrich", model)
    return Version.from_ledger(database, database.fetch_one(f"SELECT mode(prompt) FROM {told}")[0])


def _compared(
    database: Database,
    was: Named,
    now: Named,
    asked: tuple[Asked, ...],
    *,
    version: Version | None = None,
) -> Comparison:
    """`version` is the one that is published, where it is compared with."""
    work = asked[0].work
    before = database.describe("SELECT answer.* FROM temp._enrich_was")
    lowered = {column.lower() for column in before}
    columns = [
        (column.name, column.type.is_list and before[column.name].endswith("]"))
        for column in work.prompt.output.columns
        if column.name.lower() in lowered and column.name in before
    ]
    rows, both, *tokens = database.fetch_one(comparison.render_totals())
    if not rows:
        hint = "widen --where, or run the model: what is compared must be published"
        raise InputError(f"'{work.model.name}' has no row to compare", hint=hint)
    named = {column.name.lower() for column in work.prompt.output.columns}
    agreed = database.execute(comparison.render_agreement(columns)) if columns else []
    labels = dict(zip(asked[0].keys, asked[0].labels, strict=True))
    spent = [each.cost for each in asked]
    return Comparison(
        model=work.model.name,
        was=_side(was, tokens[:3]),
        now=_side(now, tokens[3:]),
        rows=rows,
        both=both,
        agreement=tuple(Agreement(column=c, share=s, changed=n) for c, s, n in agreed),
        differences=tuple(
            Difference(key=labels[key], column=column or "", was=old, now=new)
            for key, column, old, new in database.execute(comparison.render_differences(columns))
        ),
        only_was=tuple(column for column in before if column.lower() not in named),
        only_now=tuple(c.name for c in work.prompt.output.columns if c.name.lower() not in lowered),
        asked=sum(each.asked for each in asked),
        spent=None if None in spent else sum(cost or 0.0 for cost in spent),
        diff=work.version.diff(version, called="published") if version else "",
    )


def _side(named: Named, tokens: list[int]) -> Side:
    (name, llm), provider = named
    price = quote_price(provider, llm)
    paid, cached, answered = tokens
    tokens_of = {"input_tokens": paid, "cached_tokens": cached, "output_tokens": answered}
    cost = price.price_tokens(**tokens_of) if price else None
    return Side(name=name, input_tokens=paid, output_tokens=answered, cost=cost)
