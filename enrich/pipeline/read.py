"""Read: result files become rows of the ledger, each with its outcome and its reason."""

from __future__ import annotations

import json
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, cast

from enrich.compiler import judge as judging
from enrich.compiler import reader, tables
from enrich.errors import DatabaseError
from enrich.ledger.batch import now, update
from enrich.manifest.output import Output
from enrich.pipeline import result_file
from enrich.pipeline.fetch import result_paths

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from enrich.db.database import Ledger
    from enrich.db.files import Files
    from enrich.ledger.batch import Batch, Done
    from enrich.manifest.prompt import Endpoint, ResponseFormat


UNRUN = {
    "expired": "not run: the batch expired first",
    "cancelled": "not run: the batch was cancelled",
    "failed": "not run: the batch failed",
    "given up": "not run: the batch was given up",
    "interrupted": "the preview was interrupted: the call may have been billed",
}
"""Why a request without a line was not run, by how its batch ended."""

TOGETHER = 10
"""How many batches are read at once: more is no faster, and takes more room."""


@dataclass(frozen=True, kw_only=True)
class Ended:
    """A batch to be read: how many requests it had, and the files its provider gave for it.

    `unrun` says why a request without a line was not run; empty where it should have been.
    """

    batch: str
    run: int
    requests: int
    files: tuple[Path, ...] = ()
    unrun: str = ""


ASKED = "SELECT fingerprint FROM temp._enrich_asked"
"""What a plan is about: the requests that the present version of the model asks."""


@dataclass(frozen=True, kw_only=True)
class Judge:
    """What answers are read and judged by: the output and the form of one version of a model."""

    endpoint: Endpoint
    form: ResponseFormat
    output: Output
    prefix: str

    @classmethod
    def of(cls, database: Ledger, prompt: str) -> Judge:
        """The judge of version `prompt`, from the ledger."""
        endpoint, form, ddl, prefix = database.fetch_one(
            "SELECT endpoint, response_format, output, prefix FROM ledger.prompts "
            "WHERE prompt = $prompt",
            prompt=prompt,
        )
        return cls(
            endpoint=cast("Endpoint", endpoint),
            form=cast("ResponseFormat", form),
            output=Output.parse(ddl, source="ledger"),
            prefix=prefix,
        )

    @property
    def id(self) -> str:
        """Changes whenever the same answer may be judged otherwise."""
        return sha256(f"{self.form}\n{self.output.ddl}".encode()).hexdigest()[:12]


def read_files(
    database: Ledger, ended: Sequence[Ended], judge: Judge
) -> dict[str, Mapping[str, int]]:
    """Give every request of these batches its response, from their result files.

    Gives how often each outcome, by batch; they add up to its requests. Needs the ledger, in a
    transaction of the caller's.
    """
    files = {path: each.batch for each in ended for path in each.files if path.stat().st_size}
    database.call("result_files", files=list(files), batches=list(files.values()))
    _judge_lines(database, judge, files=list(files))
    database.call(
        "reading",
        batches=[each.batch for each in ended],
        runs=[each.run for each in ended],
        unrun=[each.unrun for each in ended],
    )
    database.call("settle", judged_by=judge.id, whole=judge.form != "text")
    counts: dict[str, Mapping[str, int]] = {each.batch: {} for each in ended}
    for batch, outcomes in database.call("counts"):
        counts[batch] = dict(outcomes)
    for each in ended:
        _check_sum(each, sum(counts[each.batch].values()))
    return counts


def _check_sum(ended: Ended, found: int) -> None:
    if found != ended.requests:
        what = f"{ended.requests} requests were sent, but {found} have an outcome"
        hint = "this is a fault of enrich; the result files are kept beside the batch"
        raise DatabaseError(f"batch {ended.batch}: {what}", hint=hint)


def _judge_lines(database: Ledger, judge: Judge, *, files: Sequence[Path]) -> None:
    """Make `temp._enrich_judged`: at most one line for each request, and what is wrong with it.

    Lines with an answer are read at once. Only where a file has others is every line looked at, for
    errors, refusals, and whatever servers write instead; and only where some are not JSON, they are
    mended, so that no byte loses an answer.
    """
    if not files:
        _judge(database, reader.no_lines(judge.endpoint), judge)
        return
    found = [result_file.survey(path) for path in files]
    longest = max(each.longest for each in found)
    names = list(files)
    if longest <= reader.LONGEST:
        _judge_files(database, judge, names, sum(each.lines for each in found), reader.LONGEST)
        return
    with database.roomy():
        _judge_files(database, judge, names, sum(each.lines for each in found), longest + 1)


def _judge_files(
    database: Ledger, judge: Judge, files: list[Path], lines: int, longest: int
) -> None:
    _judge(database, reader.lines(judge.endpoint, longest=longest), judge, files=files)
    if int(database.fetch_one("SELECT count(*) FROM temp._enrich_judged")[0]) < lines:
        _judge_odd(database, judge, files, longest)
    found, different = database.call("judged_counts")[0]
    if found > different:
        database.execute(reader.drop_doubles())


