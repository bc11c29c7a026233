"""Changes: the rows of a snapshot beside what they stood for before, and why they are asked.

Whether a row's own cells changed is found by letting its earlier version ask again: if it would ask
what it asked, only the model changed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from enrich.compiler import tables
from enrich.compiler.compilation import compile_earlier
from enrich.compiler.version import Version
from enrich.errors import EnrichError
from enrich.pipeline.plan import ASKED, STATES
from enrich.pipeline.select import select_as_before

if TYPE_CHECKING:
    from collections.abc import Mapping

    from enrich.compiler.compilation import CompiledModel
    from enrich.db.database import Both, Ledger
    from enrich.manifest.config import Config


@dataclass(frozen=True, kw_only=True)
class Changes:
    """Rows by where they stand, and those to be asked by why; `gone` are in the SELECT no more, and
    `same` stand for the same request as before."""

    states: Mapping[str, int]
    reasons: Mapping[str, int]
    gone: int
    same: int


@dataclass(frozen=True, kw_only=True)
class Earlier:
    """The present version, and the earlier ones whose requests rows of the snapshot moved on from,
    by id. `rekeyed`: the model's rows in the ledger have another key."""

    now: Version
    versions: Mapping[str, Version]
    rekeyed: bool


def compare_rows(database: Both, work: CompiledModel, *, config: Config) -> Earlier:
    """Make `temp._enrich_known` and `temp._enrich_moved` for `temp._enrich_snapshot`.

    Needs warehouse and ledger, and no transaction: an earlier version may fail on rows as they are.
    """
    known = known_rows(database, work)
    if known:
        database.execute(
            tables.render_known_rows(work.model.name, answered=work.prompt.sample is not None)
        )
    else:
        database.execute(tables.render_no_known_rows())
    database.call("moved_none")
    versions = {}
    for (name,) in database.call("versions", version=work.version_id):
        versions[name] = Version.from_ledger(database, name)
        try:
            before = compile_earlier(database, work, versions[name])
            select_as_before(database, before, config=config)
        except EnrichError:
            continue  # its columns are gone, or hold what it cannot take: every row has changed
        database.call("moved", version=name)
    there = bool(database.call("inputs_key", model=work.model.name))
    return Earlier(now=work.version, versions=versions, rekeyed=there and not known)


def known_rows(database: Ledger, work: CompiledModel) -> bool:
    """Whether the ledger has the model's rows under a key of the same columns and types."""
    model = work.model.name
    kind = database.call("inputs_key", model=model)
    if not kind or database.describe("SELECT key FROM temp._enrich_snapshot")["key"] != kind[0][0]:
        return False
    database.execute(tables.render_inputs_upgrade(model))
    return True


def keep_answers(database: Ledger, found: Earlier, work: CompiledModel) -> None:
    """Rows whose own cells are as before keep the answer that an earlier version gave, if anything
    of it can still be shown and the present version has none; `sample` of all rows do not."""
    read = [name for name, version in found.versions.items() if found.now.can_read(version)]
    if read:
        keeping = tables.render_keep_earlier_answers(
            work.prompt.output, work.prompt.response_format
        )
        database.execute(keeping, versions=read, sample=work.prompt.sample)


def count_changes(database: Ledger, found: Earlier) -> Changes:
    """Where the rows stand, once `temp._enrich_todo` is made."""
    states: dict[str, int] = {}
    asked: dict[str, int] = {}
    for state, version, many in database.call("reasons"):
        if state in STATES:
            states[state] = many
            continue
        why = "rekeyed" if state == "new" and found.rekeyed else state
        word = ASKED.get(why) or _changed(found, version)
        asked[word] = asked.get(word, 0) + many
    gone, same = database.call("still")[0]
    return Changes(states=states, reasons=asked, gone=gone, same=same)


def _changed(found: Earlier, version: str) -> str:
    return f"{', '.join(found.now.list_changes(found.versions[version]))} changed"
