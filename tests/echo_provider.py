"""A provider as another package may bring it: it answers every request at once with its own words.

It has the ten members of `Provider` and one capability, `answering_now`. Its batches are files
below `work`; docs/extending.md shows it as the example.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from enrich.errors import ProviderError
from enrich.providers import Limits, Remote

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from enrich.providers.opening import Opening


@dataclass(frozen=True, kw_only=True)
class EchoProvider:
    """Answers with what `answer:` says, as JSON."""

    name: str
    answer: str
    folder: Path
    limits: Limits
    llm: str = "echo"

    @classmethod
    def from_settings(cls, opening: Opening) -> EchoProvider:
        """The provider that `providers:` describes."""
        opening.check_keys("answer")
        folder = opening.work / "echo"
        folder.mkdir(parents=True, exist_ok=True)
        return cls(
            name=opening.name,
            answer=opening.settings.read_text("answer", "{}"),
            folder=folder,
            limits=opening.limits,
        )

    @property
    def identity(self) -> str:
        """Another answer is another provider."""
        return f"echo:{self.answer}"

    def upload(self, path: Path) -> str:
        """Keep a copy."""
        name = f"file-{uuid4().hex}"
        shutil.copy(path, self.folder / name)
        return name

    def submit(self, file: str, *, endpoint: str, metadata: Mapping[str, str]) -> Remote:
        """Answer it at once; the batch is there when the last file of it is."""
        batch = f"batch-{uuid4().hex}"
        lines = (self.folder / file).read_text().splitlines()
        answers = "".join(f"{json.dumps(self._line(json.loads(line)))}\n" for line in lines)
        (self.folder / f"{batch}.jsonl").write_text(answers)
        known = {"intent": metadata.get("enrich_batch"), "many": len(lines)}
        (self.folder / f"{batch}.json").write_text(json.dumps(known))
        return self.poll(batch)

    def find(self, intent: str, *, file: str) -> Remote | None:
        """The batch of this intent, if it was made."""
        for each in self.folder.glob("batch-*.json"):
            if json.loads(each.read_text())["intent"] == intent:
                return self.poll(each.stem)
        return None

    def poll(self, remote: str) -> Remote:
        """It has always ended."""
        path = self.folder / f"{remote}.json"
        if not path.is_file():
            raise ProviderError(f"there is no batch {remote}", hint="was its folder removed?")
        many = json.loads(path.read_text())["many"]
        return Remote(id=remote, status="completed", completed=many, total=many, files=(remote,))

    def fetch(self, file: str, path: Path) -> None:
        """Copy the result file."""
        shutil.copy(self.folder / f"{file}.jsonl", path)

    def cancel(self, remote: str) -> Remote:
        """There is nothing left to cancel."""
        return self.poll(remote)

    def answering_now(self, name: str) -> EchoProvider:
        """The one capability: previews. It always answers at once."""
        return replace(self, name=name)

    def _line(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """A result line."""
        message = {"role": "assistant", "content": self.answer}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        body = {"object": "chat.completion", "model": "echo", "choices": [choice], "usage": usage}
        response = {"status_code": 200, "request_id": "echo", "body": body}
        return {"custom_id": request["custom_id"], "response": response, "error": None}
