"""Fallback: rows with which an llm has failed are asked of the next one.

A model has a version for each of its llms. A row moves to the next one's request once the present
one has no attempts left, and from then on it stands for that in the ledger.
"""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

from enrich.compiler import fallback, tables
from enrich.pipeline.plan import Fallback
from enrich.pipeline.portion import list_todo
from enrich.pipeline.read import Judge, judge_again

if TYPE_CHECKING:
    from collections.abc import Sequence

    from enrich.compiler.version import Version
    from enrich.db.database import Ledger
    from enrich.ledger.run import Run
    from enrich.pipeline.portion import PlannedPortion

LATER_REQUESTS = "SELECT fingerprint FROM temp._enrich_later"


def pass_on(
    database: Ledger, run: Run, versions: Sequence[Version], source: str, *, record: bool
) -> None:
    """Move rows of `temp.{source}`, a snapshot or the failed requests, to the llm that is to answer
    them: the first that has, or the first that has attempts left. Create `temp._enrich_asked`.

    `versions` are those of the model's llms, in order. With `record`, the ledger's rows move, too.
    """
    # All llms are asked for the same output, so one judge is right for all of their answers.
    judge = Judge.of(database, run.version_id)
    if len(versions) > 1 and not record and run.is_repeated(database):
        later = {each.id: each.digest for each in versions[1:]}
        stay = fallback.render_stay()
        database.execute(stay, prompts=[*later], digests=[*later.values()], since=run.since)
    for place in range(len(versions) - 1):
        database.execute(tables.render_asked_requests(source, versions, place=place))
        judge_again(database, judge)
        list_todo(database, run)
        following = versions[place + 1 :]
        database.execute(
            fallback.render_later_requests(),
            prompts=[each.id for each in following],
            digests=[each.digest for each in following],
            since=run.since,
        )
        judge_again(database, judge, LATER_REQUESTS)
        database.call("passed_on", run=run.id, since=run.since)
        database.execute(fallback.render_move(source))
        for statement in fallback.render_recorded_move(run.model) if record else ():
            database.execute(statement, run=run.id)
    database.execute(tables.render_asked_requests(source, versions))
    judge_again(database, judge)


def foresee_fallbacks(
    database: Ledger, versions: Sequence[Version], portions: Sequence[PlannedPortion]
) -> tuple[Fallback, ...]:
    """Returns what the llms after the first are asked now, and what they will be asked: as the
    share of requests says with which the llm before each of them has failed so far. There is one
    portion for each of the `versions`."""
    found = []
    most, own, expected = 0, 0, 0.0
    for number in range(1, len(versions)):
        was, before, now = versions[number - 1], portions[number - 1], portions[number]
        most += before.portion.requests
        own += before.portion.own
        size = own + most * versions[number].overhead
        failed, asked = database.call("failed_share", prompt=was.id)[0]
        known = bool(asked) or not most
        share = failed / asked if asked else 1.0
        expected = share * (expected + before.portion.requests)
        many = ceil(expected)
        found.append(
            Fallback(
                llm=versions[number].llm,
                after=was.llm,
                unpacked=bool(was.pack),
                requests=now.portion.requests,
                estimate=now.estimate,
                most=most,
                expected=many if known else None,
                more=now.spending.estimate(requests=many, size=ceil(size * many / (most or 1))),
            )
        )
    return tuple(found)
