"""What enrich costs beside the plain Python way and beside DuckDB's own limit, on made-up rows.

    uv run --group bench python benchmarks/scale.py --rows 200000

Each side is measured in the same run, on the same rows:

    python    a loop with json.dumps, or json.loads, and pandas, as cookbooks do it
    duckdb    COPY of the same bytes from a table; read_ndjson of the same files into a table
    enrich    what enrich does: it also hashes, plans, keeps all in the ledger, judges each answer

The provider's time (uploads, polls, downloads) is taken out of enrich's. Memory is the highest
resident size of a process of its own that runs the whole line.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import duckdb

from enrich.ledger.batch import Batch, list_unread
from enrich.ledger.run import RunOptions
from enrich.pipeline.poll import advance_batch
from enrich.pipeline.read import read_batches
from enrich.pricing.price import Price, find_price
from enrich.project import Project
from enrich.providers import Limits, Remote, Timing
from enrich.providers.openai import OPENAI_URL
from enrich.rehearsal import Rehearsal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

SPAWN = get_context("spawn")
LINES = "(FORMAT csv, HEADER false, DELIMITER '', QUOTE '', ESCAPE '')"
SYSTEM = (
    "Your goal is to extract movie categories from movie descriptions, and a summary of one "
    "sentence. You will be provided with a movie description, and you will output JSON."
)
PROMPT = f"""---
key: id
output: |
  categories VARCHAR[] NOT NULL CHECK (len(categories) BETWEEN 1 AND 4),
  mood ENUM('light', 'dark', 'mixed'),
  summary VARCHAR NOT NULL
params: {{temperature: 0.1}}
---
{SYSTEM}

user:
Title: {{{{ title }}}}
{{{{ overview }}}}
"""
WORDS = "a young clerk finds letters of her late father and leaves the city for the north where"
ROWS = """CREATE OR REPLACE TABLE movies AS
SELECT i AS id, 'Film ' || i AS title, $words || ' ' || hash(i) || ' ' || left($words, 30 + i % 60)
    || ' ' || hash(i + $salt * (i % 100 = 0)::INT) || ', ' || left($words, 20 + i % 40) AS overview
FROM range($rows) AS made(i)"""
ANSWER = """'{"categories": ["drama", "comedy"], "mood": "dark", "summary": "A summary of '
    || hash(json) || ' with a few more words to be of usual length."}'"""
RESULT = f"""COPY (
    SELECT concat('{{"id":"batch_req_', hash(json), '","custom_id":', json->'$.custom_id',
        ',"response":{{"status_code":200,"request_id":"r","body":{{"id":"c","object":',
        '"chat.completion","created":1700000000,"model":"gpt-4o-mini-2024-07-18","choices":[{{',
        '"index":0,"message":{{"role":"assistant","content":', to_json({ANSWER}),
        ',"refusal":null}},"logprobs":null,"finish_reason":"stop"}}],"usage":{{"prompt_tokens":',
        '150,"completion_tokens":30,"total_tokens":180,"prompt_tokens_details":{{',
        '"cached_tokens":0}}}},"system_fingerprint":"f"}}}},"error":null}}')
    FROM read_ndjson_objects($file)
) TO $target {LINES}"""


def seconds(call: Callable[[], object]) -> float:
    """How long a call takes."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


@dataclass(kw_only=True)
class Provider:
    """A provider at no cost: DuckDB, in a process of its own, writes the results at once."""

    name: str = "api"
    identity: str = "benchmark"
    llm: str = "gpt-4o-mini"
    limits: Limits = field(default_factory=Limits)
    timing: Timing = field(
        default_factory=lambda: Timing(first_poll=0.0, longest_poll=0.0, lost_after=0.0)
    )

    def upload(self, path: Path) -> str:
        return str(path)

    def submit(self, file: str, *, endpoint: str, metadata: Mapping[str, str]) -> Remote:  # noqa: ARG002
        worker = SPAWN.Process(target=results, args=(file, f"{file}.out"))
        worker.start()
        worker.join()
        return Remote(id=file, status="completed", files=(f"{file}.out",))

    def fetch(self, file: str, path: Path) -> None:
        shutil.move(file, path)

    def price(self, llm: str, *, now: bool = False) -> Price | None:
        return find_price(llm, url=OPENAI_URL, batch=not now)


def results(file: str, target: str) -> None:
    """Write the result file of a request file."""
    with duckdb.connect(config={"memory_limit": "400MB"}) as connection:
        connection.execute("SET preserve_insertion_order = false")
        connection.execute(RESULT, {"file": file, "target": target})


