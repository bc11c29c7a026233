"""Changes: the rows of a snapshot compared with the requests they stood for before.

To find out whether a row's own cells have changed, the row is rendered with its earlier version: if
that yields the same request as before, only the model has changed.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from enrich.compiler import input_rows, tables
from enrich.compiler.compilation import compile_earlier
from enrich.compiler.version import Version
from enrich.db.quote import quote_text
from enrich.errors import EnrichError, InputError
from enrich.ledger.run import Run
from enrich.pipeline.answer_tables import find_key, judge_model
from enrich.pipeline.plan import ASK_REASONS, ROW_STATES
from enrich.pipeline.read import Judge, judge_again
from enrich.pipeline.select import Recalled, select_again, select_as_before, select_rows

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from enrich.compiler.compilation import CompiledModel
    from enrich.db.database import Both, Ledger
    from enrich.manifest.config import Config


@dataclass(frozen=True, kw_only=True)
class Changes:
    """The counts of rows that are not asked, by state, and of rows to ask, by reason. `gone` rows
    are no longer in the SELECT; `same` rows stand for the same request as before. `shared_with`
    are the models that ask what rows of the state `shared` wait for."""

    states: Mapping[str, int]
    reasons: Mapping[str, int]
    gone: int
    same: int
    shared_with: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class EarlierVersions:
    """The present version, and by id the earlier ones whose requests rows of the snapshot stood
    for. `rekeyed`: the model's rows in the ledger have another key. `recalled` are the rows that
    are not in the snapshot."""

    now: Version
    versions: Mapping[str, Version]
    rekeyed: bool
    recalled: Recalled


def select_and_compare(
    database: Both, work: CompiledModel, *, config: Config, most_bytes: int, since: int
) -> EarlierVersions:
    """Create `temp._enrich_snapshot` of the rows that may be asked, `temp._enrich_known` and
    `temp._enrich_moved`. Returns the versions that rows may have moved on from. Only answers that
    were read after the `since`-th batch count.

    Needs warehouse and ledger, and no open transaction: rendering an earlier version may fail, and
    an error ends a transaction of DuckDB's. Raises InputError as `select_rows` does.
    """
    known, prompt = has_known_rows(database, work), work.prompt
    there = bool(database.call("inputs_key", model=work.model.name))
    if work.is_limited and there and not known:
        name = work.model.name
        what = (
            f"the key of '{name}' has changed, and a run of some partitions would lose the others"
        )
        raise InputError(f"{prompt.source}: {what}", hint=f"run all of it once: enrich run {name}")
    database.execute(input_rows.render_unchanged_table())
    if known and prompt.sample is not None:
        # What a row has an answer to is the judgement of its own model.
        latest = Run.latest(database, work.model.name).version_id
        judge_model(database, work.model.name, Judge.of(database, latest))
    if known:
        # These compare all rows with each other.
        every = bool(since or prompt.sample is not None or prompt.dedupe or prompt.triage)
        recalled = select_again(database, work, config=config, most_bytes=most_bytes, every=every)
    else:
        database.execute(input_rows.render_parts_table())
        database.execute(input_rows.render_no_known_rows())
        select_rows(database, work, config=config, most_bytes=most_bytes)
        recalled = Recalled()
    database.call("moved_none")
    versions = {}
    fallbacks = [each.version_id for each in work.chain[1:]]
    for (name,) in database.call("versions", version=work.version_id, fallbacks=fallbacks):
        versions[name] = Version.from_ledger(database, name)
        try:
            before = compile_earlier(database, work, versions[name])
            select_as_before(database, before, config=config)
        except EnrichError:
            # The columns that it reads are gone or have other types, so every row has changed.
            continue
        database.call("moved", version=name)
    return EarlierVersions(
        now=work.version, versions=versions, rekeyed=there and not known, recalled=recalled
    )


def has_known_rows(database: Ledger, work: CompiledModel) -> bool:
    """Whether the ledger has rows of the model under a key with the same columns and types.

    If it has, columns that a newer enrich added to their table are created.
    """
    model = work.model.name
    if not database.call("inputs_key", model=model):
        return False
    if list(find_key(database, model).items()) != list(work.key.items()):
        return False
    database.execute(input_rows.render_inputs_upgrade(model))
    return True


def keep_answers(database: Ledger, found: EarlierVersions, work: CompiledModel, run: Run) -> None:
    """Let rows whose own cells have not changed keep the answer of an earlier version, if it can
    still be shown and the present version has none, or if they have kept it so far; a share
    `sample` of all rows is asked again."""
    read = [name for name, version in found.versions.items() if found.now.can_read(version)]
    for name in read:  # another model that asks the same may have judged them by its own output
        moved = f"SELECT fingerprint FROM temp._enrich_moved WHERE version = {quote_text(name)}"
        judge_again(database, Judge.of(database, name), moved)
    if read:
        keeping = tables.render_keep_earlier_answers(
            work.model.name,
            work.prompt.output,
            work.prompt.response_format,
            everywhere=work.is_limited,
        )
        repeated = run.is_repeated(database)
        database.execute(keeping, versions=read, sample=work.prompt.sample, repeated=repeated)


def count_changes(
    database: Ledger, found: EarlierVersions, run: Run, versions: Sequence[Version]
) -> Changes:
    """Returns the counts of rows by state and reason; `versions` are those of the model's llms.
    Needs `temp._enrich_todo`."""
    states: dict[str, int] = {}
    asked: dict[str, int] = {}
    askers: set[str] = set()
    failed = {
        after.id: "failed in a pack" if was.pack else f"failed with {was.llm}"
        for was, after in pairwise(versions)
    }
    values = {"fallbacks": list(failed), "model": run.model, "since": run.since}
    for state, version, many in database.call("reasons", **values):
        if state in ROW_STATES:  # the others are reasons to ask
            states[state] = states.get(state, 0) + many
            askers |= {version} if state == "shared" else set()
            continue
        # Under another key no row can be recognized, so all of them look new.
        why = "rekeyed" if state == "new" and found.rekeyed else state
        word = ASK_REASONS.get(why)
        if state == "fallback":
            word = failed[version]
        word = word or _describe_changes(found, version)
        asked[word] = asked.get(word, 0) + many
    gone, same = database.call("still")[0]
    unchanged = found.recalled.unchanged
    if unchanged:
        states["answered"] = states.get("answered", 0) + unchanged
    return Changes(
        states=states,
        reasons=asked,
        gone=gone - unchanged,
        same=same + unchanged,
        shared_with=tuple(sorted(askers)),
    )


def _describe_changes(found: EarlierVersions, version: str) -> str:
    return f"{', '.join(found.now.list_changes(found.versions[version]))} changed"
