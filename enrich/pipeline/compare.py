"""Compare: the working prompt with what is published, or one llm with another, on a sample of rows.

The requests of a comparison are a preview: their answers go to the ledger, and no run pays for them
again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from enrich.compiler import comparison
from enrich.compiler.version import Version
from enrich.db.quote import quote_name
from enrich.errors import InputError
from enrich.ledger.run import Run
from enrich.pipeline.answer_tables import find_key
from enrich.pipeline.preview import ask_rows
from enrich.pipeline.read import Judge
from enrich.providers.capabilities import quote_price
from enrich.results import Rows

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from enrich.db.database import Both, Database, Ledger
    from enrich.db.files import DatabaseFiles
    from enrich.manifest.config import Config
    from enrich.manifest.model import Model
    from enrich.manifest.output import Output
    from enrich.pipeline.preview import AskedRows
    from enrich.providers import Provider


@dataclass(frozen=True, kw_only=True)
class Side:
    """One side of a comparison: what answered, and its tokens for the sample. `cost` is the price
    of these tokens in a batch (USD), None if no price is known."""

    name: str
    input_tokens: int
    output_tokens: int
    cost: float | None


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """For one column, the share of rows whose cells agree (None without rows), and the number of
    rows whose cells do not."""

    column: str
    share: float | None
    changed: int


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A cell that differs; with `column` "", the row has an answer on one side only."""

    key: str
    column: str
    was: str | None
    now: str | None


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two sides over a sample of `rows` rows, of which `both` have an answer on each side.

    `only_was` and `only_now` are the columns of one side only. `asked` requests were sent for this
    comparison, for `spent` USD. `diff` shows what has changed in the prompt since it was published.
    """

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
        return Rows(columns=columns, rows=tuple(shown))._repr_html_()


def compare_answers(
    files: DatabaseFiles,
    config: Config,
    open_provider: Callable[[str], Provider],
    model: Model,
    *,
    provider: Provider,
    llm: str = "",
    alone: bool = False,
    limit: int,
    where: str = "",
) -> Comparison:
    """Answer `limit` rows for which `where` is true with the working prompt, and compare the
    answers with the published ones or, with `llm`, with those of that llm. With `alone`, each row
    of the sample is asked by itself; if answers are copied, the sample is of these. The sample is
    always the same.

    Raises what `preview_rows` raises, and InputError if nothing has been published.
    """
    if alone and model.own_prompt == model.own_prompt.ask_alone():
        what = f"{model.own_prompt.source}: each row is asked by itself already"
        hint = "--alone is for prompts with `pack`, `dedupe` or `triage`; leave it out"
        raise InputError(what, hint=hint)
    copied = alone and not llm and model.own_prompt.copies
    if copied:
        _check_copied(files, model)
    if alone:
        model = replace(model, prompt=model.own_prompt.ask_alone())

    def ask(asked: Model, *, among: str) -> AskedRows:
        return ask_rows(
            files, config, provider, asked, limit=limit, where=where, among=among, copied=copied
        )

    if llm:
        other = replace(model, prompt=replace(model.own_prompt, llm=llm))
        return _compare_llms(files, provider, ask(model, among=""), ask(other, among=""))
    _check_published(files, model)
    now = ask(model, among=model.name)
    with files.open_both(warehouse="read") as database:
        _load_asked_side(database, "now", now)
        version = _load_published_side(database, now)
        run = Run.latest(database, model.name)
        # The published answers may be from another provider, with other prices.
        was = (f"{version.llm}, published", version.llm), open_provider(run.provider)
        what = "each row alone" if alone else "working prompt"
        working = _name_side(now, what), provider
        return _compare_sides(database, was, working, (now,), version=version)


def _compare_llms(
    files: DatabaseFiles, provider: Provider, first: AskedRows, second: AskedRows
) -> Comparison:
    """Compare two llms' answers to the same rows. Both have just been asked, so the model need not
    have been run."""
    with files.open_both(warehouse="read") as database:
        _load_asked_side(database, "was", first)
        _load_asked_side(database, "now", second)
        sides = (_name_side(first), provider), (_name_side(second), provider)
        return _compare_sides(database, sides[0], sides[1], (second, first))


Respondent = tuple[tuple[str, str], "Provider"]
"""What answered (its name and its llm), and the provider that gives its prices."""


def _name_side(asked: AskedRows, what: str = "") -> tuple[str, str]:
    llm = asked.work.body.llm
    return f"{llm}, {what}" if what else llm, llm


def _check_published(files: DatabaseFiles, model: Model) -> None:
    with files.open_both(warehouse="read") as database:
        there = database.call("exists", schema="main", name=model.name)
        if not there or not database.call("latest_run", model=model.name):
            hint = f"enrich run {model.name}, or compare two llms: --llm NAME"
            raise InputError(f"'{model.name}' has not been published yet", hint=hint)


def _check_copied(files: DatabaseFiles, model: Model) -> None:
    """Raises InputError if no published answer is a copy."""
    _check_published(files, model)
    table = quote_name("warehouse", "enrich", model.name)
    with files.open_warehouse("read") as database:
        # A table that an earlier enrich has published does not have the column.
        if "copied_from" in database.describe(f"FROM {table}"):
            found = f"SELECT 1 FROM {table} WHERE copied_from IS NOT NULL LIMIT 1"
            if database.execute(found):
                return
    hint = f"enrich run {model.name}, or compare without --alone"
    raise InputError(f"no published answer of '{model.name}' is copied", hint=hint)


def _load_asked_side(database: Ledger, side: str, asked: AskedRows) -> None:
    judge = Judge.of(database, asked.work.version_id)
    database.execute(
        comparison.render_asked_side(side, judge.output, judge.form),
        keys=asked.keys,
        fingerprints=asked.fingerprints,
    )


def _load_published_side(database: Both, now: AskedRows) -> Version:
    """Load the published answers to the same rows. Returns the version that gave most of them."""
    model = now.work.model.name
    key = list(find_key(database, model))
    there = database.describe(f"FROM {quote_name('warehouse', 'main', model)}")
    # The rows are matched by their keys, so these cannot differ.
    columns = [column for column in there if column not in key]
    database.execute(comparison.render_published_side("was", model, key, columns), keys=now.keys)
    provenance = quote_name("warehouse", "enrich", model)
    return Version.from_ledger(
        database, database.fetch_one(f"SELECT mode(prompt) FROM {provenance}")[0]
    )


def _compare_sides(
    database: Database,
    was: Respondent,
    now: Respondent,
    asked: tuple[AskedRows, ...],
    *,
    version: Version | None = None,
) -> Comparison:
    """Compare `_enrich_was` with `_enrich_now`. `version` is the published one, if that is a
    side."""
    work = asked[0].work
    before = database.describe("SELECT answer.* FROM temp._enrich_was")
    # DuckDB compares the names of columns without regard to case.
    lowered = {column.lower() for column in before}
    columns = _list_shared_columns(work.prompt.output, before)
    rows, both, *tokens = database.fetch_one(comparison.render_totals())
    if not rows:
        hint = "widen --where, or run the model: only published rows can be compared"
        raise InputError(f"'{work.model.name}' has no row to compare", hint=hint)
    named = {column.name.lower() for column in work.prompt.output.columns}
    agreed = database.execute(comparison.render_agreement(columns)) if columns else []
    labels = dict(zip(asked[0].keys, asked[0].labels, strict=True))
    spent = [each.cost for each in asked]
    return Comparison(
        model=work.model.name,
        was=_describe_side(was, tokens[:3]),
        now=_describe_side(now, tokens[3:]),
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


def _list_shared_columns(output: Output, before: Mapping[str, str]) -> list[tuple[str, bool]]:
    """Returns the output columns that both sides have, and whether both hold lists."""
    return [
        (column.name, column.type.is_list and before[column.name].endswith("]"))
        for column in output.columns
        if column.name in before
    ]


def _describe_side(named: Respondent, tokens: list[int]) -> Side:
    (name, llm), provider = named
    price = quote_price(provider, llm)
    paid, cached, answered = tokens
    tokens_of = {"input_tokens": paid, "cached_tokens": cached, "output_tokens": answered}
    cost = price.price_tokens(**tokens_of) if price else None
    return Side(name=name, input_tokens=paid, output_tokens=answered, cost=cost)
