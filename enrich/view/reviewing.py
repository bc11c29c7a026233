"""Reviewing: which rows a person is shown, and what the person says about them."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast, get_args

from enrich.compiler.judge import render_judgement
from enrich.errors import EnrichError, InputError
from enrich.manifest.digits import load_exact
from enrich.manifest.reviews import (
    RANDOM_QUEUE,
    ReviewVerdict,
    Verdict,
    append_verdict,
    list_reviewed,
    list_standing,
    read_verdicts,
)
from enrich.pipeline.review import render_json_value, summarize_verdicts
from enrich.view.rows import PageQuery

if TYPE_CHECKING:
    from collections.abc import Mapping

    from enrich.db.files import DatabaseFiles
    from enrich.manifest.column_type import ColumnType
    from enrich.manifest.model import Model
    from enrich.manifest.output import Column
    from enrich.pipeline.workspace import Workspace
    from enrich.results import ReviewSummary
    from enrich.view.rows import ShownRows

AHEAD = 100
"""How many rows the page has ahead, so that nobody waits for the next one."""


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
            "answers": shown.find_answers(numbers[:AHEAD]),
            "reviewed": len(mine),
            "reviewer": self.reviewer,
        }

    def record(self, name: str, shown: ShownRows, words: Mapping[str, Any]) -> dict[str, Any]:
        """Write a verdict on a row to the disk. `id` is the row's custom_id and `fingerprint` that
        of the answer that was seen; `values` are the columns that the person has filled in.

        Raises InputError if it is no verdict, if its values do not fit the output, or if the row
        has another answer by now.
        """
        model = self.workspace.graph.find_model(name)
        ident, word, given = words.get("id"), words.get("verdict"), words.get("values", {})
        if word not in get_args(ReviewVerdict) or not isinstance(given, dict):
            raise InputError("this is not a verdict on a row", hint="reload the page")
        row = shown.find_by_id(str(ident))
        if row is None or row["fingerprint"] != words.get("fingerprint"):
            message = "the row has another answer by now"
            raise InputError(message, hint="reload the page to see it")
        columns = {column.name: column for column in model.own_prompt.output.columns}
        answer = {name: row["answer"].get(name) for name in columns}
        said = _read_values(columns, given)
        blind = words.get("blind") is True
        # A blind reviewer has not seen the other columns, and says nothing about them.
        values = said if blind else {**answer, **said}
        is_right = all(_is_same(said[name], answer[name], columns[name]) for name in said)
        verdict = Verdict(
            key=row["key"],
            verdict=_name_verdict(cast("ReviewVerdict", word), is_right=is_right),
            values=values if word in ("right", "corrected") else {},
            fingerprint=row["fingerprint"],
            queue=RANDOM_QUEUE if words.get("queue") == RANDOM_QUEUE else "filter",
            blind=blind,
            by=self.reviewer,
            at=datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        )
        if verdict.values and said:
            whole = replace(verdict, values={**answer, **said})
            _check_values(shown, model, whole, said=tuple(said))
        append_verdict(self.workspace.config.root, name, verdict)
        return {"saved": verdict.verdict, "values": dict(verdict.values)}

    def _name_row(self, shown: ShownRows, key: Mapping[str, Any]) -> tuple[str, ...]:
        """Returns the key of a row as texts, in the order of its columns."""
        return tuple(str(key.get(column.name, "")) for column in shown.key)


def _name_verdict(word: ReviewVerdict, *, is_right: bool) -> ReviewVerdict:
    """Returns the verdict that fits what was said: the page may only guess which one that is."""
    if word not in ("right", "corrected"):
        return word
    return "right" if is_right else "corrected"


def _is_same(one: object, other: object, column: Column) -> bool:
    """Whether two values are equal; lists are, if they hold the same items, and JSON, if it says
    the same."""
    if column.type.sql == "JSON" and isinstance(one, str) and isinstance(other, str):
        with suppress(ValueError, RecursionError):  # for NaN, which has to be the same text
            return bool(load_exact(one) == load_exact(other))
    if isinstance(one, list) and isinstance(other, list):
        return {str(item) for item in one} == {str(item) for item in other}
    return one == other


def _read_values(columns: Mapping[str, Column], given: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what a person has filled in, as the JSON that an llm would have answered. Raises
    InputError for what cannot be read."""
    values = {}
    for name, value in given.items():
        if name not in columns:
            raise InputError(f"the output has no column '{name}'", hint="reload the page")
        try:
            values[name] = _read_value(columns[name].type, value)
        except (ValueError, RecursionError) as problem:
            message = f"{name}: '{value}' is not a {columns[name].type.sql}"
            raise InputError(message, hint="correct it, or say that you cannot tell") from problem
    return values


def _read_value(kind: ColumnType, value: object) -> object:
    """Returns one value of the page, a text or a list of texts, as JSON. Raises ValueError."""
    if value is None:
        return None
    if isinstance(value, list) and kind.is_list:
        return [_read_value(kind.parts[0].type, item) for item in value]
    if not isinstance(value, str):
        raise ValueError(value)
    form = kind.render_schema(required=True).get("type")
    if form == "string":
        return value
    if form == "boolean" and value not in ("true", "false"):
        raise ValueError(value)
    return load_exact(value)


def _check_values(
    shown: ShownRows, model: Model, verdict: Verdict, *, said: tuple[str, ...]
) -> None:
    """Raises InputError if what a person has said could be no answer: the judge of an llm's answers
    judges these columns as well."""
    output = model.own_prompt.output
    parts = (
        f"{json.dumps(column.name)}: {render_json_value(verdict, column)}"
        for column in output.columns
    )
    judged = render_judgement("SELECT $content AS content", output, "json_schema")
    with shown.open() as database:
        found = database.execute(f"SELECT fault FROM ({judged})", content=f"{{{', '.join(parts)}}}")
    starts = (*(f"{name}: " for name in said), "CHECK ")
    faults = [each for each in str(found[0][0] or "").split("; ") if each.startswith(starts)]
    if faults:
        raise InputError("; ".join(faults), hint="correct it, or say that you cannot tell")


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
