"""What enrich costs beside the plain Python way and beside DuckDB's own limit, on made-up rows.

    uv run --group bench python benchmarks/scale.py

Each side is measured in the same run, on the same rows (`--rows`, 200,000):

    python    a loop with json.dumps, or json.loads, and pandas, as cookbooks do it
    duckdb    COPY of the same bytes from a table; read_ndjson of the same files into a table
    enrich    what enrich does: it also hashes, plans, keeps all in the ledger, judges each answer

The provider's time (uploads, polls, downloads) is taken out of enrich's. Each step has a fresh
process, so what ran before it changes neither its time nor its memory: see `measuring`. At the end,
the figures are compared with those in README.md and docs/: see `claims`.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import duckdb
from claims import compare_claims, read_claims
from measuring import Measured, measure_call

from enrich.ledger.batch import list_unread
from enrich.ledger.run import RunOptions
from enrich.pipeline import publish, run
from enrich.pipeline.poll import advance_batch
from enrich.pipeline.read import read_batches
from enrich.pricing.price import Price, find_price
from enrich.project import Project
from enrich.providers import Limits, Remote, Timing
from enrich.providers.openai import OPENAI_URL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

SPAWN = get_context("spawn")
ROWS_ON_PAGE = 200_000
"""The rows for which docs/explanation/speed.md gives its table."""
STARTED = ("--help", "status", "plan")
"""The commands whose start is measured."""
SERVER = """
import sys
from enrich.rehearsal import Rehearsal
with Rehearsal() as server:
    print(server.base_url, flush=True)
    sys.stdin.read()
"""
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


def write_project(root: Path, rows: int, *, url: str = "") -> Path:
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


def start_model(folder: str) -> float:
    """Plan the run of a project: its rows become requests in the ledger. Returns the seconds."""
    bench = Bench(folder)
    model = bench.models["categories"]
    options = RunOptions()
    return seconds(lambda: run.start_run(bench.files, bench.config, bench.timed, model, options))


def write_batches(folder: str) -> float:
    """Write and submit what was planned. Returns the seconds that were not the provider's."""
    bench = Bench(folder)
    with bench.files.open_ledger() as database:
        planned = list_unread(database)
    taken = seconds(lambda: [advance_batch(bench.files, bench.timed, each) for each in planned])
    return float(taken - bench.timed.spent)


def read_answers(folder: str) -> float:
    """Read and judge what was answered. Returns the seconds."""
    bench = Bench(folder)
    with bench.files.open_ledger() as database:
        ended = list_unread(database)
    return seconds(lambda: read_batches(bench.files, ended))


def publish_answers(folder: str) -> float:
    """Publish what was read. Returns the seconds."""
    files = Bench(folder).files

    def published() -> None:
        with files.open_both() as database:
            publish.publish_model(database, "categories", (), folder=files.work)

    return seconds(published)


def render_schema(folder: str) -> dict[str, Any]:
    """Returns the schema that the Python way puts into its requests."""
    return Bench(folder).models["categories"].own_prompt.output.render_schema()


def write_by_python(folder: str, target: str, schema: dict[str, Any]) -> float:
    """Rows to JSONL with pandas and json.dumps. Returns the seconds."""
    import pandas  # noqa: F401  # its import is not what is measured

    return seconds(lambda: python_write(Path(folder), Path(target), schema))


def read_by_python(paths: list[str], target: str) -> float:
    """Results to a table with json.loads and pandas. Returns the seconds."""
    import pandas  # noqa: F401  # its import is not what is measured

    return seconds(lambda: python_read([Path(path) for path in paths], Path(target)))


