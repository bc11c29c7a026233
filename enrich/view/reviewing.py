"""Reviewing: which rows a person is shown, and what the person says about them."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast, get_args

from enrich.errors import EnrichError, InputError
from enrich.manifest.reviews import (
    ReviewVerdict,
    Verdict,
    append_verdict,
    list_reviewed,
    list_standing,
    read_verdicts,
)
from enrich.pipeline.review import summarize_verdicts
from enrich.view.rows import PageQuery

if TYPE_CHECKING:
    from collections.abc import Mapping

    from enrich.db.files import DatabaseFiles
    from enrich.pipeline.workspace import Workspace
    from enrich.results import ReviewSummary
    from enrich.view.rows import ShownRows

AHEAD = 100
"""How many rows the page has ahead, so that nobody waits for the next one."""
WHOLE_NUMBERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT")


@dataclass(frozen=True)
class Reviewing:
    """The reviews of a project's models, by one person."""

    workspace: Workspace
    reviewer: str

    def describe(self, files: DatabaseFiles) -> dict[str, Any]:
        """Returns, by model, how many rows have been reviewed, what that says about the whole
        table, and how well reviewers agree."""
        found: dict[str, Any] = {}
        root = self.workspace.config.root
        for name in list_reviewed(root):
            model = self.workspace.graph.models.get(name)
            if model is None or not model.asks:
                continue
            try:
                verdicts = read_verdicts(root, name)
                with files.open_both(warehouse="read", ledger="read") as database:
                    if database.call("latest_run", model=name):
                        found[name] = _describe_summary(
                            summarize_verdicts(database, model, verdicts)
                        )
            except EnrichError as problem:
                found[name] = {"reviewed": 0, "problem": f"{problem.message} ({problem.hint})"}
        return found

    def find_queue(self, name: str, shown: ShownRows, words: Mapping[str, Any]) -> dict[str, Any]:
        """Returns rows that this person has not reviewed, in random order, as a page of rows.

        `words` may hold a filter, as for a page, and the numbers to `skip`, with commas.
        """
        if not shown.key:
            raise InputError(f"'{name}' has no answers to review", hint=f"enrich run {name}")
        given = {word: str(value) for word, value in words.items()}
        query = replace(PageQuery.from_words(given), outcome=given.get("outcome") or "ok", sort="")
        skip = {int(word) for word in given.get("skip", "").split(",") if word.isdecimal()}
        mine = [
            verdict
            for verdict in list_standing(read_verdicts(self.workspace.config.root, name))
            if verdict.by == self.reviewer
        ]
        done = {self._name_row(shown, verdict.key) for verdict in mine}
        numbers = [
            n for n in shown.find_numbers(query, AHEAD + len(skip), outside=done) if n not in skip
        ]
        return {
            **shown.read_numbers(numbers[:AHEAD]),
            "reviewed": len(mine),
            "reviewer": self.reviewer,
        }

    def record(self, name: str, shown: ShownRows, words: Mapping[str, Any]) -> dict[str, Any]:
        """Write a verdict on a row to the disk. Raises InputError if it is none."""
        number, word = words.get("n"), words.get("verdict")
        values = words.get("values") or {}
        outputs = {column.name for column in shown.columns if column.role == "output"}
        if (
            not isinstance(number, int)
            or word not in get_args(ReviewVerdict)
            or not isinstance(values, dict)
            or not set(values) <= outputs
        ):
            raise InputError("this is not a verdict on a row", hint="reload the page")
        row = shown.find_row(number)
        key = {
            column.name: int(text) if column.type in WHOLE_NUMBERS else text
            for column, text in zip(shown.columns, row["cells"], strict=True)
            if column.role == "key"
        }
        verdict = Verdict(
            key=key,
            verdict=cast("ReviewVerdict", word),
            values=values,
            fingerprint=row["fingerprint"] or "",
            queue="random" if words.get("queue") == "random" else "filter",
            blind=words.get("blind") is True,
            by=self.reviewer,
            at=datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        )
        append_verdict(self.workspace.config.root, name, verdict)
        return {"saved": True}

    def _name_row(self, shown: ShownRows, key: Mapping[str, Any]) -> tuple[str, ...]:
        """Returns the key of a row as texts, in the order of its columns."""
        return tuple(str(key.get(column.name, "")) for column in shown.key)


def _describe_summary(summary: ReviewSummary) -> dict[str, Any]:
    return {
        "reviewed": sum(summary.verdicts.values()),
        "verdicts": dict(summary.verdicts),
        "reviewers": dict(summary.reviewers),
        "likely": [asdict(each) for each in summary.likely],
        "kappas": [
            {
                "reviewers": [pair.reviewer, pair.other],
                "column": pair.column,
                "rows": pair.rows,
                "agreement": pair.agreement,
                "kappa": pair.kappa,
            }
            for pair in summary.pairs
        ],
    }
