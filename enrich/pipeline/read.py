"""Read: load result files into the ledger, with an outcome and a reason for each request."""

from __future__ import annotations

import json
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from enrich.compiler import judge as judging
from enrich.compiler import pack, reader, tables
from enrich.errors import DatabaseError
from enrich.ledger.batch import update_batch, utc_now
from enrich.manifest.output import Output
from enrich.pipeline import result_file
from enrich.pipeline.fetch import list_result_paths

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from enrich.db.database import Ledger
    from enrich.db.files import DatabaseFiles
    from enrich.ledger.batch import Batch, ReadBatch
    from enrich.manifest.prompt import Endpoint, ResponseFormat


UNRUN_REASONS = {
    "expired": "not run: the batch expired first",
    "cancelled": "not run: the batch was cancelled",
    "failed": "not run: the batch failed",
    "given up": "not run: the batch was given up",
    "interrupted": "the preview was interrupted: the call may have been billed",
}
"""Why a request without a result line was not run, by the status of its batch."""

MOST_TOGETHER = 10
"""How many batches are read at once: more is no faster and takes more memory."""


@dataclass(frozen=True, kw_only=True)
class EndedBatch:
    """A batch to read: its number of requests, and its result files.

    `unrun` says why requests without a result line were not run; "" if all should have been.
    """

    batch: str
    run: int
    requests: int
    files: tuple[Path, ...] = ()
    unrun: str = ""


ASKED_REQUESTS = "SELECT fingerprint FROM temp._enrich_asked"
"""The requests of a plan: those that the present version of the model asks."""


@dataclass(frozen=True, kw_only=True)
class Judge:
    """What requests are written, and answers read and judged by: one version. If it is `packed`, a
    line has several rows."""

    endpoint: Endpoint
    form: ResponseFormat
    output: Output
    prefix: str
    packed: bool
    params: Mapping[str, Any]

    @classmethod
    def of(cls, database: Ledger, prompt: str) -> Judge:
        """Returns the judge of the version `prompt`, from the ledger."""
        endpoint, form, ddl, prefix, size, params = database.fetch_one(
            "SELECT endpoint, response_format, output, prefix, pack, params FROM ledger.prompts "
            "WHERE prompt = $prompt",
            prompt=prompt,
        )
        return cls(
            endpoint=cast("Endpoint", endpoint),
            form=cast("ResponseFormat", form),
            output=Output.parse(ddl, source="ledger"),
            prefix=prefix,
            packed=bool(size),
            params=json.loads(params or "{}"),
        )

    @property
    def id(self) -> str:
        """A hash that changes whenever the same answer may be judged differently."""
        return sha256(f"{self.form}\n{self.output.ddl}".encode()).hexdigest()[:12]


def read_files(
    database: Ledger, ended: Sequence[EndedBatch], judge: Judge
) -> dict[str, Mapping[str, int]]:
    """Write a response to the ledger for every request of these batches, from their result files.

    Returns the counts of outcomes by batch, which add up to its requests; raises DatabaseError if
    they do not. Needs the ledger, within the caller's transaction.
    """
    # Empty files are left out: Azure writes an empty error file for every batch without errors.
    files = {path: each.batch for each in ended for path in each.files if path.stat().st_size}
    database.call("result_files", files=list(files), batches=list(files.values()))
    _judge_lines(database, judge, files=list(files))
    database.call(
        "reading",
        batches=[each.batch for each in ended],
        runs=[each.run for each in ended],
        unrun=[each.unrun for each in ended],
    )
    counts = _settle_requests(database, ended, judge)
    if any(sum(counts[each.batch].values()) > each.requests for each in ended):
        # Some servers write the same custom_id twice; one of the lines counts.
        database.call("unsettle")
        database.execute(reader.render_drop_duplicates())
        counts = _settle_requests(database, ended, judge)
    for each in ended:
        _check_sum(each, sum(counts[each.batch].values()))
    return counts


