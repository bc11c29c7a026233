"""Notebooks: rows become data frames and tables that a page can show."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from typing import TYPE_CHECKING

import duckdb
import pytest
from folders import Ears, opened, plants

import enrich
from enrich.errors import EnrichError, Locked
from enrich.rehearsal import Rehearsal
from enrich.results import Rows

if TYPE_CHECKING:
    from pathlib import Path

ROWS = Rows(
    columns=("id", "title", "id", "tags", "day"),
    rows=((1, "<b>Heat</b>", 7, ["a", "b"], date(1995, 12, 15)), (2, None, 8, [], None)),
)
FRAMES = {"df": "pandas", "pl": "polars", "arrow": "pyarrow"}


def test_every_column_has_a_name_of_its_own() -> None:
    assert ROWS.names == ("id", "title", "id_1", "tags", "day")
    assert Rows(columns=("a", "a_1", "a"), rows=()).names == ("a", "a_1", "a_2")


def test_a_cell_cannot_write_into_the_page() -> None:
    shown = ROWS.html
    assert "<th>title</th>" in shown
    assert "&lt;b&gt;Heat&lt;/b&gt;" in shown
    assert "<b>" not in shown
    assert "<i>NULL</i>" in shown


def test_a_long_answer_is_cut_and_says_so() -> None:
    many = Rows(columns=("id",), rows=tuple((number,) for number in range(1_234)))
    shown = many.html
    assert shown.count("<tr>") == 51
    assert "and 1,184 more rows" in shown


@pytest.mark.parametrize("method", FRAMES)
def test_rows_become_a_frame_or_say_what_is_missing(method: str) -> None:
    """Both are true of an installation, and which one depends on what is installed."""
    if importlib.util.find_spec(FRAMES[method]) is None:
        with pytest.raises(EnrichError, match=f"needs {FRAMES[method]}") as refused:
            getattr(ROWS, method)()
        assert refused.value.hint == f"pip install {FRAMES[method]}"
        return
    frame = getattr(ROWS, method)()
    names = frame.column_names if method == "arrow" else list(frame.columns)
    assert tuple(names) == ROWS.names
    assert len(frame) == 2


@pytest.mark.parametrize("read_only", [False, True])
def test_a_warehouse_open_in_this_very_process_says_so_at_once(
    tmp_path: Path, read_only: bool
) -> None:
    """A notebook's own connection is not let go of by waiting; a minute would be wasted."""
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        opened(root).run()
        ears = Ears()
        project = enrich.Project(root, environment={}, lock_timeout=1_000_000, talk=ears)
        with duckdb.connect(str(root / "warehouse.duckdb"), read_only=read_only):
            for command in (project.run, lambda: project.sql("FROM kinds")):
                with pytest.raises(Locked, match="open in this process") as refused:
                    command()
                assert "connection.close()" in refused.value.hint
        assert not any("waiting" in sentence for sentence in ears.said)
        assert project.run()[0].ok == 4


CELLS = (
    "import enrich; project = enrich.Project({root!r}, environment={{}})",
    "project.plan()",
    "project.run()",
    "project.preview('kinds', limit=2)",
    "project.compare('kinds', limit=2)",
    "project.test()",
    "project.failures('kinds')",
    "project.status()",
    "project.sql('FROM kinds')",
)


def test_a_real_notebook_shows_progress_and_results(tmp_path: Path) -> None:
    """The bar is one display that changes; what a cell gives is a table."""
    client, form = (importlib.import_module(name) for name in ("nbclient", "nbformat.v4"))
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        cells = [form.new_code_cell(cell.format(root=str(root))) for cell in CELLS]
        notebook = form.new_notebook(cells=cells)
        client.NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
    outputs = [cell.outputs for cell in notebook.cells]
    for source, found in zip(CELLS[1:], outputs[1:], strict=True):
        (result,) = (each for each in found if each.output_type == "execute_result")
        assert result.data["text/html"].startswith('<iframe sandbox="allow-scripts"'), source
        assert not [each for each in found if each.get("name") == "stderr"], source
    (bar,) = (each for each in outputs[2] if each.output_type == "display_data")
    assert "4/4" in bar.data["text/plain"]
    assert "kinds" in bar.data["text/html"]


@pytest.mark.few(0)
def test_steps_of_several_threads_wait_for_each_other(tmp_path: Path) -> None:
    """None detaches what another one has attached, nor takes it for the user's own connection."""
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        opened(root).run()
    files = enrich.Project(root, lock_timeout=600, environment={}).files
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # threads change in the middle of everything

    def look(number: int) -> int:
        with files.open_both(warehouse="read", ledger="read") as database:
            return int(database.fetch_one("SELECT count(*) FROM ledger.runs")[0]) * number

    try:
        with ThreadPoolExecutor(8) as threads:
            assert list(threads.map(look, range(200))) == list(range(200))
    finally:
        sys.setswitchinterval(interval)
