"""A prompt becomes a request body: a constant prefix, then a SQL expression for the rest.

What is the same for every row comes first, so that providers' prompt caches hit: settings, schema,
system message, examples. The prefix ends where the first cell begins. Bodies follow OpenAI's
references of `/v1/chat/completions` and `/v1/responses`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from enrich.db.quote import quote_text, wrap_expression
from enrich.manifest.template import Image, Text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from enrich.manifest.prompt import Endpoint, Message, Prompt

REMOTE = ("http://", "https://", "data:")
SCHEMA_NAME = "answer"


@dataclass(frozen=True)
class Sql:
    """A SQL expression that gives JSON text; everything else is a constant."""

    expression: str


@dataclass(frozen=True, kw_only=True)
class Body:
    """A request body is `prefix` followed by what the SQL expression `tail` gives for a row.

    `images` are the expressions that may give a picture of the row, in order; `tail` refers to the
    n-th as `_enrich_n._enrich_url`.
    """

    prefix: str
    tail: str
    images: tuple[str, ...]
    endpoint: Endpoint
    llm: str

    @classmethod
    def from_prompt(cls, prompt: Prompt, *, llm: str, params: Mapping[str, Any]) -> Body:
        pieces: list[str | Sql] = [_head(prompt, llm, params)]
        images: list[str] = []
        for number, message in enumerate(prompt.messages):
            pieces.append("," if number else "")
            pieces += _message(message, prompt.endpoint, images)
        pieces.append("]}")
        first = next(n for n, piece in enumerate(pieces) if isinstance(piece, Sql))
        constants = [piece for piece in pieces[:first] if isinstance(piece, str)]
        return cls(
            prefix="".join(constants),
            tail=_concat(pieces[first:]),
            images=tuple(images),
            endpoint=prompt.endpoint,
            llm=llm,
        )

    def digest(self, identity: str) -> str:
        """The hash of all that is the same for every row; a row's tail decides the rest."""
        constant = "\n".join((identity, self.endpoint, self.prefix))
        return sha256(constant.encode()).hexdigest()


def line_start(endpoint: str, prefix: str) -> str:
    """What stands in a request line between the custom_id and the row's own part."""
    return f',"method":"POST","url":"{endpoint}","body":{prefix}'


def line_overhead(endpoint: str, prefix: str) -> int:
    """The bytes of a request line besides its custom_id and the row's own part."""
    return len(f'{{"custom_id":""{line_start(endpoint, prefix)}}}\n'.encode())


def request_lines(endpoint: str, prefix: str) -> str:
    """A statement that writes the request lines of batch $batch to the file $path, as JSONL.

    A CSV without header, delimiter and quotes is plain lines; JSON text holds no newline. It is
    twice as fast where the order of the lines is left to DuckDB (`preserve_insertion_order`).
    """
    start = quote_text(line_start(endpoint, prefix))
    return f"""COPY (
    SELECT concat('{{"custom_id":', to_json(custom_id), {start}, tail, '}}')
    FROM ledger.requests WHERE batch = $batch
) TO $path (FORMAT csv, HEADER false, DELIMITER '', QUOTE '', ESCAPE '')"""


def _head(prompt: Prompt, llm: str, params: Mapping[str, Any]) -> str:
    """The body up to its first message."""
    form: dict[str, Any] = {"type": prompt.response_format}
    if prompt.response_format == "json_schema":
        form |= {"name": SCHEMA_NAME, "strict": True, "schema": prompt.output.render_schema()}
    settings: dict[str, Any] = {"model": llm, **params}
    if prompt.endpoint == "/v1/responses":
        settings["text"] = {"format": form}
        return _json(settings)[:-1] + ',"input":['
    if prompt.response_format == "json_schema":
        form = {"type": form.pop("type"), "json_schema": form}
    if prompt.response_format != "text":
        settings["response_format"] = form
    return _json(settings)[:-1] + ',"messages":['


def _message(message: Message, endpoint: Endpoint, images: list[str]) -> Iterator[str | Sql]:
    yield f'{{"role":{_json(message.role)},"content":'
    if not message.images:
        for part in message.parts:
            yield from _text(part)
    else:
        chat = endpoint == "/v1/chat/completions"
        for number, part in enumerate(message.parts):
            yield "," if number else "["
            yield from _image(part, images, chat) if isinstance(part, Image) else _said(part, chat)
        yield "]"
    yield "}"


def _text(part: Text | Image) -> Iterator[str | Sql]:
    """The text of a part as a JSON string."""
    pieces = part.pieces if isinstance(part, Text) else ()
    if all(isinstance(piece, str) for piece in pieces):
        yield _json("".join(str(piece) for piece in pieces))
        return
    arguments = (
        quote_text(piece)
        if isinstance(piece, str)
        else f"CAST({wrap_expression(piece.sql)} AS VARCHAR)"
        for piece in pieces
    )
    yield Sql(f"to_json(concat({', '.join(arguments)}))")


def _said(part: Text, chat: bool) -> Iterator[str | Sql]:
    yield f'{{"type":{_json("text" if chat else "input_text")},"text":'
    yield from _text(part)
    yield "}"


def _image(image: Image, images: list[str], chat: bool) -> Iterator[str | Sql]:
    yield (
        '{"type":"image_url","image_url":{"url":'
        if chat
        else ('{"type":"input_image","image_url":')
    )
    if isinstance(image.source, str) and image.source.startswith(REMOTE):
        yield _json(image.source)
    else:
        yield Sql(f"to_json(_enrich_{len(images)}._enrich_url)")
        fixed = isinstance(image.source, str)
        images.append(
            quote_text(str(image.source)) if fixed else wrap_expression(image.source.sql)  # type: ignore[union-attr]
        )
    if image.detail:
        yield f',"detail":{_json(image.detail)}'
    yield "}}" if chat else "}"


def _concat(pieces: list[str | Sql]) -> str:
    """One SQL expression that joins constants and expressions; neighbouring constants as one."""
    arguments: list[str] = []
    constant = ""
    for piece in pieces:
        if isinstance(piece, str):
            constant += piece
            continue
        if constant:
            arguments.append(quote_text(constant))
        arguments.append(piece.expression)
        constant = ""
    return f"concat({', '.join([*arguments, quote_text(constant)])})"


def _json(value: Any) -> str:  # noqa: ANN401  # any JSON value
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