class Timed:
    """A provider whose time is added up."""

    def __init__(self, inner: Any) -> None:  # noqa: ANN401  # any provider
        self.spent = 0.0
        for name in dir(inner):
            if not name.startswith("_"):
                found = getattr(inner, name)
                timed = callable(found) and name != "price"  # a price is looked up here
                setattr(self, name, partial(self._timed, found) if timed else found)

    def _timed(self, call: Callable[..., Any], *words: Any, **named: Any) -> Any:  # noqa: ANN401
        start = time.perf_counter()
        try:
            return call(*words, **named)
        finally:
            self.spent += time.perf_counter() - start


class Bench(Project):
    """A project in a temporary folder whose provider's time is known."""

    def __init__(self, path: str | Path) -> None:
        super().__init__(path)
        (name,) = self.config.providers
        found: Any = Timed(Provider(name=name) if name == "free" else self.provider(name))
        self.workspace._providers[name] = self.timed = found

    def own(self) -> float:
        """Run, and give the seconds that were not the provider's."""
        before = self.timed.spent
        taken = seconds(self.run)
        return float(taken - (self.timed.spent - before))


def project(root: Path, rows: int, *, url: str = "") -> Path:
    """Write a project with so many rows; with `url`, for the server that listens there."""
    (root / "models").mkdir(parents=True)
    provider = "api" if url else "free"
    api: dict[str, Any] = {"type": "openai", "api_key": "any", "poll_seconds": 0}
    api |= {"base_url": url} if url else {}
    settings = {"provider": provider, "providers": {provider: api}}
    (root / "project.yml").write_text(json.dumps(settings))
    (root / "models" / "categories.sql").write_text("SELECT id, title, overview FROM movies")
    (root / "models" / "categories.prompt.md").write_text(PROMPT)
    changed(root, rows, salt=0)
    return root


def changed(root: Path, rows: int, *, salt: int) -> None:
    """Make the rows; another salt changes one in a hundred."""
    with duckdb.connect(str(root / "warehouse.duckdb")) as warehouse:
        warehouse.execute(ROWS, {"rows": rows, "words": WORDS, "salt": salt})


def python_write(root: Path, target: Path, schema: dict[str, Any]) -> None:
    """Rows to JSONL with pandas and json.dumps."""
    with duckdb.connect(str(root / "warehouse.duckdb")) as warehouse:
        frame = warehouse.execute("SELECT id, title, overview FROM movies").df()
    form = {"name": "answer", "strict": True, "schema": schema}
    with target.open("w", encoding="utf-8") as out:
        for row in frame.itertuples():
            body = {
                "model": "gpt-4o-mini",
                "temperature": 0.1,
                "response_format": {"type": "json_schema", "json_schema": form},
                "messages": [
                    {"role": "system", "content": SYSTEM},
                    {"role": "user", "content": f"Title: {row.title}\n{row.overview}"},
                ],
            }
            line = {
                "custom_id": str(row.id),
                "method": "POST",
                "url": "/v1/chat/completions",
                "body": body,
            }
            out.write(json.dumps(line) + "\n")


def python_read(files: list[Path], target: Path) -> None:
    """Results to a table with json.loads and pandas."""
    import pandas

    found = []
    for file in files:
        with file.open(encoding="utf-8") as lines:
            for line in lines:
                result = json.loads(line)
                body = result["response"]["body"]
                answer = json.loads(body["choices"][0]["message"]["content"])
                tokens = body["usage"]["prompt_tokens"]
                found.append({"id": int(result["custom_id"]), "tokens": tokens, **answer})
    frame = pandas.DataFrame(found)  # noqa: F841  # DuckDB reads it by name
    with duckdb.connect(str(target)) as out:
        out.execute("CREATE TABLE answers AS SELECT * FROM frame")


