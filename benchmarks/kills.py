"""Kill enrich again and again, and see whether anything was lost or paid twice.

    uv run python benchmarks/kills.py --kills 500

A project of three models, each reading the one before (a table between two that ask), with tests,
is run as a child process against the rehearsal server. The child is killed (SIGKILL) before or
after any of its steps (every SQL statement, every call to the provider), or at any time; or it
gets Ctrl-C, or finds the disk full, or the warehouse held by somebody else, or another `enrich
run` or `enrich status` beside it; or it has a budget that pays for a part; or there was a plan or
a preview before it; or it was detached, and `enrich status` went on; or the warehouse is deleted;
or every route fails in passing from the first turn on, and the run must come through by itself.
Then it is started again until done, and the books are checked:

* every row has exactly one outcome, and every request of a batch exactly one response;
* the published tables hold, row by row, what the server answered to that row's request;
* the server billed each request as often as the ledger has a response to it, and with no faults
  ordered once;
* ledger and warehouse open in plain DuckDB, and no upload is left without a batch.

Then rows change, and it begins again. Half of it orders faults of every kind from the server. With
`--shared`, rows share requests (`pack`) and near-duplicates share answers (`dedupe`).
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import signal
import sys
import time
from collections import Counter
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import duckdb

from enrich.compiler.pack import render_line_tail
from enrich.rehearsal import Faults, Rehearsal, Step, answer, hash_request

if sys.platform == "win32":
    sys.exit("kills needs a fork server, which Windows does not have")

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from multiprocessing.process import BaseProcess

FORK = get_context("forkserver")
FORK.set_forkserver_preload(
    [
        *("enrich.project", "enrich.cli", "enrich.providers.openai", "openai.resources.batches"),
        *("httpx2", "duckdb", "sqlglot", "rich.table", "yaml", "pytz", "filelock", "prices_loaded"),
    ]
)

FAULTS = Faults(
    dropped=0.02,
    doubled=0.02,
    http_429=0.02,
    http_500=0.02,
    status_0=0.02,
    truncated=0.01,
    malformed=0.02,
    off_schema=0.02,
    off_check=0.02,
    left_out=0.02,
    call_429=0.01,
    call_500=0.02,
    call_reset=0.03,
    create_lost=0.2,
    download_cut=0.1,
    batch_expired=0.1,
    batch_cancelled=0.05,
    batch_without_files=0.05,
    batch_late_files=0.1,
)
"""A little of everything that a row or a batch survives."""

BILLED = "status_code = 200"
PERHAPS = (
    "status_code = 200 OR outcome IN ('missing', 'expired') "
    "OR (outcome = 'error' AND status_code IS NULL)"
)
"""A request without a line may have been billed, if its line is what was lost."""
LAST = 3600.0
ROUTES = (
    "POST /v1/files",
    "GET /v1/files",
    "GET /v1/files/{id}",
    "GET /v1/files/{id}/content",
    "POST /v1/batches",
    "GET /v1/batches",
    "GET /v1/batches/{id}",
)

PROMPT = """---
key: id
output: |
  kind ENUM('tree', 'shrub') NOT NULL,
  tags VARCHAR[] NOT NULL CHECK (len(tags) BETWEEN 1 AND 3),
  line VARCHAR NOT NULL
params: {temperature: 0}
max_attempts: 9
tests: [{unique: id}, {min_ok: 0.3}, {check: len(tags) < 3, severity: warn}]
---
You know plants.