def _settle_requests(
    database: Ledger, ended: Sequence[EndedBatch], judge: Judge
) -> dict[str, Mapping[str, int]]:
    """Write a response for every line that answers a request of the batches being read, and for
    every request without a line. Returns the counts of outcomes by batch."""
    # Starts from the requests, so that a request without a line gets a response as well.
    database.call("settle", judged_by=judge.id, whole=judge.form != "text")
    counts: dict[str, Mapping[str, int]] = {each.batch: {} for each in ended}
    return counts | {batch: dict(outcomes) for batch, outcomes in database.call("counts")}


def _check_sum(ended: EndedBatch, found: int) -> None:
    if found != ended.requests:
        what = f"{ended.requests} requests were sent, but {found} have an outcome"
        hint = "this is a bug in enrich; the result files are kept in the batch's folder"
        raise DatabaseError(f"batch {ended.batch}: {what}", hint=hint)


def _judge_lines(database: Ledger, judge: Judge, *, files: Sequence[Path]) -> None:
    """Create `temp._enrich_judged`: the lines that answer requests, and what is wrong with each.

    Lines with an answer in the usual place are read first. Only if a file has other lines are these
    searched for errors, refusals and unusual shapes, and only lines that are not JSON are repaired.
    So no answer is lost to a bad byte, and the usual file is read once.
    """
    if not files:
        _judge(database, reader.render_no_lines(judge.endpoint), judge)
        return
    found = [result_file.survey_lines(path) for path in files]
    longest = max(each.longest for each in found)
    names = list(files)
    if longest <= reader.USUAL_LINE_BYTES:
        _judge_files(
            database, judge, names, sum(each.lines for each in found), reader.USUAL_LINE_BYTES
        )
        return
    # DuckDB allocates buffers of the longest allowed line for each thread.
    with database.allow_memory():
        _judge_files(database, judge, names, sum(each.lines for each in found), longest + 1)


def _judge_files(
    database: Ledger, judge: Judge, files: list[Path], lines: int, longest: int
) -> None:
    texts = judge.form == "vector" and any(map(result_file.has_text_vectors, files))
    # The lines of packs are few: nothing is gained by reading the usual ones first.
    if judge.packed or texts:
        _judge(database, reader.render_no_lines(judge.endpoint), judge)
    else:
        _judge(database, reader.render_lines(judge.endpoint, longest=longest), judge, files=files)
    # Fewer answers than lines: some of them are errors, or have an unusual shape.
    if int(database.fetch_one("SELECT count(*) FROM temp._enrich_judged")[0]) < lines:
        _judge_odd(database, judge, files, longest)


def _judge_odd(database: Ledger, judge: Judge, files: list[Path], longest: int) -> None:
    """Judge the lines of unusual shape; those that are not JSON are repaired first."""
    database.execute(reader.render_odd_lines(judge.endpoint, longest=longest), files=files)
    _judge_more(database, judge)
    broken = database.execute(
        "SELECT DISTINCT filename FROM temp._enrich_lines WHERE custom_id IS NULL"
    )
    for (file,) in broken:
        mended = result_file.mend_lines(Path(file))
        if not mended.stat().st_size:
            continue
        whose = "SELECT batch FROM temp._enrich_result_files WHERE filename = $file"
        batch = str(database.fetch_one(whose, file=file)[0])
        database.call("result_files", files=[mended], batches=[batch])
        size = max(longest, result_file.survey_lines(mended).longest + 1)
        database.execute(reader.render_odd_lines(judge.endpoint, longest=size), files=[mended])
        _judge_more(database, judge)


def _judge_more(database: Ledger, judge: Judge) -> None:
    source = "SELECT * EXCLUDE (filename) FROM temp._enrich_lines WHERE custom_id IS NOT NULL"
    source = pack.render_unpacked(source) if judge.packed else source
    more = judging.render_judgement(source, judge.output, judge.form)
    database.execute(f"INSERT INTO temp._enrich_judged\n{more}")


