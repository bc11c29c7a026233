"""Upkeep: what grows without end does not, and nothing that was paid for is lost by that."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import duckdb
import pytest
from click.testing import CliRunner
from folders import Ears, opened, plants, write

import enrich
from enrich import cli
from enrich.errors import EnrichError, Locked
from enrich.manifest.kept_files import FileRule
from enrich.manifest.settings import YamlSettings
from enrich.pipeline import upkeep
from enrich.rehearsal import Faults, Rehearsal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def server() -> Iterator[Rehearsal]:
    with Rehearsal(api_key="sk-rehearsal-secret") as running:
        yield running


def keeping(root: Path, rule: object) -> Path:
    """Set `keep_files`."""
    said = json.loads((root / "project.yml").read_text(encoding="utf-8"))
    (root / "project.yml").write_text(json.dumps(said | {"keep_files": rule}), encoding="utf-8")
    return root


def files(root: Path) -> list[str]:
    """What batches have left below .enrich: the folders of files, and how the files end."""
    work = root / ".enrich"
    own = {"turn.lock", "engine.lock", "apis.json", "enrich.log", "run_results.json"}
    found = (path.relative_to(work) for path in work.rglob("*") if path.is_file())
    return sorted(
        f"{path.parts[0]} {'.'.join(path.name.split('.')[1:])}"
        for path in found
        if path.name not in own
    )


def more(root: Path, names: str) -> None:
    """Add a plant for each letter, so that the next run has something to ask."""
    with (root / "seeds" / "plants.csv").open("a", encoding="utf-8") as seed:
        seed.writelines(f"{ord(name)},{name},\n" for name in names)


SIDES: dict[str, dict[str, Any]] = {
    "anthropic": {"type": "anthropic", "llm": "claude-haiku-4-5"},
    "chat": {"api": "chat"},
    "batch": {},
}


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.few(1)
def test_what_runs_leave_behind(tmp_path: Path, side: str) -> None:
    """A preview and two runs leave compressed results, and nothing else; all answers are there."""
    api = "anthropic" if side == "anthropic" else "batch"
    with Rehearsal(api_key="sk-rehearsal-secret", api=api) as server:
        _check_what_is_left(plants(tmp_path, server, **SIDES[side]), server)


def _check_what_is_left(root: Path, server: Rehearsal) -> None:
    prompt = (root / "models/kinds.prompt.md").read_text(encoding="utf-8")
    without = prompt.replace("params: {temperature: 0}\n", "")
    (root / "models/kinds.prompt.md").write_text(without, encoding="utf-8")
    opened(root).preview("kinds", limit=1)
    opened(root).run()
    more(root, "xy")
    (state,) = opened(root).run()
    billed = server.bill.total
    assert files(root) == ["results result-0.jsonl.gz"] * 3
    assert (state.ok, state.rows) == (6, 6)
    for path in (root / ".enrich" / "results").iterdir():
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            assert {"custom_id"} <= json.loads(lines.readline()).keys()
        assert os.name != "posix" or path.stat().st_mode & 0o77 == 0
    opened(root).run()
    assert opened(root).history("kinds", "1").rows
    assert len(opened(root).preview("kinds", limit=3).rows) == 3
    assert server.bill.total == billed


@pytest.mark.parametrize("rule", ["failed", 1, "compressed", "none", 30])
@pytest.mark.few(1)
def test_each_rule(tmp_path: Path, rule: object) -> None:
    """What `all` has kept becomes what the rule says, some rows of which are not ok; a dry run says
    before about what that frees, and changes nothing."""
    with Rehearsal(api_key="sk-rehearsal-secret", faults=Faults(malformed=0.5), seed=1) as server:
        root = keeping(plants(tmp_path, server, max_requests=1), "all")
        prompt = (root / "models/kinds.prompt.md").read_text(encoding="utf-8")
        once = prompt.replace("key: id\n", "key: id\nmax_attempts: 1\n")
        (root / "models/kinds.prompt.md").write_text(once, encoding="utf-8")
        opened(root).run()
    whole = files(root)
    assert whole == ["batches jsonl", "batches jsonl"] * 4
    with duckdb.connect(str(root / "ledger.duckdb")) as ledger:
        ledger.execute("UPDATE batches SET read_at = read_at - INTERVAL 2 DAY")
        query = "SELECT count(*) FROM batches WHERE outcomes NOT LIKE '%ok%'"
        (failed,) = ledger.execute(query).fetchone() or (0,)
    assert 0 < failed < 4
    keeping(root, rule)
    foreseen = opened(root).ledger_vacuum(dry_run=True)[1]
    assert files(root) == whole
    done = opened(root).ledger_vacuum()[1]
    counts: dict[object, int] = {"failed": failed, "none": 0, 1: 0}
    left = counts.get(rule, 4)
    assert files(root) == ["results result-0.jsonl.gz"] * left
    assert done.before == foreseen.before
    assert abs(done.after - foreseen.after) < 100
    # A rule that keeps less is followed by the next command.
    opened(keeping(root, "none")).status()
    assert files(root) == []


@pytest.mark.parametrize("value", ["some", True, 0, -1, 1.5, [], {}, 36_501, "30 days"])
def test_a_rule_that_is_none(value: object) -> None:
    """It is refused in one sentence, with the line."""
    settings = YamlSettings(
        values={"keep_files": value}, lines={"keep_files": 3}, source="project.yml"
    )
    with pytest.raises(Exception, match=r"^project.yml:3: 'keep_files' (cannot|must) be ") as found:
        FileRule.from_settings(settings)
    assert "keep_files: 30" in found.value.hint  # type: ignore[attr-defined]


def test_what_may_be_the_only_copy_stays(tmp_path: Path, server: Rehearsal) -> None:
    """The files of a batch that has not been read, results that were given up, and those of a batch
    that the ledger does not know; but not a request file alone."""
    root = keeping(plants(tmp_path, server), "none")
    opened(root).run(detach=True)
    (name,) = (path.name for path in (root / ".enrich" / "batches").iterdir())
    opened(root).ledger_vacuum()
    assert files(root) == ["batches jsonl"]
    batches = root / ".enrich" / "batches"
    (batches / name / "result-0.jsonl").write_text('{"custom_id": "1"}\n', encoding="utf-8")
    server.script("GET /v1/batches/{id}", [500] * 9)
    with suppress(EnrichError):
        opened(root).cancel(forget=True)
    write(batches, {"other-1/result-0.jsonl": "{}\n", "withdrawn-1/withdrawn-1.jsonl": "{}\n"})
    opened(root).ledger_vacuum()
    assert files(root) == ["batches jsonl", "results result-0.jsonl.gz"]
    assert (batches / "other-1" / "result-0.jsonl").exists()


def test_what_cannot_be_removed_fails_nothing(tmp_path: Path, server: Rehearsal) -> None:
    """A run ends well, a vacuum says what stays, and the next command takes it up."""
    root = plants(tmp_path, server)
    (root / ".enrich").mkdir()
    (root / ".enrich" / "results").write_text("in the way", encoding="utf-8")
    (state,) = opened(root).run()
    assert state.ok == 4
    assert "batches jsonl" in files(root)
    ears = Ears()
    opened(root, ears).ledger_vacuum()
    assert any("not tidied up: " in sentence and "results" in sentence for sentence in ears.said)
    (root / ".enrich" / "results").unlink()
    opened(root).status()
    assert files(root) == ["results result-0.jsonl.gz"]


def test_a_provider_that_is_gone(tmp_path: Path, server: Rehearsal) -> None:
    """What was kept for it stays until somebody names it again; the results are compressed."""
    root = keeping(plants(tmp_path, server, api="chat"), "all")
    opened(root).run()
    said = json.loads((root / "project.yml").read_text(encoding="utf-8"))
    other = said | {"provider": "b", "providers": {"b": said["providers"]["api"]}}
    (root / "project.yml").write_text(json.dumps(other | {"keep_files": "compressed"}))
    ears = Ears()
    opened(root, ears).ledger_vacuum()
    assert "not tidied up: project.yml names no provider 'api'" in ears.said
    assert "results result-0.jsonl.gz" in files(root)
    (root / "project.yml").write_text(json.dumps(said | {"keep_files": "compressed"}))
    opened(root).status()
    assert files(root) == ["results result-0.jsonl.gz"]


def test_a_command_takes_up_a_few_old_batches(tmp_path: Path, server: Rehearsal) -> None:
    """With thousands of old ones, it would take long; `ledger vacuum` does."""
    root = plants(tmp_path, server)
    opened(root).run()
    batches = root / ".enrich" / "batches"
    for number in range(upkeep.USUAL_BACKLOG + 5):
        write(batches, {f"old-{number}/old-{number}.jsonl": "{}\n"})
    opened(root).status()
    assert len(list(batches.iterdir())) == 5
    opened(root).status()
    assert not list(batches.iterdir())


def tables(root: Path) -> dict[str, list[Any]]:
    """Every row of every table of the ledger, and how the tables were made."""
    with duckdb.connect(str(root / "ledger.duckdb"), read_only=True) as ledger:
        made = ledger.execute(
            "SELECT schema_name, table_name, sql FROM duckdb_tables() ORDER BY ALL"
        ).fetchall()
        rows = {
            f"{schema}.{name}": ledger.execute(f'FROM "{schema}"."{name}" ORDER BY ALL').fetchall()
            for schema, name, _ in made
        }
        return {"made": made, **rows}


def loose(root: Path) -> None:
    """Leave free blocks in the ledger, as answers that were judged again or withdrawn do."""
    with duckdb.connect(str(root / "ledger.duckdb")) as ledger:
        ledger.execute(
            "CREATE TABLE bulk AS SELECT hash(i) AS a, hash(-i) AS b FROM range(90000) t(i)"
        )
        ledger.execute("CHECKPOINT")
        ledger.execute("DROP TABLE bulk")
        ledger.execute("CHECKPOINT")


@pytest.mark.few(0)
def test_a_vacuum_keeps_every_row(tmp_path: Path, server: Rehearsal) -> None:
    """Every table is as it was, the file is smaller, and nothing is asked again."""
    root = plants(tmp_path, server)
    opened(root).run()
    loose(root)
    before, billed = tables(root), server.bill.total
    foreseen = opened(root).ledger_vacuum(dry_run=True)[0]
    assert tables(root) == before
    done = opened(root).ledger_vacuum()[0]
    assert tables(root) == before
    assert (done.before, done.after) == (foreseen.before, (root / "ledger.duckdb").stat().st_size)
    assert done.saved > 500_000
    assert abs(done.after - foreseen.after) <= 2 * 262_144
    assert opened(root).ledger_vacuum()[0].saved == 0
    opened(root).run()
    assert server.bill.total == billed
    assert not any(part.faults for part in opened(root).ledger_check())
    assert not list(root.glob("ledger.duckdb.*"))


def test_what_a_vacuum_says(tmp_path: Path, server: Rehearsal) -> None:
    """A table with a total, or JSON; a folder without a ledger is told so."""
    root = plants(tmp_path, server)
    runner = CliRunner()
    words = ["--project", str(root), "ledger", "vacuum"]
    absent = runner.invoke(cli.main, words)
    assert (absent.exit_code, absent.stderr.split(":")[1]) == (1, " there is no ledger")
    opened(root).run()
    loose(root)
    foreseen = runner.invoke(cli.main, [*words, "--dry-run"]).stdout
    assert "about" in foreseen
    lines = runner.invoke(cli.main, words).stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["before", "ledger.duckdb", ".enrich", "in"]
    shown = json.loads(runner.invoke(cli.main, [*words, "--json"]).stdout)
    assert [each["what"] for each in shown] == ["ledger.duckdb", ".enrich"]
    assert all(each["saved"] == each["before"] - each["after"] for each in shown)


def test_a_disk_without_room(tmp_path: Path, server: Rehearsal) -> None:
    """One sentence, and the ledger stays as it is."""
    root = plants(tmp_path, server)
    opened(root).run()
    before = tables(root)
    if sys.platform == "linux":
        code = (
            "import resource, sys, enrich\n"
            "project = enrich.Project(sys.argv[1])\n"
            "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
            "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
            "try: project.ledger_vacuum()\n"
            "except enrich.EnrichError as problem: print(problem.message, '/', problem.hint)\n"
        )
        loose(root)
        command = [sys.executable, "-c", code, str(root)]
        told = subprocess.run(command, capture_output=True, text=True, check=False)
        assert "Traceback" not in told.stderr
        assert told.stdout.startswith("the disk is full / free some space")
    assert tables(root) == before
    assert not list(root.glob("ledger.duckdb.*"))


def test_a_ledger_that_is_in_use(tmp_path: Path, server: Rehearsal) -> None:
    """Somebody has it open: the vacuum says who, and nothing is changed."""
    root = plants(tmp_path, server)
    opened(root).run()
    with duckdb.connect(str(root / "ledger.duckdb")), pytest.raises(Locked):
        enrich.Project(root, lock_timeout=0, environment={}).ledger_vacuum()
    assert not list(root.glob("ledger.duckdb.*"))


KILLED = """
import os, shutil, signal, sys
from pathlib import Path
import duckdb, filelock, openai, pytz, yaml, enrich
from enrich.db.database import Database
from enrich.ledger import compaction
from enrich.pipeline import upkeep
from enrich.project import Project

