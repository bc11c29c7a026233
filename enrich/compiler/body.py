"""A prompt becomes a request body: a constant prefix, then a SQL expression for the rest.

What is the same for every row comes first, so that providers' prompt caches hit: settings, schema,
system message, examples. The prefix ends where the first cell begins. Bodies follow OpenAI's
references for `/v1/chat/completions`, `/v1/responses` and `/v1/embeddings`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from enrich.compiler import pack
from enrich.db.quote import quote_text, wrap_expression
from enrich.manifest.template import Image, Text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from enrich.manifest.prompt import Endpoint, Message, Prompt
    from enrich.manifest.template import Expression

URL_STARTS = ("http://", "https://", "data:")
SCHEMA_NAME = "answer"


@dataclass(frozen=True)
class SqlPiece:
    """A SQL expression whose value is JSON text; all other pieces of a body are constants."""

    expression: str


@dataclass(frozen=True, kw_only=True)
class RequestBody:
    """A request body: `prefix` followed by the value of the SQL expression `tail` for a row.

    `images` are the expressions that may name a picture of the row, in order; `tail` refers to the
    n-th as `_enrich_n._enrich_url`. `pack` is how many rows share a request, 0 for one alone.
    """

    prefix: str
    tail: str
    images: tuple[str, ...]
    endpoint: Endpoint
    llm: str
    pack: int = 0

    @classmethod
    def from_prompt(
        cls, prompt: Prompt, *, llm: str, params: Mapping[str, Any], packed: bool = False
    ) -> RequestBody:
        """The body of a prompt that is sent to `llm` with the parameters `params`; `packed`: for
        several rows at once, if the prompt says so."""
        size = pack.find_size(prompt.pack, params) if packed else 0
        if size:
            prompt, params = pack.pack_prompt(prompt, params), pack.drop_limit(params)
        pieces: list[str | SqlPiece]
        images: list[str] = []
        if prompt.embeds:
            (message,) = prompt.messages
            settings = _dump_json({"model": llm, **params})
            pieces = [settings[:-1] + ',"input":', *_render_whole_text(message), "}"]
        else:
            pieces = [_render_head(prompt, llm, params, packed=bool(size))]
            for number, message in enumerate(prompt.messages):
                pieces.append("," if number else "")
                pieces += _render_message(message, prompt.endpoint, images)
            pieces.append("]}")
        first = next(n for n, piece in enumerate(pieces) if isinstance(piece, SqlPiece))
        constants = [piece for piece in pieces[:first] if isinstance(piece, str)]
        return cls(
            prefix="".join(constants),
            tail=_join_pieces(pieces[first:]),
            images=tuple(images),
            endpoint=prompt.endpoint,
            llm=llm,
            pack=size,
        )

    def hash_constants(self, identity: str) -> str:
        """See `hash_prefix`."""
        return hash_prefix(identity, self.endpoint, self.prefix)


def hash_prefix(identity: str, endpoint: str, prefix: str) -> str:
    """The SHA-256 of everything that is the same for every row, in hexadecimal."""
    return sha256("\n".join((identity, endpoint, prefix)).encode()).hexdigest()


def render_line_start(endpoint: str, prefix: str) -> str:
    """The part of a request line between its custom_id and the row's own part."""
    return f',"method":"POST","url":"{endpoint}","body":{prefix}'


def count_line_overhead(endpoint: str, prefix: str) -> int:
    """The bytes of a request line without its custom_id and its rows' own parts."""
    return len(f'{{"custom_id":""{render_line_start(endpoint, prefix)}}}\n'.encode())


def render_request_lines(
    endpoint: str, prefix: str, *, packed: bool, params: Mapping[str, Any]
) -> str:
    """A statement that writes the request lines of batch $batch to the file $path, as JSONL; those
    of a `packed` version with several rows each, by its `params`.

    It is twice as fast where DuckDB may choose the order of the lines: see
    `Database.allow_any_order`.
    """
    # DuckDB writes raw text only as CSV. Without a header, delimiter and quotes that is plain
    # lines, and JSON text holds no newline that could split one.
    start = quote_text(render_line_start(endpoint, prefix))
    lines = (
        pack.render_packed_lines(start, params)
        if packed
        else f"""SELECT concat('{{"custom_id":', to_json(custom_id), {start}, tail, '}}')
    FROM ledger.requests WHERE batch = $batch"""
    )
    return f"""COPY (
    {lines}
) TO $path (FORMAT csv, HEADER false, DELIMITER '', QUOTE '', ESCAPE '')"""


