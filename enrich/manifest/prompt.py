"""The prompt: a .prompt.md file with front matter and a section for each role."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

from enrich.errors import ModelError
from enrich.manifest import declared_tests, template, variables
from enrich.manifest.budget import PROMPT_BUDGETS, Budget
from enrich.manifest.config import RETRIED_OUTCOMES, read_outcomes
from enrich.manifest.misread import ROLE_LINE, check_body
from enrich.manifest.output import Output
from enrich.manifest.params import read_request_params
from enrich.manifest.publication import Publication
from enrich.manifest.reuse import Dedupe, Triage
from enrich.manifest.settings import YamlSettings
from enrich.manifest.template import Expression, Image, TemplatePart, Text
from enrich.manifest.texts import read_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from enrich.manifest.data_test import DataTest

Role = Literal["system", "user", "assistant"]
WrittenFormat = Literal["json_schema", "json_object", "text"]
"""What `response_format` can be set to."""
ResponseFormat = Literal[WrittenFormat, "vector"]
"""The form of an answer: what was asked for, or the vector of an embedding."""
Endpoint = Literal["/v1/chat/completions", "/v1/responses", "/v1/embeddings"]
EMBEDDINGS: Endpoint = "/v1/embeddings"

ROLES: tuple[Role, ...] = get_args(Role)
PROMPT_KEYS = (
    "key",
    "output",
    "params",
    "llm",
    "provider",
    "endpoint",
    "response_format",
    "max_attempts",
    "retry",
    "tags",
    "description",
    "on_change",
    "partition_by",
    "budget",
    "pack",
    "dedupe",
    "triage",
    "publish",
    "tests",
)
MOST_PACKED = 100
"""The most rows that share a request: llms lose count of more."""
PROMPT_EXAMPLE = "---\nkey: id\noutput: |\n  summary VARCHAR NOT NULL\n---\nuser:\n{{ text }}"


@dataclass(frozen=True)
class Message:
    """One message: who speaks, and what is said."""

    role: Role
    parts: tuple[TemplatePart, ...]

    @property
    def is_fixed(self) -> bool:
        """Whether it is the same for every row."""
        return not any(True for _ in list_expressions((self,)))

    @property
    def images(self) -> tuple[Image, ...]:
        return tuple(part for part in self.parts if isinstance(part, Image))

    def fill(self, values: Mapping[str, Any], *, source: str) -> Message:
        """Returns the message with the values of variables filled in. A `{{ }}` that is only a
        variable becomes text."""
        # Text that is the same for every row can be part of the prefix of all requests, which is
        # stored once and hits the prompt caches of providers.

        def fill_piece(piece: str | Expression) -> str | Expression:
            if isinstance(piece, str):
                return piece
            sql = variables.fill_variables(piece.sql, values, source=source, line=piece.line)
            text = variables.render_constant(piece.sql, values)
            return replace(piece, sql=sql) if text is None else text

        parts = (
            Text(tuple(map(fill_piece, part.pieces)))
            if isinstance(part, Text)
            else replace(part, source=fill_piece(part.source))
            for part in self.parts
        )
        return replace(self, parts=tuple(parts))


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """What the llm is asked about each row, and the columns that it must return.

    If the prompt changes, rows with an answer are asked again: `sample` is the number of these
    rows, or None for all of them. `partition_by` is the column by which a run can be limited to a
    part of the rows, "" for none. `variables` are the variables that its templates and tests name,
    with their values. `llm` is asked first, "" for the provider's own; rows that fail are asked of
    the `fallbacks`, one after the other. `pack` is how many rows share a request, 0 for one alone;
    `dedupe` says which rows share an answer, and `triage` which are answered by labels.
    `publication` says where the table is copied to, `unpublished` that it is not.
    """

    source: str
    text: str
    key: tuple[str, ...]
    output: Output
    messages: tuple[Message, ...]
    params: Mapping[str, Any]
    llm: str
    fallbacks: tuple[str, ...]
    provider: str
    endpoint: Endpoint
    response_format: ResponseFormat
    max_attempts: int | None
    retry: tuple[str, ...] | None
    tags: tuple[str, ...]
    description: str
    sample: int | None
    partition_by: str
    pack: int
    dedupe: Dedupe | None
    triage: Triage | None
    publication: Publication | None
    unpublished: bool
    budget: Budget
    variables: Mapping[str, Any]
    tests: tuple[DataTest, ...]

    @property
    def images(self) -> tuple[Image, ...]:
        return tuple(image for message in self.messages for image in message.images)

    @property
    def expressions(self) -> tuple[Expression, ...]:
        return tuple(list_expressions(self.messages))

    @property
    def embeds(self) -> bool:
        """Whether its answers are embeddings."""
        return self.endpoint == EMBEDDINGS

    @property
    def copies(self) -> bool:
        """Whether rows may have the answer of another row."""
        return self.dedupe is not None or self.triage is not None

    def ask_alone(self) -> Prompt:
        """Returns the same prompt, by which each row is asked by itself."""
        return replace(self, pack=0, dedupe=None, triage=None)

    def merge_params(self, usual: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the parameters of its requests; `usual` are those that project.yml sets for
        all prompts, which are parameters of an answer in words."""
        return {**({} if self.embeds else usual), **self.params}

    @classmethod
    def from_path(cls, path: Path, *, source: str, values: Mapping[str, Any]) -> Prompt:
        """Reads a .prompt.md file. `source` is its name in messages, and `values` are the values of
        variables. Raises DiskError or ModelError."""
        text = read_text(path, source=source)
        # With either line end, so that a prompt asks the same after a checkout on Windows.
        text = text.replace("\r\n", "\n")
        # Of the file alone: an earlier version in the ledger has asked what it asked.
        settings, body, line = _split_file(text, source)
        embeds = settings.values.get("endpoint") == EMBEDDINGS
        check_body(body, source=source, line=line, embeds=embeds)
        return cls.parse(text, source=source, values=values)

    @classmethod
    def parse(cls, text: str, *, source: str, values: Mapping[str, Any]) -> Prompt:
        """Returns the prompt in the text of a file. Raises ModelError."""
        settings, body, first = _split_file(text, source)
        settings.check_keys(PROMPT_KEYS)
        for word in ("key", "output"):
            if not settings.values.get(word):
                raise ModelError(f"{source}: '{word}' is not set", hint=f"as in:\n{PROMPT_EXAMPLE}")
        form = settings.read_choice("response_format", get_args(WrittenFormat), "json_schema")
        endpoint = settings.read_choice("endpoint", get_args(Endpoint), "/v1/chat/completions")
        params = read_request_params(settings)
        written = tuple(_parse_messages(body, source=source, line=first))
        messages = tuple(message.fill(values, source=source) for message in written)
        key = settings.read_words("key")
        llm, *fallbacks = read_llms(settings)
        ddl, line = settings.read_text("output"), settings.starts["output"]
        output = Output.parse(ddl, source=source, line=line)
        prompt = cls(
            source=source,
            text=text,
            key=key,
            output=output,
            messages=messages,
            params=params,
            llm=llm,
            fallbacks=tuple(fallbacks),
            provider=settings.read_text("provider"),
            endpoint=cast("Endpoint", endpoint),
            response_format="vector" if endpoint == EMBEDDINGS else cast("ResponseFormat", form),
            max_attempts=settings.read_integer("max_attempts"),
            retry=read_outcomes(settings, RETRIED_OUTCOMES) if "retry" in settings.values else None,
            tags=settings.read_words("tags"),
            description=settings.read_text("description"),
            sample=_read_sample(settings),
            partition_by=settings.read_text("partition_by"),
            pack=_read_pack(settings),
            dedupe=Dedupe.from_settings(settings),
            triage=Triage.from_settings(settings),
            publication=Publication.from_settings(settings),
            unpublished=settings.values.get("publish") is False,
            budget=Budget.from_settings(settings, PROMPT_BUDGETS),
            variables=_pick_variables(written, settings, values),
            tests=declared_tests.parse_tests(
                settings, (*key, *(c.name for c in output.columns)), values
            ),
        )
        prompt._check_whole(settings)
        return prompt

    def _check_whole(self, settings: YamlSettings) -> None:
        """Raises ModelError for mistakes that no single setting shows."""
        if not self.expressions:
            hint = "name a column where the row's own text belongs: {{ title }}"
            raise ModelError(f"{self.source}: the prompt asks the same for every row", hint=hint)
        if len(set(self.key)) < len(self.key):
            raise settings.make_error("key", "names a column twice", hint="keep one of them")
        names = {column.name.lower() for column in self.output.columns}
        for key in self.key:
            if key.lower() in names:
                hint = "the key is always part of the table; remove it from the output"
                raise settings.make_error("output", f"cannot contain '{key}'", hint=hint)
        self._check_embedding(settings)
        self._check_pack(settings)
        if self.triage and (free := [c.name for c in self.output.columns if c.is_free_text]):
            hint = "labels are counted: split the model, and triage the one whose output has labels"
            raise settings.make_error("triage", f"cannot answer with texts ({free[0]})", hint=hint)
        if self.response_format == "text" and not self.output.is_text:
            hint = "write `output: caption VARCHAR NOT NULL`, or take response_format: json_schema"
            raise settings.make_error(
                "response_format", "'text' needs exactly one VARCHAR", hint=hint
            )
        # OpenAI refuses each such request: with this format, a message must contain the word JSON.
        if self.response_format == "json_object" and "json" not in self.text.lower():
            hint = "say in the prompt that the answer is JSON, and which keys it has"
            raise settings.make_error(
                "response_format", "'json_object' needs the word JSON", hint=hint
            )
        for message in self.messages:
            for image in message.images if message.role != "user" else ():
                hint = "move it below the line `user:`"
                what = "an image must be in a user message"
                raise ModelError(f"{self.source}:{image.line}: {what}", hint=hint)

    def _check_embedding(self, settings: YamlSettings) -> None:
        """Raises ModelError for an embedding that is asked for like words, or words that are asked
        for like an embedding."""
        if not self.embeds:
            if self.output.has_vector:
                hint = f"an llm writes no vectors; set endpoint: {EMBEDDINGS}"
                raise settings.make_error("output", "has a vector", hint=hint)
            return
        if not self.output.is_vector:
            hint = "write `output: embedding FLOAT[384]`, with the length of the llm's vectors"
            raise settings.make_error("output", "is not one vector", hint=hint)
        if "response_format" in settings.values:
            hint = "remove it: the answer is a vector"
            raise settings.make_error(
                "response_format", "means nothing for an embedding", hint=hint
            )
        asked, length = self.params.get("dimensions"), self.output.columns[0].type.length
        if asked is not None and asked != length:
            hint = f"dimensions: {length}, or write FLOAT[{asked}]"
            what = f"asks for {asked} dimensions, but the output holds {length}"
            raise settings.make_error("params", what, hint=hint)
        if "encoding_format" in self.params:
            hint = "remove encoding_format; enrich reads numbers"
            raise settings.make_error("params", "cannot contain 'encoding_format'", hint=hint)
        if len(self.messages) > 1 or self.images or self.messages[0].role == "assistant":
            hint = "an embedding is made of one text: remove images, and lines such as `system:`"
            raise ModelError(f"{self.source}: this is not one text", hint=hint)

    def _check_pack(self, settings: YamlSettings) -> None:
        """Raises ModelError for rows that cannot share a request."""
        if not self.pack:
            return
        if self.response_format != "json_schema":
            hint = "remove `pack`, or `response_format`, so that a schema holds the llm to its rows"
            raise settings.make_error("pack", "needs response_format: json_schema", hint=hint)
        *before, last = self.messages
        if self.images:
            hint = "remove `pack`: a picture is the larger part of its request"
            raise settings.make_error("pack", "does not apply to images", hint=hint)
        if last.role != "user" or not all(message.is_fixed for message in before):
            hint = "move each {{ }} below the last line `user:`; what is above is sent only once"
            raise settings.make_error("pack", "needs the row in the last message", hint=hint)


