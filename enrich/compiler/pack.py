"""Packs: the rows of several requests in one, so that the instructions are paid for once.

A row keeps its own request in the ledger; only the lines of a request file hold several of them.
The rows of a line are numbered in its last message, and so are the objects of the answer:
`{"answers": [{"n": 1, "answer": {...}}, ...]}`. A packed version's prefix ends where the text of
the first row begins, like any other prefix, and a row's tail is the same as for a request alone.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from enrich.compiler.answer import render_document
from enrich.db.quote import quote_text
from enrich.manifest.column_type import render_object
from enrich.manifest.prompt import Message
from enrich.manifest.template import Text
from enrich.pricing.estimate import LIMIT_PARAMETERS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from enrich.manifest.prompt import Prompt

HEADING = "### "
"""What precedes the number of a row, on a line of its own above its text."""
HEADING_BYTES = 12
"""The most bytes that a heading adds to a row, with the blank line before it."""
TAIL_ENDING = "}]}"
"""How the tail of a row ends after its text, which is the content of the last message."""
LINE_NAME = "pack-"
"""How the custom_id of a packed line starts; its number in the batch follows."""
PACK_BYTES = 100_000
"""The bytes of rows after which a pack is full, whatever `pack` says: about 25,000 tokens."""
MOST_OUTPUT = 16_000
"""The output tokens that a packed answer may take; many llms stop at 16,384."""
LEFT_OUT = "left_out"
"""The code of a row that the answer to its pack does not have, or has twice."""
INSTRUCTION = (
    "You get several inputs, each below a line `### ` with its number. Answer each of them by "
    "itself, as if it were the only one: `answers` has one object for each input, with the "
    "number of the input in `n` and the answer to it in `answer`."
)


def pack_prompt(prompt: Prompt, params: Mapping[str, Any]) -> Prompt:
    """Returns the prompt with messages for several rows: an instruction, and its examples as one
    pack. The last message is as it was."""
    *before, last = prompt.messages
    limit = find_limit(params)
    said = f" Each answer has at most {limit[1]} tokens." if limit else ""
    instruction = f"{INSTRUCTION}{said}"
    system, examples = [], before
    if before and before[0].role == "system":
        instruction = f"{_read_text(before[0])}\n\n{instruction}"
        system, examples = before[:1], before[1:]
    told = _write_message(system[0] if system else Message("system", ()), instruction)
    return replace(prompt, messages=(told, *_pack_examples(examples), last))


def _pack_examples(messages: Sequence[Message]) -> Iterator[Message]:
    """Yields examples as one pack: what was asked, and what was answered. Those that are no pairs
    of a row and its answer stay as they are."""
    asked, answered = messages[::2], messages[1::2]
    paired = len(asked) == len(answered) > 0
    fits = all(each.role == "user" for each in asked) and all(
        each.role == "assistant" and _is_object(_read_text(each)) for each in answered
    )
    if not paired or not fits:
        yield from messages
        return
    rows = (f"{HEADING}{n}\n{_read_text(each)}" for n, each in enumerate(asked, 1))
    items = (
        f'{{"n": {n}, "answer": {_read_text(each).strip()}}}' for n, each in enumerate(answered, 1)
    )
    yield _write_message(asked[0], "\n\n".join(rows))
    yield _write_message(answered[0], f'{{"answers": [{", ".join(items)}]}}')


def _read_text(message: Message) -> str:
    """Returns the text of a message that is the same for every row."""
    parts = (part for part in message.parts if isinstance(part, Text))
    return "".join(str(piece) for part in parts for piece in part.pieces)


def _write_message(message: Message, text: str) -> Message:
    return replace(message, parts=(Text((text,)),))


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False


def pack_schema(schema: dict[str, Any]) -> dict[str, Any]:
    """Returns the JSON Schema of the answer to a pack; `schema` is that of a row's answer."""
    number = {"type": "integer", "description": "the number of the input"}
    item = render_object({"n": number, "answer": schema})
    return render_object({"answers": {"type": "array", "items": item}})


def find_limit(params: Mapping[str, Any]) -> tuple[str, int] | None:
    """Returns the parameter that limits an answer's tokens, and its value."""
    for name in LIMIT_PARAMETERS:
        value = params.get(name)
        if isinstance(value, int) and not isinstance(value, bool) and value > 0:
            return name, value
    return None