def _render_head(prompt: Prompt, llm: str, params: Mapping[str, Any], *, packed: bool) -> str:
    """The body up to its first message: settings and schema."""
    form: dict[str, Any] = {"type": prompt.response_format}
    if prompt.response_format == "json_schema":
        schema = prompt.output.render_schema()
        schema = pack.pack_schema(schema) if packed else schema
        form |= {"name": SCHEMA_NAME, "strict": True, "schema": schema}
    settings: dict[str, Any] = {"model": llm, **params}
    # The two endpoints take the same format in different places: /v1/responses flat, under
    # `text.format`; /v1/chat/completions with all but the type one level down.
    if prompt.endpoint == "/v1/responses":
        settings["text"] = {"format": form}
        return _dump_json(settings)[:-1] + ',"input":['
    if prompt.response_format == "json_schema":
        form = {"type": form.pop("type"), "json_schema": form}
    if prompt.response_format != "text":
        settings["response_format"] = form
    return _dump_json(settings)[:-1] + ',"messages":['


def _render_message(
    message: Message, endpoint: Endpoint, images: list[str]
) -> Iterator[str | SqlPiece]:
    yield f'{{"role":{_dump_json(message.role)},"content":'
    # A content without pictures is one string: parts would be valid as well, but not every
    # compatible server reads them.
    if not message.images:
        yield from _render_whole_text(message)
    else:
        chat = endpoint == "/v1/chat/completions"
        for number, part in enumerate(message.parts):
            yield "," if number else "["
            yield from (
                _render_image_part(part, images, chat)
                if isinstance(part, Image)
                else _render_text_part(part, chat)
            )
        yield "]"
    yield "}"


def _render_whole_text(message: Message) -> Iterator[str | SqlPiece]:
    """The text of a message without images as one JSON string."""
    for part in message.parts:
        yield from _render_string(part)


def _render_string(part: Text | Image) -> Iterator[str | SqlPiece]:
    """The text of a part as a JSON string."""
    pieces = part.pieces if isinstance(part, Text) else ()
    if all(isinstance(piece, str) for piece in pieces):
        yield _dump_json("".join(str(piece) for piece in pieces))
        return
    yield SqlPiece(f"to_json({render_pieces(pieces)})")


def render_pieces(pieces: Iterable[str | Expression]) -> str:
    """SQL for the text of a message's part in a row."""
    arguments = (
        quote_text(piece)
        if isinstance(piece, str)
        else f"CAST({wrap_expression(piece.sql)} AS VARCHAR)"
        for piece in pieces
    )
    return f"concat({', '.join(arguments)})"


def _render_text_part(part: Text, chat: bool) -> Iterator[str | SqlPiece]:
    yield f'{{"type":{_dump_json("text" if chat else "input_text")},"text":'
    yield from _render_string(part)
    yield "}"


def _render_image_part(image: Image, images: list[str], chat: bool) -> Iterator[str | SqlPiece]:
    yield (
        '{"type":"image_url","image_url":{"url":'
        if chat
        else ('{"type":"input_image","image_url":')
    )
    if isinstance(image.source, str) and image.source.startswith(URL_STARTS):
        yield _dump_json(image.source)
    else:
        yield SqlPiece(f"to_json(_enrich_{len(images)}._enrich_url)")
        # A constant path becomes an expression, too: compiling reads no files, so the picture is
        # read together with those that the rows name.
        fixed = isinstance(image.source, str)
        images.append(
            quote_text(str(image.source)) if fixed else wrap_expression(image.source.sql)  # type: ignore[union-attr]
        )
    if image.detail:
        yield f',"detail":{_dump_json(image.detail)}'
    yield "}}" if chat else "}"


def _join_pieces(pieces: list[str | SqlPiece]) -> str:
    """One SQL expression that joins the pieces; neighboring constants become one."""
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


def _dump_json(value: Any) -> str:  # noqa: ANN401  # any JSON value
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