def read_llms(settings: YamlSettings) -> tuple[str, ...]:
    """Returns the llms that a row is asked of, in order; "" alone for the provider's own. Raises
    ModelError."""
    if not isinstance(settings.values.get("llm"), list):
        return (settings.read_text("llm"),)
    llms = settings.read_words("llm")
    if not all(llms):
        hint = "llm: [small, large], or leave `llm` out for the provider's own"
        raise settings.make_error("llm", "has an empty name", hint=hint)
    if len(set(llms)) < len(llms):
        raise settings.make_error("llm", "names an llm twice", hint="keep one of them")
    return llms


def _read_sample(settings: YamlSettings) -> int | None:
    """Returns how many rows with an answer a changed prompt asks again: 0 for `on_change: new`,
    None for all."""
    value = settings.values.get("on_change", "all")
    if value in ("all", "new"):
        return None if value == "all" else 0
    sample = value.get("sample") if isinstance(value, dict) and len(value) == 1 else None
    if not isinstance(sample, int) or isinstance(sample, bool) or sample < 1:
        if isinstance(value, dict) and [*value] == ["sample"]:
            hint = "on_change: {sample: 50}, or `on_change: new` to ask no such row again"
            what = f"must ask 1 row or more again, not {sample}"
            raise settings.make_error("on_change", what, hint=hint)
        hint = "one of: all, new, {sample: 50}"
        said = json.dumps(value, default=str) if isinstance(value, (dict, list)) else f"'{value}'"
        raise settings.make_error("on_change", f"cannot be {said}", hint=hint)
    return sample


