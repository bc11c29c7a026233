"""Examples: reviewed rows become few-shot turns for the prompt."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from enrich.compiler.body import render_pieces
from enrich.compiler.compilation import compile_model
from enrich.compiler.reviews import render_example_rows
from enrich.errors import InputError, ModelError, count_nouns
from enrich.manifest.examples import Example, escape_json, escape_text, write_sections
from enrich.manifest.reviews import find_review_file, list_standing, read_verdicts
from enrich.manifest.template import Text
from enrich.pipeline.lock import hold_project
from enrich.pipeline.review import render_json_value, stage_verdicts
from enrich.pipeline.seed import load_seeds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from enrich.manifest.model import Model
    from enrich.manifest.prompt import Prompt
    from enrich.manifest.reviews import Verdict
    from enrich.pipeline.flow import Flow


@dataclass(frozen=True, kw_only=True)
class ExampleRow:
    """A reviewed row: what the last user message says about it, and what the answer should be."""

    text: str
    verdict: Verdict
    labels: frozenset[tuple[str, str]]

    @property
    def is_corrected(self) -> bool:
        return self.verdict.verdict == "corrected"


def write_examples(flow: Flow, name: str, limit: int) -> str:
    """Returns up to `limit` reviewed rows of a model as sections of a prompt, the reviewed columns
    as the assistant's answers.

    Rows that show the most labels that no other example shows come first, then corrected ones, then
    those with the lowest keys. Raises ModelError if the model shows pictures or has no user
    message, and InputError if no reviewed row can be an example.
    """
    model = flow.find_enrichment_model(name)
    prompt = model.own_prompt
    text = _render_question(prompt)
    with hold_project(flow.files):
        load_seeds(flow, readers=[model])
        flow.check_upstream(model)
        found = choose_rows(_list_rows(flow, model, text), limit)
    if not found:
        source = find_review_file(flow.config.root, name).relative_to(flow.config.root).as_posix()
        what = f"no reviewed row of '{name}' can be an example"
        hint = f"{source} must hold right or corrected rows that the model still selects"
        raise InputError(what, hint=hint)
    if len(found) < limit:
        flow.listener.say(f"there is no more than {count_nouns(len(found), 'reviewed row')}")
    return write_sections(_write_example(prompt, row) for row in found)


def _render_question(prompt: Prompt) -> str:
    """Returns SQL for what the last user message says about a row. Raises ModelError."""
    if prompt.embeds:
        hint = "examples show an llm how to answer in words; a vector is made of the text alone"
        raise ModelError(f"{prompt.source}: an embedding has no examples", hint=hint)
    if prompt.images:
        what = f"{prompt.source}: it shows pictures, which cannot be pasted into a prompt"
        raise ModelError(what, hint="write examples by hand, with images that have a fixed address")
    asked = [message for message in prompt.messages if message.role == "user"]
    if not asked:
        hint = "write what is said about a row below a line `user:`"
        raise ModelError(f"{prompt.source}: the prompt has no user message", hint=hint)
    parts = (part for part in asked[-1].parts if isinstance(part, Text))
    return render_pieces(piece for part in parts for piece in part.pieces)


def _list_rows(flow: Flow, model: Model, text: str) -> list[ExampleRow]:
    """Returns the reviewed rows that the model selects, in the order of the key."""
    verdicts = read_verdicts(flow.config.root, model.name)
    standing, output = list_standing(verdicts), model.own_prompt.output
    with flow.files.open_warehouse("read", attached=model.texts) as database:
        # Checked as for a run, or the SELECT and the templates might do more than read.
        compiled = compile_model(database, model, llm="", identity="", params={})
        stage_verdicts(database, output, compiled.key, verdicts)
        query = render_example_rows(model.query, list(compiled.key), text)
        rows = database.execute(query)
    return [
        ExampleRow(
            text=said, verdict=standing[line], labels=_find_labels(model.own_prompt, standing[line])
        )
        for line, said in rows
    ]


def _find_labels(prompt: Prompt, verdict: Verdict) -> frozenset[tuple[str, str]]:
    """Returns the labels in the reviewed columns that are scored by label, by column."""
    found = set()
    for column in prompt.output.columns:
        if column.type.family.choose_measure(column.type) == "labels":
            value = json.loads(render_json_value(verdict, column) or "null")
            items = value if isinstance(value, list) else [value]
            found |= {(column.name, json.dumps(item)) for item in items if item is not None}
    return frozenset(found)


def choose_rows(rows: Sequence[ExampleRow], limit: int) -> list[ExampleRow]:
    """Returns up to `limit` rows, each of them the one that adds the most labels to those before;
    among equals a corrected one, and then the first."""
    left, chosen = list(rows), list[ExampleRow]()
    shown: set[tuple[str, str]] = set()
    while left and len(chosen) < limit:
        best = max(left, key=lambda row: (len(row.labels - shown), row.is_corrected))
        left.remove(best)
        chosen.append(best)
        shown |= best.labels
    return chosen


def _write_example(prompt: Prompt, row: ExampleRow) -> Example:
    columns = prompt.output.columns
    if prompt.response_format == "text":
        (answer,) = row.verdict.values.values()
        return Example(user=escape_text(row.text), assistant=escape_text(str(answer)))
    cells = (
        f"{json.dumps(column.name, ensure_ascii=False)}: {render_json_value(row.verdict, column)}"
        for column in columns
    )
    answer = escape_json(f"{{{', '.join(cells)}}}")
    return Example(user=escape_text(row.text), assistant=answer)
