"""What looking costs: the questions of the page of `enrich view`, in milliseconds.

    uv run python benchmarks/view.py [--rows 1000000]

The project is a real one: its rows have been answered by the rehearsal. Each question is asked over
HTTP as the page asks it, and timed from the first byte sent to the last one received. `first` is
the first page of a filter or a sort, `next` a later one of the same. The last line is a peer in the
same run: the same page as plain SQL on the tables, joined and sorted each time.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
import urllib.request
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import duckdb

import enrich
from enrich.rehearsal import Rehearsal
from enrich.view.export import ExportBounds, render_export
from enrich.view.server import TOKEN_HEADER, ViewServer

if TYPE_CHECKING:
    from collections.abc import Callable

PROMPT = """---
key: id
output: |
  kind ENUM('action', 'comedy', 'drama', 'horror') NOT NULL,
  line VARCHAR NOT NULL
---
user:
{{ name }}
"""


def make_project(root: Path, server: Rehearsal, rows: int) -> None:
    """A project whose model has been answered."""
    api = {"type": "openai", "base_url": server.base_url, "api_key": "any", "poll_seconds": 0}
    settings = {"provider": "api", "providers": {"api": api}}
    (root / "models").mkdir()
    (root / "project.yml").write_text(json.dumps(settings))
    select = f"SELECT range AS id, 'film ' || hash(range) AS name FROM range({rows})\n"
    (root / "models/films.sql").write_text(select)
    (root / "models/films.prompt.md").write_text(PROMPT)
    enrich.Project(root).run()


def time_it(action: Callable[[], object], times: int = 5) -> str:
    """The median of some runs, in milliseconds."""
    took = []
    for _ in range(times):
        start = time.perf_counter()
        action()
        took.append(1000 * (time.perf_counter() - start))
    return f"{statistics.median(took):,.1f}"


def measure(root: Path, rows: int) -> list[tuple[str, str]]:
    """Each question, and how long its answer takes."""
    found = []
    start = time.perf_counter()
    viewer = enrich.Project(root).open_viewer()
    found.append(("copies and overview", f"{1000 * (time.perf_counter() - start):,.0f}"))
    server = ViewServer(viewer)
    Thread(target=server.serve_forever, daemon=True).start()

    def ask(question: str, **words: object) -> dict[str, Any]:
        address = f"http://127.0.0.1:{server.server_port}/api/{question}?{urlencode(words)}"
        request = urllib.request.Request(address, headers={TOKEN_HEADER: server.token})
        with urllib.request.urlopen(request) as response:
            return dict(json.load(response))

    def page(**words: object) -> dict[str, Any]:
        return ask("page", model="films", **words)

    found.append(("rows, once", time_it(page, 1)))
    found.append(("a page in the order of the key", time_it(lambda: page(offset=rows // 2))))
    for name, words in {
        "label": {"column": "c2", "label": "drama"},
        "common search": {"search": "77"},
        "rare search": {"search": "7777777"},
        "sort by text": {"sort": "c1"},
    }.items():
        counted, later = {**words, "count": "true"}, {**words, "offset": "100"}
        found.append((f"{name}: first", time_it(partial(page, **words), 1)))
        found.append((f"{name}: counted", time_it(partial(page, **counted), 1)))
        found.append((f"{name}: next", time_it(partial(page, **later))))
    found.append(
        ("one row with its history", time_it(lambda: ask("row", model="films", n=rows // 3)))
    )
    found.append(("the overview, unchanged", time_it(lambda: ask("site"))))
    start = time.perf_counter()
    size = len(render_export(viewer, ExportBounds())) / 1e6
    found.append(
        (f"export of 2,000 rows ({size:.1f} MB)", f"{1000 * (time.perf_counter() - start):,.0f}")
    )
    server.shutdown()
    warehouse = duckdb.connect(str(root / "warehouse.duckdb"), read_only=True)
    query = "FROM enrich.films JOIN films USING (id) ORDER BY line, id LIMIT 100 OFFSET 100"
    found.append(
        ("peer: plain SQL, sorted page", time_it(lambda: warehouse.execute(query).fetchall(), 3))
    )
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    given = parser.parse_args()
    with TemporaryDirectory() as folder, Rehearsal() as server:
        make_project(Path(folder), server, given.rows)
        print(f"{given.rows:,} rows, milliseconds")
        for name, took in measure(Path(folder), given.rows):
            print(f"{took:>12}  {name}")