def _read_pack(settings: YamlSettings) -> int:
    """Returns how many rows share a request; 0 if none do. Raises ModelError."""
    pack = settings.read_integer("pack")
    if pack is not None and not 1 <= pack <= MOST_PACKED:
        hint = f"pack: 20, at most {MOST_PACKED}"
        raise settings.make_error("pack", f"cannot be {pack}", hint=hint)
    return pack if pack and pack > 1 else 0


def _pick_variables(
    written: tuple[Message, ...], settings: YamlSettings, values: Mapping[str, Any]
) -> dict[str, Any]:
    """Returns the variables that the messages and the tests name, with their values."""
    templates = (expression.sql for expression in list_expressions(written))
    return {
        name: values[name]
        for sql in (*templates, *declared_tests.find_conditions(settings))
        for name in variables.list_variables(sql)
        # `fill_variables` reports those that do not exist.
        if name in values
    }


def list_expressions(messages: tuple[Message, ...]) -> Iterator[Expression]:
    """Yields every `{{ }}` in the messages, in order."""
    for message in messages:
        for part in message.parts:
            pieces = part.pieces if isinstance(part, Text) else (part.source,)
            yield from (piece for piece in pieces if isinstance(piece, Expression))


def strip_front_matter(text: str) -> str:
    """Returns what a prompt's file says to the llm: everything after the front matter.
    >>> strip_front_matter("---\\nkey: id\\n---\\nuser:\\n{{ name }}")
    'user:\\n{{ name }}'
    """
    return _split_file(text, "ledger")[1].strip()