made, trial, stride = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
ANSWERS = "SELECT fingerprint, content FROM responses ORDER BY ALL"
STEPS = {"os.rename", "os.remove", "os.rmdir", "os.mkdir", "shutil.rmtree", "os.chmod"}


def forked(work):
    if child := os.fork():
        return os.waitpid(child, 0)[1]
    try:
        work()
        os._exit(0)
    except BaseException as problem:
        print(repr(problem), flush=True)
        os._exit(1)


def vacuum(last):
    seen = 0
    def step():
        nonlocal seen
        seen += 1
        if seen == last:
            os.kill(os.getpid(), signal.SIGKILL)
    execute = Database.execute
    def watched(*words, **named):
        step()
        found = execute(*words, **named)
        step()
        return found
    Database.execute = watched
    sys.addaudithook(lambda event, _: step() if event in STEPS else None)
    Project(trial).ledger_vacuum()


def check():
    Project(trial).ledger_vacuum()
    assert not any(part.faults for part in Project(trial).ledger_check())
    with duckdb.connect(str(trial / "ledger.duckdb"), read_only=True) as ledger:
        answers = ledger.execute(ANSWERS).fetchall()
    with duckdb.connect(str(made / "ledger.duckdb"), read_only=True) as ledger:
        assert answers == ledger.execute(ANSWERS).fetchall()
    assert not list(trial.glob("ledger.duckdb.*")), list(trial.glob("ledger.duckdb.*"))
    work = trial / ".enrich"
    assert not list((work / "batches").iterdir())
    assert not list((work / "chat" / "api").glob("*chat-*"))
    assert len(list((work / "results").glob("*.gz"))) == 2


kills = 0
for last in range(1, 1000, stride):
    shutil.rmtree(trial, ignore_errors=True)
    shutil.copytree(made, trial)
    ended = forked(lambda: vacuum(last))
    if forked(check):
        sys.exit(f"after {last} steps")
    if not ended:
        break
    assert ended == signal.SIGKILL, ended
    kills += 1
print(kills)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL and forks")
@pytest.mark.parametrize("stride", [67, 1])
@pytest.mark.few(1)
def test_killed_in_a_vacuum(tmp_path: Path, server: Rehearsal, stride: int) -> None:
    """At any step: every answer is in the ledger, and the next one ends what was begun."""
    root = keeping(plants(tmp_path / "made", server), "all")
    opened(root).preview("kinds", limit=1)
    opened(root).run()
    loose(root)
    keeping(root, "compressed")
    command = [sys.executable, "-c", KILLED, str(root), str(tmp_path / "trial"), str(stride)]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stdout + told.stderr
    assert int(told.stdout.split()[-1]) * stride > 60