def drop_limit(params: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the parameters without the limit, which each packed line sets for its own rows."""
    limit = find_limit(params)
    return {name: value for name, value in params.items() if limit is None or name != limit[0]}


def find_size(pack: int, params: Mapping[str, Any]) -> int:
    """Returns how many rows a request holds: `pack`, or fewer if their answers would be longer
    than an answer can be."""
    limit = find_limit(params)
    return max(1, min(pack, MOST_OUTPUT // limit[1])) if limit and pack else pack


def render_line_tail(number: str, tail: str, params: Mapping[str, Any]) -> str:
    """SQL for the part of a packed line that follows the prefix: an aggregate over its rows.
    `number` and `tail` are SQL for a row's number in the line and for its own tail."""
    # A tail is a JSON string and a constant, so texts can be joined as they are, escaped. A line of
    # the row's own that looks like the heading of another row gets one more `#`.
    text = f"{tail}[2:-{len(TAIL_ENDING) + 2}]"
    text = f"regexp_replace({text}, '(^|\\\\n)({HEADING}[0-9])', '\\1#\\2', 'g')"
    rows = f"string_agg('{HEADING}' || {number} || '\\n' || {text}, '\\n\\n' ORDER BY {number})"
    limit = find_limit(params)
    ending = quote_text(f'"{TAIL_ENDING[:-1]}')
    most = f", ',\"{limit[0]}\":', {limit[1]} * count(*)" if limit else ""
    return f"concat('\"', {rows}, {ending}{most}, '}}')"


def render_packed_lines(start: str, params: Mapping[str, Any]) -> str:
    """A SELECT of the lines of batch $batch's request file; `start` is SQL for what follows the
    custom_id of each."""
    return f"""SELECT concat('{{"custom_id":"{LINE_NAME}', pack, '"', {start},
        {render_line_tail("pack_row", "tail", params)}, '}}')
    FROM ledger.requests WHERE batch = $batch GROUP BY pack ORDER BY pack"""


def render_unpacked(source: str) -> str:
    """A SELECT of the rows that the packed lines of `source` answer, with the same columns.

    A row that an answer leaves out, or has twice, has the code LEFT_OUT; so do all rows if any
    number in the answer is none of theirs: then the others may be wrong as well. Each row gets its
    share of the line's tokens: of the input by its bytes.
    """
    shares = ", ".join(
        f"{_render_share(tokens, weight)} AS {tokens}" for tokens, weight in _list_shares()
    )
    found = "status_code = 200 AND json_type(document, '$.answers') = 'ARRAY'"
    return f"""SELECT batch, custom_id, status_code, vector,
    -- Of an answer that is no pack, each row keeps what people have to see of it.
    CASE WHEN {found} THEN coalesce(answer, '') ELSE left(content, 2000) END AS content,
    refusal, finish, ending, llm, {shares},
    CASE WHEN {found} AND answer IS NULL THEN {quote_text(LEFT_OUT)} ELSE code END AS code, message
FROM (
    SELECT line.* REPLACE (request.custom_id AS custom_id), request.bytes AS bytes,
        request.pack_row AS pack_row,
        list_filter(answers, lambda each: each.n = request.pack_row) AS mine,
        count(*) OVER (PARTITION BY line) AS rows,
        len(list_filter(answers, lambda each: each.n BETWEEN 1 AND rows)) = len(answers) AS counted,
        CASE WHEN counted AND len(mine) = 1 AND json_type(mine[1].answer) = 'OBJECT'
            THEN CAST(mine[1].answer AS VARCHAR) END AS answer
    FROM (
        SELECT *, row_number() OVER () AS line,
            list_transform(try_cast(document->'$.answers' AS JSON[]), lambda each: {{
                'n': CASE WHEN regexp_full_match(each->>'$.n', '[0-9]{{1,9}}')
                    THEN CAST(each->>'$.n' AS BIGINT) END,
                'answer': each->'$.answer'
            }}) AS answers
        FROM (SELECT *, {render_document("content")} AS document FROM ({source}))
    ) AS line JOIN ledger.requests AS request
        ON request.batch = line.batch AND line.custom_id = '{LINE_NAME}' || request.pack
)"""


def _list_shares() -> Iterator[tuple[str, str]]:
    """Yields each count of tokens, and SQL for the weight of a row in its line."""
    yield "input_tokens", "bytes"
    yield "cached_tokens", "bytes"
    yield "output_tokens", "1"
    yield "reasoning_tokens", "1"


def _render_share(tokens: str, weight: str) -> str:
    """SQL for a row's whole number of the tokens of its line; these add up to all of them."""
    upto = f"sum({weight}) OVER (PARTITION BY line ORDER BY pack_row)"
    whole = f"sum({weight}) OVER (PARTITION BY line)"
    return (
        f"CAST(floor({tokens} * {upto} / {whole}) - floor({tokens} * ({upto} - {weight}) / {whole})"
        " AS BIGINT)"
    )
