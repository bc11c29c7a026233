"""The prompt: a .prompt.md file, front matter and role sections."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

from enrich.errors import DiskError, ModelError
from enrich.manifest import declared_tests, template, variables
from enrich.manifest.budget import PROMPT_KEYS, Budget
from enrich.manifest.config import READABLE, RETRIED, outcomes
from enrich.manifest.output import Output
from enrich.manifest.settings import Settings
from enrich.manifest.template import Expression, Image, Part, Text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from enrich.manifest.data_test import DataTest

Role = Literal["system", "user", "assistant"]
Format = Literal["json_schema", "json_object", "text"]
Endpoint = Literal["/v1/chat/completions", "/v1/responses"]

ROLES: tuple[Role, ...] = get_args(Role)
ROLE_LINE = re.compile(r"^(system|user|assistant):[ \t]*$", re.MULTILINE)
KEYS = (
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
OWN = ("model", "messages", "input", "response_format", "text", "stream")
EXAMPLE = "---\nkey: id\noutput: |\n  summary VARCHAR NOT NULL\n---\nuser:\n{{ text }}"


@dataclass(frozen=True)
class Message:
    """One turn: who speaks, and what is said."""

    role: Role
    parts: tuple[Part, ...]

    @property
    def fixed(self) -> bool:
        """Whether it is the same for every row."""
        return not any(True for _ in expressions((self,)))

    @property
    def images(self) -> tuple[Image, ...]:
        return tuple(part for part in self.parts if isinstance(part, Image))

    def filled(self, values: Mapping[str, Any], *, source: str) -> Message:
        """The same with the values of its variables: what is one for every row becomes text."""

        def fill(piece: str | Expression) -> str | Expression:
            if isinstance(piece, str):
                return piece
            sql = variables.filled(piece.sql, values, source=source, line=piece.line)
            text = variables.constant(piece.sql, values)
            return replace(piece, sql=sql) if text is None else text

        parts = (
            Text(tuple(map(fill, part.pieces)))
            if isinstance(part, Text)
            else replace(part, source=fill(part.source))
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
    response_format: Format
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
        return tuple(expressions(self.messages))

    @classmethod
    def from_path(cls, path: Path, *, source: str, values: Mapping[str, Any]) -> Prompt:
        """Read a .prompt.md file; `source` is how messages name it, `values` are of variables."""
        try:
            text = path.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as problem:
            raise DiskError(f"{source} cannot be read: {problem}", hint=READABLE) from problem
        return cls.parse(text.replace("\r\n", "\n"), source=source, values=values)

    @classmethod
    def parse(cls, text: str, *, source: str, values: Mapping[str, Any]) -> Prompt:
        settings, body, first = _split(text, source)
        settings.known(KEYS)
        for word in ("key", "output"):
            if not settings.values.get(word):
                raise ModelError(f"{source}: '{word}' is not set", hint=f"as in:\n{EXAMPLE}")
        form = cast("Format", settings.choice("response_format", get_args(Format), "json_schema"))
        params = settings.parameters("params")
        for name in params:
            if name in OWN:
                hint = "enrich writes it; take it out"
                raise settings.wrong("params", f"cannot hold '{name}'", hint=hint)
        written = tuple(_messages(body, source=source, line=first))
        messages = tuple(message.filled(values, source=source) for message in written)
        key = settings.words("key")
        ddl, line = settings.text("output"), settings.starts["output"]
        output = Output.parse(ddl, source=source, line=line)
        prompt = cls(
            source=source,
            text=text,
            key=key,
            output=output,
            messages=messages,
            params=params,
            llm=settings.text("llm"),
            provider=settings.text("provider"),
            endpoint=cast(
                "Endpoint", settings.choice("endpoint", get_args(Endpoint), "/v1/chat/completions")
            ),
            response_format=form,
            max_attempts=settings.integer("max_attempts"),
            retry=outcomes(settings, RETRIED) if "retry" in settings.values else None,
            tags=settings.words("tags"),
            description=settings.text("description"),
            sample=_sample(settings),
            budget=Budget.of(settings, PROMPT_KEYS),
            variables={
                name: values[name]
                for sql in (*_written(written), *declared_tests.find_conditions(settings))
                for name in variables.used(sql)
                if name in values  # whoever fills them says which are not there
            },
            tests=declared_tests.parse_tests(
                settings, (*key, *(c.name for c in output.columns)), values
            ),
        )
        prompt._check(settings)
        return prompt

    def _check(self, settings: Settings) -> None:
        """What no single setting can tell."""
        if not self.expressions:
            hint = "name a column where the row's own text belongs: {{ title }}"
            raise ModelError(f"{self.source}: the prompt asks the same of every row", hint=hint)
        if len(set(self.key)) < len(self.key):
            raise settings.wrong("key", "names a column twice", hint="keep one of them")
        names = {column.name.lower() for column in self.output.columns}
        for key in self.key:
            if key.lower() in names:
                hint = "it is the key, and comes back by itself; take it out of the output"
                raise settings.wrong("output", f"cannot hold '{key}'", hint=hint)
        if self.response_format == "text" and not self.output.is_text:
            hint = "write `output: caption VARCHAR NOT NULL`, or take response_format: json_schema"
            raise settings.wrong("response_format", "'text' needs exactly one VARCHAR", hint=hint)
        if self.response_format == "json_object" and "json" not in self.text.lower():
            hint = "say in the prompt that the answer is JSON, and with which keys"
            raise settings.wrong("response_format", "'json_object' needs the word JSON", hint=hint)
        for message in self.messages:
            for image in message.images if message.role != "user" else ():
                where = f"{self.source}:{image.line}"
                hint = "move it below the line `user:`"
                raise ModelError(f"{where}: only a user's message may show an image", hint=hint)


def _sample(settings: Settings) -> int | None:
    """How many rows a changed prompt asks again: `new` none, `sample: n` so many, None all."""
    value = settings.values.get("on_change", "all")
    if value in ("all", "new"):
        return None if value == "all" else 0
    sample = value.get("sample") if isinstance(value, dict) and len(value) == 1 else None
    if not isinstance(sample, int) or isinstance(sample, bool) or sample < 1:
        hint = "one of: all, new, {sample: 50}"
        raise settings.wrong("on_change", f"cannot be '{value}'", hint=hint)
    return sample


def _written(messages: tuple[Message, ...]) -> Iterator[str]:
    """Every `{{ }}` of the messages, as SQL."""
    return (expression.sql for expression in expressions(messages))


def expressions(messages: tuple[Message, ...]) -> Iterator[Expression]:
    """Every `{{ }}` of the messages, in order."""
    for message in messages:
        for part in message.parts:
            pieces = part.pieces if isinstance(part, Text) else (part.source,)
            yield from (piece for piece in pieces if isinstance(piece, Expression))


def said(text: str) -> str:
    """What a prompt's file says to the llm: all that follows the front matter.

    >>> said("---\\nkey: id\\n---\\nuser:\\n{{ name }}")
    'user:\\n{{ name }}'
    """
    return _split(text, "ledger")[1].strip()


def front_matter(text: str, *, source: str) -> Settings:
    """The settings of a prompt's file, not looked at any further."""
    return _split(text, source)[0]


def _split(text: str, source: str) -> tuple[Settings, str, int]:
    """Front matter, what follows it, and the line the latter starts on."""
    lines = text.split("\n")
    fences = [number for number, line in enumerate(lines) if line.rstrip() == "---"][:2]
    if len(fences) < 2 or any(line.strip() for line in lines[: fences[0]]):
        raise ModelError(f"{source}: it must begin with settings", hint=f"as in:\n{EXAMPLE}")
    front = "\n".join(lines[fences[0] + 1 : fences[1]])
    settings = Settings.parse(front, source=source, error=ModelError, first_line=fences[0] + 2)
    return settings, "\n".join(lines[fences[1] + 1 :]), fences[1] + 2


def _messages(body: str, *, source: str, line: int) -> Iterator[Message]:
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
        yield Message(role, template.parse(said, source=source, line=at))
