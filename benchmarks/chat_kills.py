"""Kill whatever answers a chat batch again and again, and count what was asked twice.

    uv run python benchmarks/chat_kills.py --kills 200

A project is run by `enrich run` against a chat server on loopback. At random moments the worker,
the command or both are killed (SIGKILL), and the command is started again. Once every row has its
answer, the books are checked, the prompt is changed, and it begins again:

* every row has exactly one outcome, and its answer is what the server said to its request;
* the server answered at most as many requests a second time as were in flight when a worker died.

Half of it orders faults of every kind from the server.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import enrich
from enrich.rehearsal import Faults, Rehearsal, answer

if sys.platform == "win32":
    sys.exit("chat_kills needs SIGKILL")

ROWS, CONCURRENCY = 1_500, 8
FAULTS = Faults(http_429=0.02, http_500=0.02, call_reset=0.01, off_schema=0.01, truncated=0.01)
PROMPT = """---
key: id
output: |
  kind ENUM('tree', 'shrub') NOT NULL,
  line VARCHAR NOT NULL
params: {{temperature: 0}}
---
You know plants, {number}.

user:
{{{{ name }}}}
"""


@dataclass
class Harness:
    """A project in a folder, and the server that answers it."""

    root: Path
    server: Rehearsal
    dice: random.Random
    kills: int = 0
    worker_kills: int = 0
    troubles: list[str] = field(default_factory=list)

    def set_up(self) -> None:
        """Write the project."""
        provider = {"type": "openai", "api": "chat", "api_key": "any", "concurrency": CONCURRENCY}
        known = {
            "provider": "api",
            "providers": {"api": provider | {"base_url": self.server.base_url}},
        }
        (self.root / "seeds").mkdir()
        (self.root / "models").mkdir()
        (self.root / "project.yml").write_text(json.dumps(known))
        lines = "".join(f"{number},plant {number}\n" for number in range(ROWS))
        (self.root / "seeds" / "plants.csv").write_text(f"id,name\n{lines}")
        (self.root / "models" / "kinds.sql").write_text("SELECT id, name FROM plants\n")

    def run_round(self, number: int, most: int) -> None:
        """Run one version of the prompt to its end, killing as it goes."""
        (self.root / "models" / "kinds.prompt.md").write_text(PROMPT.format(number=number))
        billed, before = self.server.bill.total, self.worker_kills
        while True:
            command = [sys.executable, "-m", "enrich", "--project", str(self.root), "run"]
            child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            if self.kills >= most:
                child.wait()
                break
            until = self.server.bill.total + self.dice.randint(0, 150)
            while child.poll() is None and self.server.bill.total <= until:
                time.sleep(0.01)
            if child.poll() is not None:
                break
            self._kill(child)
        self._check(number, billed, self.worker_kills - before)

    def _kill(self, child: subprocess.Popen[bytes]) -> None:
        """Kill the worker, the command or both."""
        which = self.dice.choice(["worker", "command", "both"])
        if which != "command":
            for path in self.root.glob(".enrich/chat/*/*/pid"):
                with suppress(ProcessLookupError, ValueError):
                    os.kill(int(path.read_text()), signal.SIGKILL)
                    self.worker_kills += 1
                    path.unlink()
        if which != "worker":
            child.kill()
        else:
            time.sleep(self.dice.uniform(0, 0.5))
            child.kill()
        child.wait()
        self.kills += 1

    def _check(self, number: int, billed: int, worker_kills: int) -> None:
        """Compare the table and the bill with what they must be."""
        project = enrich.Project(self.root)
        (state,) = project.status()
        if state.busy or state.pending or sum(state.outcomes.values()) != ROWS:
            self.troubles.append(f"round {number}: {state.outcomes}, busy: {state.busy}")
        body = project.compile("kinds")["request"]["body"]
        said = {}
        for row in range(ROWS):
            body["messages"][-1]["content"] = f"plant {row}"
            said[row] = json.loads(answer(body))["line"]
        rows = project.sql("SELECT id, line, outcome FROM kinds JOIN enrich.kinds USING (id)").rows
        wrong = [row for row, line, outcome in rows if outcome == "ok" and line != said[row]]
        if wrong:
            self.troubles.append(f"round {number}: {len(wrong)} rows have another's answer")
        more = self.server.bill.total - billed - self._count_responses()
        print(f"round {number}: {worker_kills} workers killed, {more} answers paid for twice")
        if not 0 <= more <= worker_kills * CONCURRENCY:
            self.troubles.append(f"round {number}: {more} answers were paid for twice")

    def _count_responses(self) -> int:
        """The responses of the latest version that a server would bill."""
        query = """SELECT count(*) FROM ledger.responses WHERE status_code = 200 AND batch IN (
            SELECT batch FROM ledger.batches WHERE prompt = (
                SELECT prompt FROM ledger.runs ORDER BY run DESC LIMIT 1))"""
        with enrich.Project(self.root).files.open_ledger("read") as database:
            return int(database.fetch_one(query)[0])


def main() -> None:
    """Kill so often, and say what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    dice, began = random.Random(options.seed), time.monotonic()
    troubles: list[str] = []
    done = workers = asked = 0
    for faults in (Faults(), FAULTS):
        with (
            TemporaryDirectory() as folder,
            Rehearsal(api="chat", faults=faults, seed=options.seed) as server,
        ):
            harness = Harness(Path(folder), server, dice)
            harness.set_up()
            number = 0
            while harness.kills < options.kills // 2:
                number += 1
                harness.run_round(number, options.kills // 2)
            troubles += harness.troubles
            done, workers = done + harness.kills, workers + harness.worker_kills
            asked += server.bill.total
    print(f"{done} kills, {workers} of them of workers, in {time.monotonic() - began:.0f} s")
    print(f"{asked:,} answers billed")
    print(
        "\n".join(troubles)
        or "clean: no row without its outcome, no answer paid for beyond the bound"
    )
    sys.exit(bool(troubles))


if __name__ == "__main__":
    main()