user:
{{ name }}
"""
SECOND = PROMPT.replace("{{ name }}", "{{ line }}").replace("You know plants", "You know lines")
# Two rows after each other are nearly the same, whatever their names are.
SIMILAR = """
SELECT id, name, list_transform(range(16), lambda i:
    hash(id // 2, i) % 1000 / 500.0 - 1 + id % 2 / 100.0)::FLOAT[16] AS vector FROM plants
"""
Told = dict[tuple[str, str], dict[str, Any]]
PARAMS = {"temperature": 0}
LINES = f"""
WITH said AS (
    SELECT batch, custom_id, fingerprint, pack, pack_row, tail, prefix, pack_size,
        coalesce({BILLED}, false) AS once, coalesce({PERHAPS}, false) AS perhaps
    FROM ledger.requests JOIN ledger.responses USING (batch, custom_id, fingerprint)
        JOIN (SELECT batch, prompt FROM ledger.batches) USING (batch)
        JOIN (SELECT prompt, prefix, pack AS pack_size FROM ledger.prompts) USING (prompt)
)
SELECT batch, prefix || tail, [(0, fingerprint)], once::INT, perhaps::INT FROM said
WHERE pack IS NULL
UNION ALL
SELECT batch, any_value(prefix) || {render_line_tail("pack_row", "tail", PARAMS)},
    list((pack_row, fingerprint)), bool_or(once)::INT, bool_or(perhaps)::INT FROM said
WHERE pack IS NOT NULL GROUP BY batch, pack
"""
"""The lines of all batches that were read: batch, body, rows (number in the line, fingerprint), how
often it was billed for sure, and at most."""


@dataclass(frozen=True)
class Moment:
    """When a child kills itself: at the `number`-th step of a name, or of all if it is empty."""

    number: int
    after: bool
    name: str = ""


def child(words: list[str], said: str, moment: Moment | None, disk: int | None) -> None:
    """`enrich WORDS` in this process, with its talk in the file `said`."""
    from enrich.cli import main

    os.dup2(os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if disk is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (disk, disk))
    seen: Counter[str] = Counter()

    def at(name: str, *, after: bool) -> None:
        if moment is None or moment.after != after or moment.name not in ("", name):
            return
        seen[moment.name] += 1
        if seen[moment.name] == moment.number:
            os.kill(os.getpid(), signal.SIGKILL)

    watch(at)
    main(words)


def watch(at: Callable[..., None]) -> None:
    """Call `at` before and after each step of enrich in this process: SQL and provider calls."""
    from enrich.db.database import Database
    from enrich.db.files import DatabaseFiles
    from enrich.providers.openai import OpenAIProvider

    def watched(call: Callable[..., Any], name_of: Callable[..., str]) -> Callable[..., Any]:
        def step(*words: Any, **named: Any) -> Any:  # noqa: ANN401  # whatever the call takes
            name = name_of(*words)
            at(name, after=False)
            result = call(*words, **named)
            at(name, after=True)
            return result

        return step

    def of(name: str) -> Callable[..., str]:
        return lambda *_: name

    door: Any = Database
    door.execute = watched(door.execute, lambda _, sql: "sql: " + " ".join(sql.split())[:40])
    files: Any = DatabaseFiles
    files._detach = watched(files._detach, lambda _, name, *__: f"detach {name}")
    provider: Any = OpenAIProvider
    for name in ("upload", "ready", "submit", "find", "poll", "fetch", "uploaded", "discard"):
        setattr(provider, name, watched(getattr(provider, name), of(name)))


def hold(path: str, seconds: float) -> None:
    """Keep a database open, as somebody's notebook would."""
    with duckdb.connect(path):
        time.sleep(seconds)


@dataclass
class Trial:
    """A project, the server it runs against, and what happened so far."""

    root: Path
    server: Rehearsal
    dice: random.Random
    shared: bool = False
    rows: dict[int, str] = field(default_factory=dict)
    happened: Counter[str] = field(default_factory=Counter)

    @classmethod
    @contextmanager
    def begun(
        cls, *, seed: int, faults: Faults | None = None, shared: bool = False
    ) -> Iterator[Trial]:
        """A new project in a temporary folder, against a server of its own. `shared`: rows share
        requests, and near-duplicates share answers."""
        with ExitStack() as stack:
            root = Path(stack.enter_context(TemporaryDirectory(prefix="enrich-kills-")))
            server = stack.enter_context(
                Rehearsal(faults=faults or Faults(), seed=seed, hang=0.2, retry_after=0.01)
            )
            trial = cls(root=root, server=server, dice=random.Random(seed), shared=shared)
            trial._write()
            trial.change(24)
            yield trial

    def _write(self) -> None:
        api = {
            "type": "openai",
            "base_url": self.server.base_url,
            "api_key": "sk-kills",
            "poll_seconds": 0,
            "lost_after": 0,
            "max_requests": 7,
            "max_batches": 3,
        }
        settings = {"provider": "api", "providers": {"api": api}, "lock_timeout": 60}
        models = self.root / "models"
        models.mkdir()
        (self.root / "seeds").mkdir()
        (self.root / "project.yml").write_text(json.dumps(settings))
        query = SIMILAR if self.shared else "SELECT id, name FROM plants"
        dedupe = PROMPT.replace("key: id", "key: id\npack: 3\ndedupe: 0.97")
        (models / "kinds.sql").write_text(query)
        (models / "kinds.prompt.md").write_text(dedupe if self.shared else PROMPT)
        (models / "middle.sql").write_text("-- materialized: table\nSELECT id, line FROM kinds")
        (models / "lines.sql").write_text("SELECT id, line FROM middle")
        pack = SECOND.replace("key: id", "key: id\npack: 2")
        (models / "lines.prompt.md").write_text(pack if self.shared else SECOND)

    def change(self, many: int) -> None:
        """Some rows are new, some change, one goes."""
        start = max(self.rows, default=0) + 1
        for key in range(start, start + many):
            self.rows[key] = f"plant {key}"
        if start > 1:
            del self.rows[self.dice.choice(list(self.rows))]
            self.rows[self.dice.choice(list(self.rows))] += " again"
        lines = "".join(f"{key},{name}\n" for key, name in self.rows.items())
        (self.root / "seeds" / "plants.csv").write_text(f"id,name\n{lines}")

    def start(
        self, *words: str, moment: Moment | None = None, disk: int | None = None
    ) -> BaseProcess:
        """`enrich WORDS` as a child process."""
        said = str(self.root / f"said-{words[0]}-{self.happened.total()}")
        self.happened["children"] += 1
        whole = ["--project", str(self.root), *words]
        process = FORK.Process(target=child, args=(whole, said, moment, disk), name=said)
        process.start()
        return process

    def ended(self, process: BaseProcess, *allowed: int) -> int:
        """Wait for a child; what it said holds no traceback, and its exit code is allowed."""
        process.join(LAST)
        said = Path(process.name)
        text = said.read_text(errors="replace") if said.exists() else ""
        assert "Traceback" not in text, text
        assert process.exitcode in allowed, (process.exitcode, text)
        said.unlink(missing_ok=True)
        return int(process.exitcode or 0)

    def finish(self) -> None:
        """Run until done; faults may make a run give up, and then it is started again."""
        for _ in range(60):
            run = self.start("run", "--retry")
            run.join(LAST)
            said = Path(run.name).read_text(errors="replace")
            if self.ended(run, 0, 1, 3, 4) == 0:
                return
        raise AssertionError(f"it does not come to an end:\n{said}")

    def killed(self, moment: Moment) -> bool:
        """Run with a kill at a moment; whether it came to that."""
        code = self.ended(self.start("run", moment=moment), -signal.SIGKILL, 0, 1, 3, 4)
        self.happened["kills"] += code == -signal.SIGKILL
        return code == -signal.SIGKILL

    def trouble(self, seconds: float, steps: int) -> None:
        """One thing that goes wrong, drawn at random, in the first seconds and steps of a run."""
        names = ("step", "step", "step", "time", "time", "ctrl-c", "disk", "held", "two", "status")
        more = ("budget", "budget", "plan", "preview", "deleted", "detach", "detach", "outage")
        name = self.dice.choice((*names, *more))
        self.happened[name] += 1
        some = self.dice.uniform(0, min(seconds, 1.5))
        stop = -signal.SIGKILL
        if name == "step":
            number = int(steps ** self.dice.uniform(0.3, 1))
            self.killed(Moment(number, after=self.dice.random() < 0.5))
        elif name == "budget":
            cost = str(self.dice.uniform(0, 0.003))
            run = self.start("run", "--max-cost", cost)
            time.sleep(some)
            self._kill(run)
        elif name == "outage":
            self.outage()
        elif name == "detach":
            self.ended(self.start("run", "--detach"), 0, 1, 3, 4)
            for _ in range(self.dice.randint(1, 6)):
                status = self.start("status")
                time.sleep(self.dice.uniform(0, some))
                self._kill(status)
        elif name in ("plan", "preview"):
            models = ["kinds"] if name == "preview" else []
            self.ended(self.start(name, *models), 0, 1, 3, 4)
        elif name == "disk":
            disk = int(2 ** self.dice.uniform(11, 21))
            self.ended(self.start("run", disk=disk), 0, 1, 3, 4)
        elif name == "deleted":
            for file in self.root.glob("warehouse.duckdb*"):
                file.unlink()
        elif name == "held":
            path = str(self.root / "warehouse.duckdb")
            holder = FORK.Process(target=hold, args=(path, some))
            holder.start()
            run = self.start("run")
            time.sleep(some / 2)
            self._kill(run)
            holder.join()
        elif name in ("time", "ctrl-c"):
            run = self.start("run")
            time.sleep(some)
            if name == "time":
                self._kill(run)
            else:
                if run.pid is not None and run.is_alive():
                    os.kill(run.pid, signal.SIGINT)
                self.ended(run, 0, 1, 3, 4, 130, -signal.SIGINT)
        else:
            other = self.start("run" if name == "two" else "status")
            run = self.start("run")
            time.sleep(some)
            self._kill(run)
            self.ended(other, 0, 1, 3, 4, stop)

    def outage(self) -> None:
        """Errors that pass by themselves on every route, from the first turn of a run on: it sends
        all the same, to its end, and leaves no row unasked."""
        for route in ROUTES:
            steps: list[Step] = [429, 500, 503, "reset"]
            some = self.dice.choices(steps, k=self.dice.randint(1, 3))
            self.server.script(route, some, replace=True)
        alone = self.server.settings.faults == Faults()
        self.ended(self.start("run"), *((0,) if alone else (0, 1, 3, 4)))

    def _kill(self, run: BaseProcess) -> None:
        run.kill()
        code = self.ended(run, -signal.SIGKILL, 0, 1, 3, 4)
        self.happened["kills"] += code == -signal.SIGKILL

    def check(self) -> None:
        """The books: see the top of this file."""
        with duckdb.connect(str(self.root / "warehouse.duckdb"), read_only=True) as books:
            books.execute(f"ATTACH '{self.root / 'ledger.duckdb'}' AS ledger (READ_ONLY)")
            self._check_ledger(books)
            told = self._check_bill(books)
            self._check_table(books, told, "kinds", {str(k): v for k, v in self.rows.items()})
            lines = dict(books.execute("SELECT id::VARCHAR, line FROM kinds").fetchall())
            self._check_table(books, told, "lines", lines)
            middle = books.execute("SELECT id::VARCHAR, line FROM middle").fetchall()
            assert dict(middle) == lines
        made = {batch["input_file_id"] for batch in self.server.batches}
        assert {file["id"] for file in self.server.uploads} == made

    def _check_ledger(self, books: duckdb.DuckDBPyConnection) -> None:
        wrong = books.execute(
            "SELECT batch.batch, requests, status, read_at, count(custom_id), "
            "count(DISTINCT custom_id) FROM ledger.batches AS batch "
            "LEFT JOIN ledger.responses USING (batch) "
            "GROUP BY ALL HAVING read_at IS NULL OR count(custom_id) <> requests "
            "OR count(DISTINCT custom_id) <> requests"
        ).fetchall()
        assert wrong == []

    def _check_bill(self, books: duckdb.DuckDBPyConnection) -> Told:
        """Each line was billed as often as the ledger knows; returns what each row was told, by its
        batch and fingerprint."""
        billed = self.server.bill.requests
        known: Counter[str] = Counter()
        most: Counter[str] = Counter()
        told: Told = {}
        for batch, body, rows, once, perhaps in books.execute(LINES).fetchall():
            whole = json.loads(body)
            key = hash_request(whole)
            known[key] += once
            most[key] += perhaps
            said = json.loads(answer(whole))
            for number, fingerprint in rows:
                told[batch, fingerprint] = said["answers"][number - 1]["answer"] if number else said
        assert set(billed) <= set(known)
        for key, least in known.items():
            assert least <= billed[key] <= most[key], (key, least, billed[key], most[key])
        if self.server.settings.faults == Faults():
            assert set(billed.values()) == {1}
        return told

    def _check_table(
        self,
        books: duckdb.DuckDBPyConnection,
        told: Told,
        model: str,
        expected: dict[str, str],
    ) -> None:
        """One outcome for each row, and the table is what was answered to the text of the row, or
        of the one that it was copied from."""
        found = books.execute(
            f"SELECT id::VARCHAR, outcome, stale, batch, fingerprint, copied_from, kind::VARCHAR, "
            f"tags, line FROM enrich.{model} LEFT JOIN {model} USING (id)"
        ).fetchall()
        assert sorted(row[0] for row in found) == sorted(expected)
        texts = books.execute(
            "SELECT DISTINCT fingerprint, tail FROM ledger.requests "
            f"SEMI JOIN enrich.{model} USING (fingerprint)"
        ).fetchall()
        asked = dict(texts)
        leaders = {row[4]: row[0] for row in found if row[5] is None}
        for key, outcome, stale, batch, fingerprint, copied, *answered in found:
            assert (outcome, stale) == ("ok", False), (model, key, outcome)
            assert answered == list(told[batch, fingerprint].values()), (model, key)
            text = json.dumps(expected[copied or key], ensure_ascii=False)
            assert asked[fingerprint].startswith(text), (model, key)
            assert copied in (None, leaders.get(fingerprint, copied))


def measured(trial: Trial) -> tuple[float, int, list[str]]:
    """How long a run takes, and its steps by name, in the order they come first."""
    file = trial.root / "steps"
    start = time.monotonic()
    process = FORK.Process(target=recorded, args=(str(trial.root), str(file)))
    process.start()
    process.join()
    if trial.server.settings.faults == Faults():
        assert process.exitcode == 0, f"a run that nobody kills ends with {process.exitcode}"
    names = file.read_text().splitlines()
    file.unlink()
    return time.monotonic() - start, len(names), list(dict.fromkeys(names))


def recorded(root: str, file: str) -> None:
    """A run that writes the names of its steps to a file."""
    from enrich.cli import main

    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    with open(file, "w", encoding="utf-8") as steps:  # noqa: PTH123
        watch(lambda name, after: None if after else print(name, file=steps, flush=True))
        main(["--project", root, "run"])


def rounds(
    kills: int,
    *,
    seed: int,
    faults: Faults | None,
    say: Callable[[str], None],
    shared: bool = False,
) -> Trial:
    """Rounds of trouble until so many kills came to pass, the books checked after each."""
    with Trial.begun(seed=seed, faults=faults, shared=shared) as trial:
        seconds, steps, _ = measured(trial)
        steps = min(steps, 600)
        trial.finish()
        trial.check()
        while trial.happened["kills"] < kills:
            trial.change(trial.dice.randint(3, 20))
            if trial.dice.random() < 0.5:
                trial.outage()
            for _ in range(trial.dice.randint(3, 8)):
                trial.trouble(seconds, steps)
            trial.finish()
            trial.check()
            trial.happened["rounds"] += 1
            say(f"{trial.happened['kills']:>5} kills in {trial.happened['rounds']} rounds")
        return trial


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    words.add_argument("--kills", type=int, default=500)
    words.add_argument("--seed", type=int, default=1)
    words.add_argument("--shared", action="store_true", help="with packs and copied answers")
    asked = words.parse_args()
    start = time.monotonic()
    for name, faults in (("no other faults", None), ("faults of every kind", FAULTS)):

        def say(sentence: str, name: str = name) -> None:
            print(f"\r{name}: {sentence}", end="", file=sys.stderr, flush=True)

        trial = rounds(
            asked.kills // 2, seed=asked.seed, faults=faults, say=say, shared=asked.shared
        )
        print(file=sys.stderr)
        bill = trial.server.bill
        happened = ", ".join(f"{many} {what}" for what, many in sorted(trial.happened.items()))
        print(f"{name}: {bill.total:,} requests billed, {len(bill.requests):,} different")
        print(f"  {happened}")
        print("  nothing lost, nothing paid twice")
    print(f"{time.monotonic() - start:.0f} s")


if __name__ == "__main__":
    main()