@contextmanager
def plain(folder: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """DuckDB as fast as it goes."""
    with duckdb.connect(str(folder / "plain.duckdb")) as connection:
        connection.execute("SET preserve_insertion_order = false")
        yield connection


def load_by_duckdb(folder: str, paths: list[str]) -> None:
    """The lines of request files in a table."""
    with plain(Path(folder)) as connection:
        connection.execute(
            "CREATE TABLE lines AS FROM read_csv($files, columns = {'line': 'VARCHAR'}, "
            "header = false, delim = '', quote = '', escape = '', auto_detect = false)",
            {"files": paths},
        )


def write_by_duckdb(folder: str) -> float:
    """That table to JSONL. Returns the seconds."""
    target = {"path": str(Path(folder) / "duckdb.jsonl")}
    with plain(Path(folder)) as connection:
        return seconds(lambda: connection.execute(f"COPY lines TO $path {LINES}", target))


def read_by_duckdb(folder: str, paths: list[str]) -> float:
    """Result files to a table. Returns the seconds."""
    query = "CREATE TABLE results AS FROM read_ndjson($files)"
    with plain(Path(folder)) as connection:
        return seconds(lambda: connection.execute(query, {"files": paths}))


def step(name: str, **arguments: Any) -> Measured:  # noqa: ANN401  # what the step takes
    """Measure a function of this module; if it returns seconds, these count."""
    found = measure_call(f"scale:{name}", **arguments)
    return replace(found, seconds=found.value) if isinstance(found.value, float) else found


def directions(folder: Path, rows: int) -> dict[str, float]:
    """Rows to JSONL and results to table, each beside Python and DuckDB."""
    root = str(write_project(folder / "directions", rows))
    batches = Path(root) / ".enrich" / "batches"
    start, write = step("start_model", folder=root), step("write_batches", folder=root)
    schema = step("render_schema", folder=root).value
    work = str(folder)
    lines = str(folder / "python.jsonl")
    python = step("write_by_python", folder=root, target=lines, schema=schema)
    requests = [str(path) for path in sorted(batches.glob("*/categories-*.jsonl"))]
    step("load_by_duckdb", folder=work, paths=requests)
    best = step("write_by_duckdb", folder=work)
    found = show("rows to JSONL", rows, [start, write], python=python, duckdb=best)
    found |= show("  of it: write", rows, [write], python=python, duckdb=best)
    results = [str(path) for path in sorted(batches.glob("*/result-0.jsonl"))]
    read, published = step("read_answers", folder=root), step("publish_answers", folder=root)
    python = step("read_by_python", paths=results, target=str(folder / "python.duckdb"))
    best = step("read_by_duckdb", folder=work, paths=results)
    found |= show("results to table", rows, [read, published], python=python, duckdb=best)
    return found | show("  of it: read", rows, [read], python=python, duckdb=best)


def show(name: str, rows: int, parts: list[Measured], **others: Measured) -> dict[str, float]:
    """One line: rows a second, the most memory, and how many times as fast as each other side.
    Returns the same as figures, by what `claims` calls them."""
    taken, peak = sum(part.seconds for part in parts), max(part.peak for part in parts)
    ratios = {f"x {side}": other.seconds / taken for side, other in others.items()}
    cells = "".join(f"{ratio:>10.2f}" for ratio in ratios.values())
    beside = "".join(f"{other.peak / 1e6:>10,.0f}" for other in others.values())
    line = f"{name:<30}{rows:>10,}{taken:>9.2f}{rows / taken:>12,.0f}{peak / 1e6:>8,.0f}"
    print(line + cells + beside, flush=True)
    figures = {"rows/s": rows / taken, "seconds": taken, "MB": peak / 1e6, **ratios}
    return {f"{name}: {what}": figure for what, figure in figures.items()}


def plan_once(folder: str) -> float:
    """Plan the run of a project, as `enrich plan` does. Returns the seconds."""
    return seconds(Bench(folder).plan)


def run_once(folder: str) -> float:
    """Run a project. Returns the seconds that were not the provider's."""
    return Bench(folder).own()


def line(folder: Path, rows: int) -> None:
    """The whole line against the rehearsal server, and again with nothing and a little changed."""
    with rehearse() as url:
        root = write_project(folder / "line", rows, url=url)
        show("whole line (rehearsal)", rows, [step("run_once", folder=str(root))])
        show("again, nothing changed", rows, [step("run_once", folder=str(root))])
        changed(root, rows, salt=1)
        show("again, 1 % changed", rows, [step("run_once", folder=str(root))])


@contextmanager
def rehearse() -> Iterator[str]:
    """A rehearsal server in a process of its own. Yields its address."""
    command = [sys.executable, "-c", SERVER]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as it:
        assert it.stdout is not None
        yield it.stdout.readline().strip()
        it.communicate()  # it ends with its input


def memory(folder: Path, rows: int) -> dict[str, float]:
    """The plan and the whole line of many rows."""
    root = write_project(folder / f"memory-{rows}", rows)
    found: dict[str, float] = {}
    names = {"planned": "plan_once", "whole line": "run_once", "nothing changed": "run_once"}
    for name, call in names.items():
        found |= show(f"{name}, {rows:,} rows", rows, [step(call, folder=str(root))])
    shutil.rmtree(root)
    return found


def starts(folder: Path) -> dict[str, float]:
    """How long commands take over the interpreter's own start, in a project of a thousand rows in
    which nothing has changed. Returns the seconds, by command."""
    with rehearse() as url:
        root = write_project(folder / "starts", 1000, url=url)
        Project(root).run()

    def best(*words: str) -> float:
        def once() -> None:
            subprocess.run([sys.executable, *words], check=True, capture_output=True, cwd=root)

        return min(seconds(once) for _ in range(7))

    base = best("-c", "pass")
    found = {f"enrich {each}": best("-m", "enrich", each) - base for each in STARTED}
    for command, taken in found.items():
        print(f"{command:<40}{taken:>9.2f}", flush=True)
    return found


def main() -> None:
    words = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    words.add_argument("--rows", type=int, default=ROWS_ON_PAGE)
    words.add_argument("--memory", type=int, nargs="*", default=[1_000_000, 5_000_000])
    asked = words.parse_args()
    heads = ("", "rows", "seconds", "rows/s", "MB", "x python", "x duckdb", "MB there", "MB there")
    print("{:<30}{:>10}{:>9}{:>12}{:>8}{:>10}{:>10}{:>10}{:>10}".format(*heads))
    with TemporaryDirectory(prefix="enrich-scale-") as made:
        folder = Path(made)
        found = directions(folder, asked.rows)
        if asked.rows != ROWS_ON_PAGE:  # with few of them, the start of everything counts most
            found.clear()
        line(folder, asked.rows)
        found |= starts(folder)
        for rows in asked.memory:
            found |= memory(folder, rows)
    print()
    for sentence in compare_claims(read_claims(), found):
        print(sentence)


if __name__ == "__main__":
    main()