def read_front_matter(text: str, *, source: str) -> YamlSettings:
    """Returns the settings of a prompt's file, which are not checked any further."""
    return _split_file(text, source)[0]


def _split_file(text: str, source: str) -> tuple[YamlSettings, str, int]:
    """Returns the front matter, the text after it, and the line that this text starts on."""
    lines = text.split("\n")
    fences = [number for number, line in enumerate(lines) if line.rstrip() == "---"][:2]
    starts = bool(fences) and not any(line.strip() for line in lines[: fences[0]])
    if starts and len(fences) < 2:
        hint = "write a line `---` between the settings and the text"
        what = "the settings that start here are never closed"
        raise ModelError(f"{source}:{fences[0] + 1}: {what}", hint=hint)
    if not starts:
        hint = f"as in:\n{PROMPT_EXAMPLE}"
        raise ModelError(f"{source}: a prompt must start with its settings", hint=hint)
    front = "\n".join(lines[fences[0] + 1 : fences[1]])
    settings = YamlSettings.parse(front, source=source, error=ModelError, first_line=fences[0] + 2)
    return settings, "\n".join(lines[fences[1] + 1 :]), fences[1] + 2


def _parse_messages(body: str, *, source: str, line: int) -> Iterator[Message]:
    """Yields the messages of the role sections; text before the first section is `system`."""
    marks = list(ROLE_LINE.finditer(body))
    starts: list[tuple[Role, int, int]] = [("system", 0, marks[0].start() if marks else len(body))]
    for number, mark in enumerate(marks):
        end = marks[number + 1].start() if number + 1 < len(marks) else len(body)
        starts.append((cast("Role", mark[1]), mark.end(), end))
    for role, start, end in starts:
        section = body[start:end]
        said = section.strip()
        if not said:
            continue
        at = line + body[:start].count("\n") + section[: section.index(said[0])].count("\n")
        yield Message(role, template.parse_template(said, source=source, line=at))
