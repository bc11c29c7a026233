"""The prompt: a .prompt.md file, front matter and role sections."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

from enrich.errors import DiskError, ModelError
from enrich.manifest import declared_tests, template, variables
from enrich.manifest.budget import PROMPT_BUDGETS, Budget
from enrich.manifest.config import READABLE_HINT, RETRIED_OUTCOMES, read_outcomes
from enrich.manifest.output import Output
from enrich.manifest.settings import YamlSettings
from enrich.manifest.template import Expression, Image, TemplatePart, Text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from enrich.manifest.data_test import DataTest

Role = Literal["system", "user", "assistant"]
ResponseFormat = Literal["json_schema", "json_object", "text"]
Endpoint = Literal["/v1/chat/completions", "/v1/responses"]

ROLES: tuple[Role, ...] = get_args(Role)
ROLE_LINE = re.compile(r"^(system|user|assistant):[ \t]*$", re.MULTILINE)
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
    "budget",
    "tests",
)
RESERVED_PARAMS = ("model", "messages", "input", "response_format", "text", "stream")
PROMPT_EXAMPLE = "---\nkey: id\noutput: |\n  summary VARCHAR NOT NULL\n---\nuser:\n{{ text }}"


@dataclass(frozen=True)
class Message:
    """One turn: who speaks, and what is said."""

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
        """The same with the values of its variables: what is one for every row becomes text."""

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
    """What is asked of the llm for each row, and the columns it must return.

    `sample`: of how many rows a changed version replaces the answers they have; None: of all.
    `variables` are those that its templates and tests name, with their values.
    """

    source: str
    text: str
    key: tuple[str, ...]
    output: Output
    messages: tuple[Message, ...]
    params: Mapping[str, Any]
    llm: str
    provider: str
    endpoint: Endpoint
    response_format: ResponseFormat
    max_attempts: int | None
    retry: tuple[str, ...] | None
    tags: tuple[str, ...]
    description: str
    sample: int | None
    budget: Budget
    variables: Mapping[str, Any]
    tests: tuple[DataTest, ...]

    @property
    def images(self) -> tuple[Image, ...]:
        return tuple(image for message in self.messages for image in message.images)

    @property
    def expressions(self) -> tuple[Expression, ...]:
        return tuple(list_expressions(self.messages))

    @classmethod
    def from_path(cls, path: Path, *, source: str, values: Mapping[str, Any]) -> Prompt:
        """Read a .prompt.md file; `source` is how messages name it, `values` are of variables."""
        try:
            text = path.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as problem:
            raise DiskError(f"{source} cannot be read: {problem}", hint=READABLE_HINT) from problem
        return cls.parse(text.replace("\r\n", "\n"), source=source, values=values)

    @classmethod
    def parse(cls, text: str, *, source: str, values: Mapping[str, Any]) -> Prompt:
        settings, body, first = _split_file(text, source)
        settings.check_keys(PROMPT_KEYS)
        for word in ("key", "output"):
            if not settings.values.get(word):
                raise ModelError(f"{source}: '{word}' is not set", hint=f"as in:\n{PROMPT_EXAMPLE}")
        form = cast(
            "ResponseFormat",
            settings.read_choice("response_format", get_args(ResponseFormat), "json_schema"),
        )
        params = settings.read_parameters("params")
        for name in params:
            if name in RESERVED_PARAMS:
                hint = "enrich writes it; take it out"
                raise settings.make_error("params", f"cannot hold '{name}'", hint=hint)
        written = tuple(_parse_messages(body, source=source, line=first))
        messages = tuple(message.fill(values, source=source) for message in written)
        key = settings.read_words("key")
        ddl, line = settings.read_text("output"), settings.starts["output"]
        output = Output.parse(ddl, source=source, line=line)
        prompt = cls(
            source=source,
            text=text,
            key=key,
            output=output,
            messages=messages,
            params=params,
            llm=settings.read_text("llm"),
            provider=settings.read_text("provider"),
            endpoint=cast(
                "Endpoint",
                settings.read_choice("endpoint", get_args(Endpoint), "/v1/chat/completions"),
            ),
            response_format=form,
            max_attempts=settings.read_integer("max_attempts"),
            retry=read_outcomes(settings, RETRIED_OUTCOMES) if "retry" in settings.values else None,
            tags=settings.read_words("tags"),
            description=settings.read_text("description"),
            sample=_read_sample(settings),
            budget=Budget.from_settings(settings, PROMPT_BUDGETS),
            variables={
                name: values[name]
                for sql in (*_list_sql(written), *declared_tests.find_conditions(settings))
                for name in variables.list_variables(sql)
                if name in values  # whoever fills them says which are not there
            },
            tests=declared_tests.parse_tests(
                settings, (*key, *(c.name for c in output.columns)), values
            ),
        )
        prompt._check(settings)
        return prompt

    def _check(self, settings: YamlSettings) -> None:
        """What no single setting can tell."""
        if not self.expressions:
            hint = "name a column where the row's own text belongs: {{ title }}"
            raise ModelError(f"{self.source}: the prompt asks the same of every row", hint=hint)
        if len(set(self.key)) < len(self.key):
            raise settings.make_error("key", "names a column twice", hint="keep one of them")
        names = {column.name.lower() for column in self.output.columns}
        for key in self.key:
            if key.lower() in names:
                hint = "it is the key, and comes back by itself; take it out of the output"
                raise settings.make_error("output", f"cannot hold '{key}'", hint=hint)
        if self.response_format == "text" and not self.output.is_text:
            hint = "write `output: caption VARCHAR NOT NULL`, or take response_format: json_schema"
            raise settings.make_error(
                "response_format", "'text' needs exactly one VARCHAR", hint=hint
            )
        if self.response_format == "json_object" and "json" not in self.text.lower():
            hint = "say in the prompt that the answer is JSON, and with which keys"
            raise settings.make_error(
                "response_format", "'json_object' needs the word JSON", hint=hint
            )
        for message in self.messages:
            for image in message.images if message.role != "user" else ():
                where = f"{self.source}:{image.line}"
                hint = "move it below the line `user:`"
                raise ModelError(f"{where}: only a user's message may show an image", hint=hint)


def _read_sample(settings: YamlSettings) -> int | None:
    """How many rows a changed prompt asks again: `new` none, `sample: n` so many, None all."""
    value = settings.values.get("on_change", "all")
    if value in ("all", "new"):
        return None if value == "all" else 0
    sample = value.get("sample") if isinstance(value, dict) and len(value) == 1 else None
    if not isinstance(sample, int) or isinstance(sample, bool) or sample < 1:
        hint = "one of: all, new, {sample: 50}"
        raise settings.make_error("on_change", f"cannot be '{value}'", hint=hint)
    return sample


def _list_sql(messages: tuple[Message, ...]) -> Iterator[str]:
    """Every `{{ }}` of the messages, as SQL."""
    return (expression.sql for expression in list_expressions(messages))


def list_expressions(messages: tuple[Message, ...]) -> Iterator[Expression]:
    """Every `{{ }}` of the messages, in order."""
    for message in messages:
        for part in message.parts:
            pieces = part.pieces if isinstance(part, Text) else (part.source,)
            yield from (piece for piece in pieces if isinstance(piece, Expression))


def strip_front_matter(text: str) -> str:
    """What a prompt's file says to the llm: all that follows the front matter.

    >>> strip_front_matter("---\\nkey: id\\n---\\nuser:\\n{{ name }}")
    'user:\\n{{ name }}'
    """
    return _split_file(text, "ledger")[1].strip()


def read_front_matter(text: str, *, source: str) -> YamlSettings:
    """The settings of a prompt's file, not looked at any further."""
    return _split_file(text, source)[0]


def _split_file(text: str, source: str) -> tuple[YamlSettings, str, int]:
    """Front matter, what follows it, and the line the latter starts on."""
    lines = text.split("\n")
    fences = [number for number, line in enumerate(lines) if line.rstrip() == "---"][:2]
    if len(fences) < 2 or any(line.strip() for line in lines[: fences[0]]):
        raise ModelError(f"{source}: it must begin with settings", hint=f"as in:\n{PROMPT_EXAMPLE}")
    front = "\n".join(lines[fences[0] + 1 : fences[1]])
    settings = YamlSettings.parse(front, source=source, error=ModelError, first_line=fences[0] + 2)
    return settings, "\n".join(lines[fences[1] + 1 :]), fences[1] + 2


def _parse_messages(body: str, *, source: str, line: int) -> Iterator[Message]:
    """The role sections; what stands before the first is `system`."""
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