def judge_again(database: Ledger, judge: Judge, requests: str = ASKED_REQUESTS) -> bool:
    """Judge answers again if they were last judged by another output: an answer that was paid for
    is used whenever the present output accepts it. `requests` is a query of fingerprints. Returns
    whether there were any."""
    database.execute(tables.render_misjudged_answers(requests), judged_by=judge.id)
    if database.fetch_one("SELECT count(*) FROM temp._enrich_misjudged") == (0,):
        return False
    again = judging.render_judgement(
        "SELECT * FROM temp._enrich_misjudged", judge.output, judge.form
    )
    database.execute(f"""CREATE OR REPLACE TEMP TABLE _enrich_rejudged AS
SELECT batch, custom_id, fault FROM (
{again}
)""")
    database.call("judged_again", judged_by=judge.id)
    return True


def _judge(database: Ledger, source: str, judge: Judge, **values: object) -> None:
    select = judging.render_judgement(source, judge.output, judge.form)
    database.execute(f"CREATE OR REPLACE TEMP TABLE _enrich_judged AS\n{select}", **values)


def read_batches(
    files: DatabaseFiles, ended: Sequence[Batch]
) -> tuple[list[ReadBatch], list[tuple[Batch, DatabaseError]]]:
    """Read the results of ended batches. Returns the batches read with their outcomes, and those
    that cannot be read with the error.

    Batches of one version are read together, MOST_TOGETHER at a time, each time in one transaction.
    A batch that failed without any file was not run: its requests count as never sent.
    """
    done: list[ReadBatch] = []
    troubles: list[tuple[Batch, DatabaseError]] = []
    for prompt in dict.fromkeys(batch.version_id for batch in ended):
        alike = [batch for batch in ended if batch.version_id == prompt]
        for start in range(0, len(alike), MOST_TOGETHER):
            some = alike[start : start + MOST_TOGETHER]
            try:
                done += _read_together(files, some)
                continue
            except DatabaseError as problem:
                if len(some) == 1:
                    troubles.append((some[0], problem))
                    continue
            # One by one, so that a file which cannot be read does not keep the others unread.
            for batch in some:
                try:
                    done += _read_together(files, [batch])
                except DatabaseError as problem:
                    troubles.append((batch, problem))
    return done, troubles


def _read_together(files: DatabaseFiles, some: list[Batch]) -> list[ReadBatch]:
    with files.open_ledger() as database, database.transaction():
        judge = Judge.of(database, some[0].version_id)
        run = [_describe_ended(files, batch) for batch in some if not batch.unrun]
        outcomes = read_files(database, run, judge) if run else {}
        found = [(batch, outcomes.get(batch.id, {})) for batch in some]
        return [(close_batch(database, batch, many), many) for batch, many in found]


def close_batch(
    database: Ledger, batch: Batch, outcomes: Mapping[str, int], *, billed: bool = False
) -> Batch:
    """Mark a batch as read, with its outcomes and its final cost. Returns the updated batch.

    `billed`: requests without a result may have been billed, so their estimate stays spent.
    """
    # Numbers start at 2, so that a full refresh of an empty ledger (`since` 1) counts every answer.
    (number,) = database.fetch_one("SELECT coalesce(max(read_number), 1) + 1 FROM ledger.batches")
    batch = update_batch(
        database, batch, read_at=utc_now(), read_number=number, outcomes=json.dumps(outcomes)
    )
    billed = billed or batch.status == "interrupted"
    database.call("true_up", batch=batch.id, billed=billed)
    return batch


def _describe_ended(files: DatabaseFiles, batch: Batch) -> EndedBatch:
    return EndedBatch(
        batch=batch.id,
        run=batch.run,
        requests=batch.requests,
        files=tuple(list_result_paths(files, batch)),
        unrun=UNRUN_REASONS.get((batch.status or "").lower(), ""),
    )
