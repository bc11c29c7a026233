"""Crashes: whenever the process is killed, the next run goes on; nothing is lost or paid twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from folders import Ears, opened, plants, write

from enrich.rehearsal import Rehearsal

if TYPE_CHECKING:
    from enrich.rehearsal import Step

UPLOAD, CREATE = "POST /v1/files", "POST /v1/batches"
CHAT = "POST /v1/chat/completions"
POLL, FETCH = "GET /v1/batches/{id}", "GET /v1/files/{id}/content"
DEADLINE = 60.0


def start(root: Path, *words: str) -> subprocess.Popen[str]:
    """`enrich WORDS` as a process of its own."""
    command = [sys.executable, "-m", "enrich", "--project", str(root), *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def until_called(server: Rehearsal, route: str, times: int) -> None:
    """Wait until a route has been called so often."""
    deadline = time.monotonic() + DEADLINE
    while server.sends(route) < times:
        assert time.monotonic() < deadline, f"{route} was not called"
        time.sleep(0.01)


def killed(root: Path, server: Rehearsal, route: str, times: int) -> None:
    """Start a run, and kill it the moment it waits in that call."""
    if sys.platform == "win32":
        pytest.skip("needs SIGKILL")
    with start(root, "run") as child:
        until_called(server, route, times)
        child.send_signal(signal.SIGKILL)
        child.communicate()
    assert child.returncode == -signal.SIGKILL


MOMENTS = {
    "before the upload took effect": (UPLOAD, ["hang"]),
    "after the upload took effect": (UPLOAD, ["stall"]),
    "before the create took effect": (CREATE, ["hang"]),
    "after the create took effect": (CREATE, ["stall"]),
    "in the first poll": (POLL, ["hang"]),
    "in a later poll": (POLL, ["ok", "ok", "hang"]),
    "in the download": (FETCH, ["hang"]),
}


@pytest.mark.parametrize(("route", "steps"), MOMENTS.values(), ids=MOMENTS)
@pytest.mark.few(3)
def test_killed_in_a_call(tmp_path: Path, route: str, steps: list[str]) -> None:
    """Killed in any call to the provider, the next run adopts what is there and ends well."""
    with Rehearsal(hang=DEADLINE) as server:
        root = plants(tmp_path, server)
        server.script(route, steps)  # type: ignore[arg-type]
        killed(root, server, route, len(steps))
        (state,) = opened(root).run()
        assert (state.rows, state.ok, state.busy) == (4, 4, False)
        assert server.bill.requests.total() == 4
        assert server.bill.repeated == {}
        assert len(server.uploads) == 1
        outcomes = opened(root).sql(
            "SELECT custom_id, count(*) FROM ledger.responses GROUP BY ALL ORDER BY ALL"
        )
        assert outcomes.rows == (("1", 1), ("2", 1), ("3", 1), ("4", 1))


@pytest.mark.skipif(os.name != "posix", reason="needs signals")
def test_ctrl_c_is_safe(tmp_path: Path) -> None:
    """Ctrl-C says what goes on and what to type next; `status` ends the work."""
    with Rehearsal(hang=DEADLINE) as server:
        root = plants(tmp_path, server)
        server.script(POLL, ["hang"])
        with start(root, "run") as child:
            until_called(server, POLL, 1)
            child.send_signal(signal.SIGINT)
            _, said = child.communicate()
        assert child.returncode == 130
        assert "submitted batches keep running, and nothing is lost" in said
        assert "enrich status" in said
        assert "Traceback" not in said
        (state,) = opened(root).status()
        while state.busy:
            (state,) = opened(root).status()
        assert (state.ok, server.bill.requests.total()) == (4, 4)


ENDLESS = """
import duckdb
from enrich.db.database import Database

database = Database(connection=duckdb.connect())
database.execute("SELECT 1")  # the first one imports modules, and swallows what they raise
try:
    print("go", flush=True)
    database.execute("SELECT sum(a.range % (b.range + 1)) FROM range(9999999) a, range(9999999) b")
except KeyboardInterrupt:
    print("ctrl-c")
