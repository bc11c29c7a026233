"""Versions: what a model was when it was last run, and what is different now."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from difflib import unified_diff
from typing import TYPE_CHECKING

from enrich.manifest import variables
from enrich.manifest.output import Output
from enrich.manifest.prompt import Prompt, strip_front_matter

if TYPE_CHECKING:
    from enrich.db.database import Ledger
    from enrich.manifest.prompt import Endpoint, ResponseFormat


@dataclass(frozen=True, kw_only=True)
class Version:
    """A version of a model, as the ledger keeps it; `text` is the prompt's file.

    `params` is a JSON object, `variables` YAML; None in the ledger of an earlier enrich.
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

    @classmethod
    def of(cls, database: Ledger, version_id: str) -> Version:
        """The version with this id."""
        names = ", ".join(field.name for field in fields(cls) if field.name != "id")
        query = f"SELECT prompt AS id, {names} FROM ledger.prompts WHERE prompt = $id"
        return cls(**database.fetch_dicts(query, id=version_id)[0])

    @property
    def columns(self) -> Output:
        """The output, parsed."""
        return Output.parse(self.output, source="ledger")

    @property
    def asked(self) -> Prompt:
        """The prompt, parsed."""
        values = variables.load_values(self.variables or "")
        return Prompt.parse(self.text, source="the ledger's prompt", values=values)

    def reads(self, answers: Version) -> bool:
        """Whether answers to an earlier version can be read like its own, as far as they go."""
        return (self.response_format == "text") == (answers.response_format == "text")

    def changed(self, before: Version) -> tuple[str, ...]:
        """What is asked otherwise than by the version before, in the words of the plan."""
        different = {
            "llm": self.llm != before.llm,
            "provider": (self.identity, self.endpoint) != (before.identity, before.endpoint),
            "parameters": before.params is not None and self.params != before.params,
            "output": self.response_format != before.response_format
            or self.columns.render_schema() != before.columns.render_schema(),
            "variables": (self.variables or "{}") != (before.variables or "{}"),
            "prompt": strip_front_matter(self.text) != strip_front_matter(before.text),
        }
        words = tuple(word for word, is_so in different.items() if is_so)
        return words or (("checks",) if before.params is not None else ("parameters",))

    def diff(self, before: Version, *, called: str = "last run") -> str:
        """A unified diff of settings and prompt, empty where there is no difference."""
        old, new = (version._lines(params=before.params is not None) for version in (before, self))
        return "\n".join(unified_diff(old, new, called, "now", lineterm="", n=2))

    def _lines(self, *, params: bool) -> list[str]:
        """Settings and prompt, a line each."""
        settings = json.loads(self.params or "{}") if params else {}
        given = variables.load_values(self.variables or "")
        return [
            f"llm: {self.llm}",
            f"provider: {self.identity}",
            *(f"{name}: {json.dumps(value)}" for name, value in settings.items()),
            *(f"var {name}: {json.dumps(value, default=str)}" for name, value in given.items()),
            *self.text.rstrip("\n").split("\n"),
        ]
