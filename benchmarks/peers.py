"""enrich beside a public peer, llm-batch-py, and plain Python: the same rows, the same server.

    uv run --group bench --with llm-batch-py python benchmarks/peers.py
    uv run --group bench --with llm-batch-py python benchmarks/peers.py --rows 100000

Each side asks the rehearsal's Batch API about the same rows, with the same prompt and the same
schema, and ends with a typed table; then it is started again with nothing changed. Each run has a
fresh process, and each side a server of its own, whose CPU and memory do not count. llm-batch-py
keeps results as Parquet and gives back a Polars frame; plain Python is json, pandas and the OpenAI
SDK, and remembers nothing, so it would ask and pay again.

llm-batch-py counts tokens with tiktoken, which downloads its tables once. Without a network, a
stand-in counts them instead, at no cost to it.
"""

from __future__ import annotations

import argparse
import time
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import duckdb
from measuring import Measured, measure_call
from scale import SYSTEM, Bench, python_read, python_write, rehearse, render_schema, write_project

if TYPE_CHECKING:
    from collections.abc import Iterator

FILE_REQUESTS = 50_000
"""How many requests a file may have."""
PAUSE = 0.05
"""Seconds between two looks at a batch."""
SIDES = {"enrich": "run_enrich", "llm-batch-py": "run_peer", "plain Python": "run_plain"}


def run_enrich(folder: str, url: str) -> int:  # noqa: ARG001  # project.yml has it
    """Run the project. Returns how many rows have an answer."""
    (state,) = Bench(folder).run()
    return state.ok


def run_peer(folder: str, url: str) -> int:
    """Run a job of llm-batch-py until no row is under way. Returns how many rows have an answer."""
    from typing import Literal

    import llm_batch_py as peer
    from pydantic import BaseModel

    class Film(BaseModel, extra="forbid"):  # as strict schemas want it
        categories: list[str]
        mood: Literal["light", "dark", "mixed"] | None
        summary: str

    _count_tokens_offline()
    with duckdb.connect(str(Path(folder) / "warehouse.duckdb"), read_only=True) as warehouse:
        rows = warehouse.sql("SELECT id, title, overview FROM movies").pl()
    prompt = peer.structured_template(
        system=SYSTEM,
        messages="Title: {{ row.title }}\n{{ row.overview }}",
        name="categories",
        version="v1",
    )
    job = peer.StructuredOutputJob(
        name="categories",
        key_cols=["id"],
        input_df=rows,
        prompt_builder=prompt,
        output_model=Film,
        provider=peer.OpenAIConfig(
            model="gpt-4o-mini", temperature=0.1, api_key="any", base_url=url
        ),
        result_cache=peer.ResultCacheStoreConfig(root_uri=str(Path(folder) / ".llm_batch_py")),
        batch=peer.BatchConfig(batch_size=FILE_REQUESTS),
    )
    runner = peer.Runner()
    while True:
        found = runner.run(job)
        if runner.last_summary.completed_rows + runner.last_summary.failed_rows >= rows.height:
            return int(found["summary"].count())
        time.sleep(PAUSE)


def _count_tokens_offline() -> None:
    """Count tokens without tiktoken's tables, if they are neither here nor to be had."""
    from llm_batch_py import token_estimation

    class Quarters:
        """Four letters are a token."""

        def encode(self, text: str) -> range:
            return range(len(text) // 4)

    try:
        token_estimation._encoding_for_model("gpt-4o-mini")
    except Exception:  # noqa: BLE001  # whatever a network says
        stand_in: Any = token_estimation
        stand_in._encoding_for_model = lambda _: Quarters()


def run_plain(folder: str, url: str) -> int:
    """Do the same by hand. Returns how many rows have an answer."""
    import openai

    root = Path(folder)
    python_write(root, root / "requests.jsonl", render_schema(folder))
    client = openai.OpenAI(api_key="any", base_url=url)
    results = []
    for number, part in enumerate(_split_file(root / "requests.jsonl")):
        file = client.files.create(file=part, purpose="batch")
        batch = client.batches.create(
            input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
        )
        while not batch.output_file_id:
            time.sleep(PAUSE)
            batch = client.batches.retrieve(batch.id)
        results.append(root / f"results-{number}.jsonl")
        results[-1].write_bytes(client.files.content(batch.output_file_id).content)
    python_read(results, root / "plain.duckdb")
    with duckdb.connect(str(root / "plain.duckdb"), read_only=True) as found:
        return int((found.execute("SELECT count(summary) FROM answers").fetchone() or (0,))[0])


def _split_file(path: Path) -> Iterator[Path]:
    """Yields files with as many lines as one batch may have."""
    with path.open("rb") as lines:
        for number in range(1_000_000):
            some = list(islice(lines, FILE_REQUESTS))
            if not some:
                return
            part = path.with_name(f"part-{number}.jsonl")
            part.write_bytes(b"".join(some))
            yield part


def measure_side(folder: Path, name: str, rows: int) -> list[Measured]:
    """Returns what the first run of a side took, and one with nothing changed if it remembers
    anything. Raises AssertionError if a row has no answer."""
    call = f"peers:{SIDES[name]}"
    with rehearse() as url:
        root = str(write_project(folder / SIDES[name], rows, url=url))
        found = [measure_call(call, folder=root, url=url)]
        if name != "plain Python":
            found.append(measure_call(call, folder=root, url=url))
    for each in found:
        assert each.value == rows, f"{name} has {each.value} answers to {rows} rows"
    return found


def print_sides(measured: dict[str, list[Measured]]) -> None:
    """Print a line for each side and run, with ratios to enrich's."""
    print(f"{'':<38}{'CPU s':>9}{'x':>7}{'seconds':>9}{'x':>7}{'MB':>9}{'x':>7}")
    for run, title in enumerate(("first run", "again, nothing changed")):
        base = measured["enrich"][run]
        for name, found in measured.items():
            if run >= len(found):
                print(f"{name + ', ' + title:<38}  asks, and pays for, all rows again")
                continue
            cells = ""
            for what, unit in (("cpu", 1), ("seconds", 1), ("peak", 1e6)):
                value, beside = getattr(found[run], what), getattr(base, what)
                cells += f"{value / unit:>9,.{0 if unit > 1 else 1}f}{value / beside:>7.1f}"
            print(f"{name + ', ' + title:<38}{cells}")


def main() -> None:
    """Measure all sides, and print one table."""
    words = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    words.add_argument("--rows", type=int, default=10_000)
    asked = words.parse_args()
    with TemporaryDirectory(prefix="enrich-peers-") as made:
        sides = {name: measure_side(Path(made), name, asked.rows) for name in SIDES}
    print(f"{asked.rows:,} rows; x is how many times what enrich took")
    print_sides(sides)


if __name__ == "__main__":
    main()
