"""Responses: result files become rows of the ledger, each with its outcome and its reason."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, cast

from enrich.compiler import reader
from enrich.output import Output

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from enrich.database import Database
    from enrich.prompt import Endpoint, Format

UNRUN = {
    "expired": "not run: the batch expired first",
    "cancelled": "not run: the batch was cancelled",
    "failed": "not run: the batch failed",
}
"""Why a request without a line was not run, by the batch's last status."""


@dataclass(frozen=True, kw_only=True)
class Judge:
    """What answers are read and judged by: the output and the form of one version of a model."""

    endpoint: Endpoint
    form: Format
    output: Output
    prefix: str

    @classmethod
    def of(cls, database: Database, prompt: str) -> Judge:
        """The judge of version `prompt`, from the ledger."""
        endpoint, form, ddl, prefix = database.one(
            "SELECT endpoint, response_format, output, prefix FROM ledger.prompts "
            "WHERE prompt = $prompt",
            prompt=prompt,
        )
        return cls(
            endpoint=cast("Endpoint", endpoint),
            form=cast("Format", form),
            output=Output.parse(ddl, source="ledger"),
            prefix=prefix,
        )

    @property
    def id(self) -> str:
        """Changes whenever the same answer may be judged otherwise."""
        return sha256(f"{self.form}\n{self.output.ddl}".encode()).hexdigest()[:12]


def read(
    database: Database, *, batch: str, run: int, status: str, judge: Judge, files: list[Path]
) -> Mapping[str, int]:
    """Give every request of a batch its response, from its result files; how often each outcome.

    Needs the ledger, in a transaction of the caller's.
    """
    paths = [str(path) for path in files if path.stat().st_size]
    if paths:
        database.run(reader.lines(judge.endpoint), files=paths)
    else:
        database.run(reader.no_lines(judge.endpoint))
    _judge(database, "SELECT * FROM temp.lines", judge)
    database.script(
        "settle", batch=batch, run=run, unrun=UNRUN.get(status.lower(), ""), judged_by=judge.id
    )
    return {str(outcome): int(many) for outcome, many in database.script("counts", batch=batch)}


def give_up(database: Database, *, batch: str, run: int, judge: Judge) -> None:
    """Every request of a batch that nobody waits for any more counts as not run."""
    database.run(reader.no_lines(judge.endpoint))
    _judge(database, "SELECT * FROM temp.lines", judge)
    values = {"batch": batch, "run": run, "judged_by": judge.id}
    database.script("settle", unrun="not run: the batch was given up", **values)


def judge_again(database: Database, judge: Judge) -> None:
    """Judge the answers to `temp.snapshot` anew where another version's output judged them last.

    An answer that was paid for is used again whenever the present output accepts it.
    """
    database.script("misjudged", judged_by=judge.id)
    many = int(database.one("SELECT count(*) FROM temp.misjudged")[0])
    if many:
        _judge(database, "SELECT * FROM temp.misjudged", judge)
        database.script("judged_again", judged_by=judge.id)


def _judge(database: Database, source: str, judge: Judge) -> None:
    select = reader.judged(source, judge.output, judge.form)
    database.run(f"CREATE OR REPLACE TEMP TABLE judged AS\n{select}")