"""


@pytest.mark.skipif(os.name != "posix", reason="needs signals")
def test_ctrl_c_in_a_statement_is_no_error_of_it() -> None:
    """DuckDB's client calls it a RuntimeError; for enrich it is Ctrl-C."""
    with subprocess.Popen(
        [sys.executable, "-c", ENDLESS], stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout
        assert child.stdout.readline() == "go\n"
        child.send_signal(signal.SIGINT)
        assert child.stdout.read() == "ctrl-c\n"


SLOW = "SELECT 1 AS id, sum(a.range % (b.range + 1)) AS n FROM range(9999999) a, range(9999999) b"
ASKED = "---\nkey: id\noutput: a VARCHAR\n---\nuser:\n{{ n }}\n"


def until_busy(child: subprocess.Popen[str]) -> None:
    """Wait until a process has computed for longer than it takes to get to a slow query."""
    if sys.platform == "win32":
        pytest.skip("needs /proc")
    ticks = os.sysconf("SC_CLK_TCK")
    deadline = time.monotonic() + DEADLINE
    spent = 0.0
    while spent < 3:
        assert time.monotonic() < deadline, "the process does not compute"
        time.sleep(0.01)
        words = Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()
        spent = (int(words[11]) + int(words[12])) / ticks


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run"], "stopped in models/slow.sql: nothing was sent, and nothing is lost"),
        (["plan"], "stopped in models/slow.sql: nothing was changed"),
        (["preview", "slow"], "stopped in models/slow.sql: answers that came in are kept"),
        (["test"], "stopped in tests/slow.sql: test slow: nothing was changed"),
        (["sql", SLOW], "stopped: nothing was changed"),
    ],
)
@pytest.mark.few(1)
def test_ctrl_c_in_a_slow_query_names_its_file(tmp_path: Path, words: list[str], said: str) -> None:
    """One exit code for all commands, and what is true of each."""
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        if words == ["test"]:
            opened(root).run()
            write(root, {"tests/slow.sql": f"SELECT n FROM ({SLOW}) JOIN kinds USING (id)"})
        else:
            write(root, {"models/slow.sql": SLOW, "models/slow.prompt.md": ASKED})
            for file in root.glob("models/kinds.*"):
                file.unlink()
        with start(root, *words) as child:
            until_busy(child)
            child.send_signal(signal.SIGINT)
            _, heard = child.communicate()
        assert child.returncode == 130, heard
        assert said in heard
        assert "Traceback" not in heard
        assert server.bill.total == (4 if words == ["test"] else 0)


@pytest.mark.skipif(os.name != "posix", reason="needs two processes of one folder")
def test_two_runs_at_once_ask_once(tmp_path: Path) -> None:
    """A second run waits for the first one's batches; it sends nothing of its own."""
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        with start(root, "run") as one, start(root, "run") as two:
            said = [one.communicate()[1], two.communicate()[1]]
        assert [one.returncode, two.returncode] == [0, 0], said
        assert server.bill.requests.total() == 4
        assert opened(root).sql("SELECT count(*) FROM kinds").rows == ((4,),)


@pytest.mark.parametrize(("step", "paid"), [("hang", 4), ("stall", 5)])
@pytest.mark.few(1)
def test_a_preview_killed_in_a_call(tmp_path: Path, step: Step, paid: int) -> None:
    """With its worker: the answers that came in before are kept; only the one that was on its way
    is asked again, and paid again if the provider had answered it."""
    if sys.platform == "win32":
        pytest.skip("needs SIGKILL")
    with Rehearsal(hang=DEADLINE) as server:
        root = plants(tmp_path, server)
        server.script(CHAT, [step])
        with start(root, "preview", "kinds") as child:
            until_called(server, CHAT, 3)
            (results,) = root.glob(".enrich/chat/*/*/output.jsonl")
            deadline = time.monotonic() + DEADLINE
            while results.read_bytes().count(b"\n") < 3:
                assert time.monotonic() < deadline, "three answers did not come in"
                time.sleep(0.01)
            child.send_signal(signal.SIGKILL)
            os.kill(int(results.with_name("pid").read_text()), signal.SIGKILL)
            child.communicate()
        ears = Ears()
        (state,) = opened(root, ears).run()
        assert (state.ok, state.busy, server.bill.total) == (4, False, paid)
        assert any("a preview of kinds that was interrupted" in said for said in ears.said)


@pytest.mark.skipif(os.name != "posix", reason="needs signals")
def test_ctrl_c_in_a_preview_keeps_what_came_in(tmp_path: Path) -> None:
    """Calls under way are waited for; what was answered is asked no more."""
    with Rehearsal(hang=2.0) as server:
        root = plants(tmp_path, server)
        server.script(CHAT, ["hang"])
        with start(root, "preview", "kinds") as child:
            until_called(server, CHAT, 3)
            child.send_signal(signal.SIGINT)
            _, said = child.communicate()
        assert child.returncode == 130
        assert "answers that came in are kept" in said
        (state,) = opened(root).run()
        assert (state.ok, state.busy, server.bill.total) == (4, False, 4)