@contextmanager
def plain(folder: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """DuckDB as fast as it goes."""
    with duckdb.connect(str(folder / "plain.duckdb")) as connection:
        connection.execute("SET preserve_insertion_order = false")
        yield connection


def directions(folder: Path, rows: int) -> None:
    """Rows to JSONL and results to table, each beside Python and DuckDB."""
    from enrich.pipeline import publish, run

    bench = Bench(project(folder / "directions", rows))
    free, files = bench.timed, bench.files
    work = folder / "work"
    work.mkdir()
    model = bench.models["categories"]
    start = seconds(lambda: run.start_run(files, bench.config, free, model, RunOptions()))
    with files.open_ledger() as database:
        planned = list_unread(database)
    ended: list[Batch] = []
    write = seconds(lambda: ended.extend(advance_batch(files, free, b) for b in planned))
    write -= free.spent
    requests = sorted(files.work.glob("batches/*/categories-*.jsonl"))
    answered = sorted(files.work.glob("batches/*/result-0.jsonl"))
    kept = [shutil.copy(path, work / f"{n}.jsonl") for n, path in enumerate(answered)]
    read = seconds(lambda: read_batches(files, ended))

    def published() -> None:
        with files.open_both() as database:
            publish.publish_model(database, "categories", (), folder=files.work)

    publish_seconds = seconds(published)
    schema = model.prompt.output.render_schema() if model.prompt else {}
    python_out = seconds(lambda: python_write(bench.config.root, work / "python.jsonl", schema))
    python_in = seconds(lambda: python_read([Path(p) for p in kept], work / "python.duckdb"))
    with plain(folder) as connection:
        every = {"files": [str(path) for path in requests]}
        connection.execute(
            "CREATE TABLE lines AS FROM read_csv($files, columns = {'line': 'VARCHAR'}, "
            "header = false, delim = '', quote = '', escape = '', auto_detect = false)",
            every,
        )
        target = {"path": str(work / "duckdb.jsonl")}
        duckdb_out = seconds(lambda: connection.execute(f"COPY lines TO $path {LINES}", target))
        every = {"files": [str(path) for path in kept]}
        duckdb_in = seconds(
            lambda: connection.execute("CREATE TABLE r AS FROM read_ndjson($files)", every)
        )
    show("rows to JSONL", rows, start + write, python=python_out, duckdb=duckdb_out)
    show("  of it: write", rows, write, python=python_out, duckdb=duckdb_out)
    show("results to table", rows, read + publish_seconds, python=python_in, duckdb=duckdb_in)
    show("  of it: read", rows, read, python=python_in, duckdb=duckdb_in)


def show(name: str, rows: int, taken: float, **others: float) -> None:
    """One line: rows a second, and how many times as fast as each other side."""
    ratios = "".join(f"{other / taken:>10.2f}" for other in others.values())
    print(f"{name:<34}{rows:>10,}{taken:>9.2f}{rows / taken:>12,.0f}{ratios}", flush=True)


def line(folder: Path, rows: int) -> None:
    """The whole line against the rehearsal server, and again with nothing and a little changed."""
    with SPAWN.Manager() as manager:
        told, done = manager.Queue(), manager.Event()
        server = SPAWN.Process(target=rehearsed, args=(told, done))
        server.start()
        root = project(folder / "line", rows, url=told.get())
        show("whole line (rehearsal)", rows, Bench(root).own())
        show("again, nothing changed", rows, Bench(root).own())
        changed(root, rows, salt=1)
        show("again, 1 % changed", rows, Bench(root).own())
        done.set()
        server.join()


def rehearsed(told: Any, done: Any) -> None:  # noqa: ANN401  # a queue and an event
    """A rehearsal server in a process of its own."""
    with Rehearsal() as server:
        told.put(server.base_url)
        done.wait()


def memory(folder: Path, rows: int) -> None:
    """The whole line in a process of its own: its rows a second and its highest memory."""
    root = project(folder / f"memory-{rows}", rows)
    with SPAWN.Manager() as manager:
        told = manager.Queue()
        for name in ("whole line", "again, nothing changed"):
            child = SPAWN.Process(target=peak, args=(str(root), told))
            child.start()
            child.join()
            taken, most = told.get()
            show(f"{name}, {most / 1e6:,.0f} MB at most", rows, taken)
    shutil.rmtree(root)


def peak(root: str, told: Any) -> None:  # noqa: ANN401  # a queue
    """Run; tell the seconds and the bytes."""
    own = Bench(root).own()
    if sys.platform == "win32":
        sys.exit("Windows does not tell how much memory a process had")
    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    told.put((own, size * (1 if sys.platform == "darwin" else 1024)))


def starts(folder: Path) -> None:
    """How long commands take over the interpreter's own start."""
    root = folder / "line" if (folder / "line").exists() else project(folder / "line", 1000)

    def best(*words: str) -> float:
        def once() -> None:
            subprocess.run([sys.executable, *words], check=False, capture_output=True, cwd=root)

        return min(seconds(once) for _ in range(7))

    base = best("-c", "pass")
    environment = {"OPENAI_API_KEY": "any"}
    os.environ.update(environment)
    for words in (("--help",), ("status",)):
        print(f"enrich {words[0]:<27}{best('-m', 'enrich', *words) - base:>19.2f}", flush=True)


def main() -> None:
    words = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    words.add_argument("--rows", type=int, default=200_000)
    words.add_argument("--memory", type=int, nargs="*", default=[1_000_000, 5_000_000])
    asked = words.parse_args()
    heads = ("", "rows", "seconds", "rows/s", "x python", "x duckdb")
    print("{:<34}{:>10}{:>9}{:>12}{:>10}{:>10}".format(*heads))
    with TemporaryDirectory(prefix="enrich-scale-") as made:
        folder = Path(made)
        directions(folder, asked.rows)
        line(folder, asked.rows)
        starts(folder)
        for rows in asked.memory:
            memory(folder, rows)


if __name__ == "__main__":
    main()