def _judge_odd(database: Ledger, judge: Judge, files: list[Path], longest: int) -> None:
    """Judge the lines that are not as usual; those that are not JSON are mended first."""
    database.execute(reader.odd_lines(judge.endpoint, longest=longest), files=files)
    _judge_more(database, judge)
    broken = database.execute(
        "SELECT DISTINCT filename FROM temp._enrich_lines WHERE custom_id IS NULL"
    )
    for (file,) in broken:
        mended = result_file.mend(Path(file))
        if not mended.stat().st_size:
            continue
        whose = "SELECT batch FROM temp._enrich_result_files WHERE filename = $file"
        batch = str(database.fetch_one(whose, file=file)[0])
        database.call("result_files", files=[mended], batches=[batch])
        size = max(longest, result_file.survey(mended).longest + 1)
        database.execute(reader.odd_lines(judge.endpoint, longest=size), files=[mended])
        _judge_more(database, judge)


def _judge_more(database: Ledger, judge: Judge) -> None:
    source = "SELECT * EXCLUDE (filename) FROM temp._enrich_lines WHERE custom_id IS NOT NULL"
    more = judging.render_judgement(source, judge.output, judge.form)
    database.execute(f"INSERT INTO temp._enrich_judged\n{more}")


def judge_again(database: Ledger, judge: Judge, requests: str = ASKED) -> None:
    """Judge the answers to `requests`, a query of fingerprints, again where another output judged
    them last: an answer that was paid for is used whenever the present output accepts it."""
    database.execute(tables.misjudged(requests), judged_by=judge.id)
    if database.fetch_one("SELECT count(*) FROM temp._enrich_misjudged") == (0,):
        return
    again = judging.render_judgement(
        "SELECT * FROM temp._enrich_misjudged", judge.output, judge.form
    )
    database.execute(f"""CREATE OR REPLACE TEMP TABLE _enrich_rejudged AS
SELECT batch, custom_id, fault FROM (
{again}
)""")
    database.call("judged_again", judged_by=judge.id)


def _judge(database: Ledger, source: str, judge: Judge, **values: object) -> None:
    select = judging.render_judgement(source, judge.output, judge.form)
    database.execute(f"CREATE OR REPLACE TEMP TABLE _enrich_judged AS\n{select}", **values)


def read_batches(
    files: Files, ended: Sequence[Batch]
) -> tuple[list[Done], list[tuple[Batch, DatabaseError]]]:
    """Give every request of ended batches its response; gives those done, and those that cannot be.

    Batches of one prompt are read together, some at a time, each time in one transaction. A batch
    that failed without any file was not run at all: its requests are as good as never sent.
    """
    done: list[Done] = []
    troubles: list[tuple[Batch, DatabaseError]] = []
    for prompt in dict.fromkeys(batch.version_id for batch in ended):
        alike = [batch for batch in ended if batch.version_id == prompt]
        for start in range(0, len(alike), TOGETHER):
            some = alike[start : start + TOGETHER]
            try:
                done += _read_together(files, some)
                continue
            except DatabaseError as problem:
                if len(some) == 1:
                    troubles.append((some[0], problem))
                    continue
            for batch in some:
                try:
                    done += _read_together(files, [batch])
                except DatabaseError as problem:
                    troubles.append((batch, problem))
    return done, troubles


def _read_together(files: Files, some: list[Batch]) -> list[Done]:
    with files.open_ledger() as database, database.transaction():
        judge = Judge.of(database, some[0].version_id)
        run = [_results(files, batch) for batch in some if not batch.unrun]
        outcomes = read_files(database, run, judge) if run else {}
        found = [(batch, outcomes.get(batch.id, {})) for batch in some]
        return [(closed(database, batch, many), many) for batch, many in found]


def closed(
    database: Ledger, batch: Batch, outcomes: Mapping[str, int], *, billed: bool = False
) -> Batch:
    """The batch is read: nothing will be asked of it again."""
    # From 2 on, so that a full refresh (`since` 1) of a ledger without answers counts them all.
    (number,) = database.fetch_one("SELECT coalesce(max(read_number), 1) + 1 FROM ledger.batches")
    batch = update(
        database, batch, read_at=now(), read_number=number, outcomes=json.dumps(outcomes)
    )
    billed = billed or batch.status == "interrupted"
    database.call("true_up", batch=batch.id, billed=billed)
    return batch


def _results(files: Files, batch: Batch) -> Ended:
    return Ended(
        batch=batch.id,
        run=batch.run,
        requests=batch.requests,
        files=tuple(result_paths(files, batch)),
        unrun=UNRUN.get((batch.status or "").lower(), ""),
    )
