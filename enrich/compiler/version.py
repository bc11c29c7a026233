"""Versions: what a model was when it last ran, and what is different now."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from difflib import unified_diff
from typing import TYPE_CHECKING

from enrich.compiler.body import count_line_overhead, hash_prefix
from enrich.compiler.judge import list_readable_forms
from enrich.manifest import variables
from enrich.manifest.output import Output
from enrich.manifest.prompt import (
    Prompt,
    read_front_matter,
    read_llms,
    strip_front_matter,
)

if TYPE_CHECKING:
    from enrich.db.database import Ledger
    from enrich.manifest.prompt import Endpoint, ResponseFormat


@dataclass(frozen=True, kw_only=True)
class Version:
    """A version of a model, as the ledger keeps it.

    `pack` is how many rows share a request, 0 for one alone. `text` is the contents of the prompt
    file. `params` is a JSON object and `variables` is YAML;
    both are None where an earlier enrich, which did not keep them, wrote the version.
    """

    id: str
    model: str
    identity: str
    llm: str
    endpoint: Endpoint
    response_format: ResponseFormat
    output: str
    prefix: str
    text: str
    params: str | None
    variables: str | None
    pack: int = 0

    @classmethod
    def from_ledger(cls, database: Ledger, version_id: str) -> Version:
        """Returns the version with this id, which must be in the ledger."""
        names = ", ".join(field.name for field in fields(cls) if field.name != "id")
        query = f"SELECT prompt AS id, {names} FROM ledger.prompts WHERE prompt = $id"
        return cls(**database.fetch_dicts(query, id=version_id)[0])

    @property
    def parsed_output(self) -> Output:
        """The columns of the output."""
        return Output.parse(self.output, source="ledger")

    @property
    def parsed_prompt(self) -> Prompt:
        """The prompt with its variables filled in."""
        values = variables.load_values(self.variables or "")
        return Prompt.parse(self.text, source="the ledger's prompt", values=values)

    @property
    def digest(self) -> str:
        """The hash of everything that is the same for every row."""
        return hash_prefix(self.identity, self.endpoint, self.prefix)

    @property
    def overhead(self) -> int:
        """The bytes of a request line without its custom_id and tail."""
        return count_line_overhead(self.endpoint, self.prefix)

    @property
    def first_llm(self) -> str:
        """The llm that its prompt asks first: another one if this version is a fallback's."""
        llms = read_llms(read_front_matter(self.text, source="the ledger's prompt"))
        return llms[0] if self.llm in llms[1:] else self.llm

    def can_read(self, answers: Version) -> bool:
        """Whether answers to an earlier version can be read as this one's are, as far as they
        fit."""
        return answers.response_format in list_readable_forms(self.response_format)

    def list_changes(self, before: Version) -> tuple[str, ...]:
        """What differs from the earlier version `before`, in the words of the plan."""
        # A version without `params` was written by an earlier enrich: what its parameters were is
        # unknown. If nothing else differs, they must be what does.
        different = {
            "llm": self.llm != before.first_llm,
            "pack": bool(self.pack) != bool(before.pack),
            "provider": (self.identity, self.endpoint) != (before.identity, before.endpoint),
            "parameters": before.params is not None and self.params != before.params,
            "output": self.response_format != before.response_format
            or self.parsed_output.render_schema() != before.parsed_output.render_schema(),
            "variables": (self.variables or "{}") != (before.variables or "{}"),
            "prompt": strip_front_matter(self.text) != strip_front_matter(before.text),
        }
        words = tuple(word for word, is_so in different.items() if is_so)
        return words or (("checks",) if before.params is not None else ("parameters",))

    def diff(self, before: Version, *, called: str = "last run") -> str:
        """A unified diff of settings and prompt, or "" where they are equal."""
        old, new = (
            version._list_lines(params=before.params is not None) for version in (before, self)
        )
        return "\n".join(unified_diff(old, new, called, "now", lineterm="", n=2))

    def _list_lines(self, *, params: bool) -> list[str]:
        """The settings, one on each line, then the lines of the prompt."""
        settings = json.loads(self.params or "{}") if params else {}
        given = variables.load_values(self.variables or "")
        return [
            f"llm: {self.llm}",
            f"provider: {self.identity}",
            *(f"{name}: {json.dumps(value)}" for name, value in settings.items()),
            *(f"var {name}: {json.dumps(value, default=str)}" for name, value in given.items()),
            *self.text.rstrip("\n").split("\n"),
        ]
