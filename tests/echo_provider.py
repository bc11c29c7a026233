"""A provider as another package may bring it: it answers every request at once with its own words.

Its batches are folders below `work`; docs/extending.md shows it as the example.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from enrich.providers import Limits, Remote

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from enrich.pricing.price import Price
    from enrich.providers.opening import Opening


@dataclass(frozen=True, kw_only=True)
class EchoProvider:
    """Answers with what `answer:` says, as JSON."""

    name: str
    answer: str
    folder: Path
    limits: Limits
    llm: str = "echo"
    pause: tuple[float, float] = (0.0, 0.0)
    lost_after: float = 0.0
    notice: str = ""

    @classmethod
    def from_settings(cls, opening: Opening) -> EchoProvider:
        opening.known("answer")
        folder = opening.work / "echo"
        folder.mkdir(parents=True, exist_ok=True)
        return cls(
            name=opening.name,
            answer=opening.settings.text("answer", "{}"),
            folder=folder,
            limits=opening.limits,
        )

    @property
    def identity(self) -> str:
        return f"echo:{self.answer}"

    def price(self, llm: str, *, now: bool = False) -> Price | None:
        return None

    def check(self, *, images: bool, endpoint: str) -> None:
        """Everything can be answered."""

    def offers(self, llm: str) -> bool | None:
        return llm == self.llm

    def upload(self, path: Path) -> str:
        name = f"file-{uuid4().hex}"
        shutil.copy(path, self.folder / name)
        (self.folder / f"{name}.name").write_text(path.name)
        return name

    def uploaded(self, name: str) -> tuple[str, ...]:
        found = self.folder.glob("file-*.name")
        return tuple(each.stem for each in found if each.read_text() == name)

    def ready(self, file: str) -> bool:
        return True

    def discard(self, file: str) -> None:
        for name in (file, f"{file}.name"):
            (self.folder / name).unlink(missing_ok=True)

    def submit(self, file: str, *, endpoint: str, metadata: Mapping[str, str]) -> Remote:
        batch = f"batch-{uuid4().hex}"
        lines = (self.folder / file).read_text().splitlines()
        answers = "".join(f"{json.dumps(self._line(json.loads(line)))}\n" for line in lines)
        (self.folder / f"{batch}.jsonl").write_text(answers)
        known = {"intent": metadata.get("enrich_batch"), "file": file, "many": len(lines)}
        (self.folder / f"{batch}.json").write_text(json.dumps(known))
        return self.poll(batch)

    def find(self, intent: str, *, file: str) -> Remote | None:
        for each in self.folder.glob("batch-*.json"):
            if json.loads(each.read_text())["intent"] == intent:
                return self.poll(each.stem)
        return None

    def poll(self, remote: str) -> Remote:
        known = json.loads((self.folder / f"{remote}.json").read_text())
        many = known["many"]
        return Remote(id=remote, status="completed", completed=many, total=many, files=(remote,))

    def fetch(self, file: str, path: Path) -> None:
        shutil.copy(self.folder / f"{file}.jsonl", path)

    def cancel(self, remote: str) -> Remote:
        return self.poll(remote)

    def complete(self, requests: Path, results: Path) -> None:
        lines = requests.read_text().splitlines()
        with results.open("a") as out:
            for line in lines:
                out.write(f"{json.dumps(self._line(json.loads(line)))}\n")

    def _line(self, request: Mapping[str, Any]) -> dict[str, Any]:
        message = {"role": "assistant", "content": self.answer}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        body = {"object": "chat.completion", "model": "echo", "choices": [choice], "usage": usage}
        response = {"status_code": 200, "request_id": "echo", "body": body}
        return {"custom_id": request["custom_id"], "response": response, "error": None}
