"""The graph: which models are meant, in what order they run, and how it is drawn."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import duckdb
import pytest
from click.testing import CliRunner
from folders import PROMPT, Ears, opened, plants, write

from enrich import cli
from enrich.errors import EnrichError, ProjectError
from enrich.manifest.selection import select_models
from enrich.rehearsal import Faults, Rehearsal

if TYPE_CHECKING:
    from pathlib import Path

MORE = {
    "models/films/trees.sql": "-- tags: green, nightly\nSELECT * FROM kinds WHERE kind = 'tree'\n",
    "models/films/counted.sql": (
        "-- materialized: table\n-- description: How many.\n"
        "SELECT count(*) AS many FROM trees, (SELECT * FROM enrich.kinds)\n"
    ),
    "models/again.sql": "SELECT t.id, t.line FROM trees AS t JOIN plants USING (id)\n",
    "models/again.prompt.md": PROMPT.replace("{{ name }}", "{{ line }}")
    .replace("coalesce(note, 'nothing')", "id")
    .replace("params:", "tags: [green]\n    params:"),
}


def chosen(root: Path, *terms: str, exclude: tuple[str, ...] = ()) -> list[str]:
    return [model.name for model in select_models(opened(root).graph, terms, exclude)]


def test_selection(tmp_path: Path) -> None:
    """Names, patterns, tags, files and folders, with what is before and after, in their order."""
    with Rehearsal() as server:
        root = plants(tmp_path, server)
    write(root, MORE)
    assert chosen(root)[:2] == ["kinds", "trees"]
    assert set(chosen(root)) == {"kinds", "trees", "counted", "again"}
    assert chosen(root, "trees") == ["trees"]
    assert chosen(root, "+trees") == ["kinds", "trees"]
    assert set(chosen(root, "trees+")) == {"trees", "counted", "again"}
    assert chosen(root, "+again") == ["kinds", "trees", "again"]
    assert set(chosen(root, "+trees+")) == set(chosen(root))
    assert set(chosen(root, "tag:green")) == {"trees", "again"}
    assert set(chosen(root, "tag:green+")) == {"trees", "again", "counted"}
    assert set(chosen(root, "models/films")) == {"trees", "counted"}
    assert chosen(root, "./models/films/trees.sql") == ["trees"]
    assert chosen(root, "models/again.prompt.md") == ["again"]
    assert set(chosen(root, "*n*")) == {"kinds", "counted", "again"}
    assert chosen(root, "trees", "kinds") == ["kinds", "trees"]
    assert set(chosen(root, exclude=("trees+",))) == {"kinds"}
    assert chosen(root, "tag:green", exclude=("again",)) == ["trees"]


@pytest.mark.parametrize(
    ("term", "hint"),
    [
        ("tres", "did you mean 'trees'"),
        ("tag:gren", "did you mean 'green'"),
        ("models/film/", "did you mean"),
        ("zz*", "known here"),
        ("++trees", "known here|did you mean"),
    ],
)
def test_what_is_not_there_is_an_error(tmp_path: Path, term: str, hint: str) -> None:
    """With the nearest that is."""
    with Rehearsal() as server:
        root = plants(tmp_path, server)
    write(root, MORE)
    with pytest.raises(ProjectError) as problem:
        chosen(root, term)
    assert any(words in problem.value.hint for words in hint.split("|")), problem.value.hint


def test_nothing_left_is_an_error(tmp_path: Path) -> None:
    """A command that excludes all it names does not fall back to everything."""
    with Rehearsal() as server:
        root = plants(tmp_path, server)
    with pytest.raises(ProjectError, match="no model is left"):
        chosen(root, "kinds", exclude=("kinds",))


def test_list_and_graph(tmp_path: Path) -> None:
    """What each model is and reads; a tree from the seeds down; a Mermaid flowchart."""
    with Rehearsal() as server:
        root = plants(tmp_path, server)
    write(root, MORE)
    run = CliRunner(env={"COLUMNS": "160"})

    def said(*words: str) -> str:
        result = run.invoke(cli.main, ["--project", str(root), *words])
        assert result.exit_code == 0, result.stderr
        return result.stdout

    listed = {each["model"]: each for each in json.loads(said("list", "--json"))}
    assert listed["counted"]["kind"] == "table"
    assert listed["counted"]["models"] == ["kinds", "trees"]
    assert listed["again"]["tables"] == ["plants"]
    assert listed["again"]["tags"] == ["green"]
    assert listed["counted"]["description"] == "How many."
    assert "models/films/counted.sql" in said("list", "counted")
    tree = said("graph").splitlines()
    assert tree[0].startswith("plants  seed")
    assert any("kinds  enrichment" in line for line in tree)
    assert sum("trees  view" in line for line in tree) == 1
    mermaid = said("graph", "--mermaid").splitlines()
    assert mermaid[0] == "flowchart LR"
    assert '    t0[("plants")]' in mermaid
    assert '    m_kinds[["kinds"]]' in mermaid
    assert "    m_kinds --> m_trees" in mermaid
    assert "    t0 --> m_kinds" in mermaid
    only = said("graph", "trees+", "--mermaid")
    assert "m_kinds" not in only


def test_a_view_becomes_a_table_and_back(tmp_path: Path) -> None:
    """`materialized` decides at each run; what is nearly a setting is refused."""
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        text = "SELECT id, line FROM kinds\n"

        def kind() -> str:
            query = "SELECT table_type FROM information_schema.tables WHERE table_name = 'lines'"
            return str(opened(root).sql(query).rows[0][0])

        write(root, {"models/lines.sql": text})
        opened(root).run()
        assert kind() == "VIEW"
        for word, expected in (("table", "BASE TABLE"), ("view", "VIEW")):
            write(root, {"models/lines.sql": f"-- materialized: {word}\n{text}"})
            opened(root).run("lines")
            assert kind() == expected
            assert opened(root).sql("SELECT count(*) FROM lines").rows == ((4,),)
        write(root, {"models/lines.sql": f"-- materialised: table\n{text}"})
        with pytest.raises(Exception, match=r"lines.sql:1: 'materialised'"):
            opened(root).run("lines")


@pytest.mark.few(0)
def test_status_goes_on_where_detach_left(tmp_path: Path) -> None:
    """Each `status` begins what became ready; each request is paid for once."""
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        write(root, MORE)
        opened(root).run(detach=True)
        found = {state.model: state for state in opened(root).status()}
        assert found["trees"].after == ("kinds",)
        assert found["again"].after == ("kinds", "trees")
        for _ in range(12):
            found = {state.model: state for state in opened(root).status()}
            if not any(state.busy for state in found.values()):
                break
        assert {name: state.ok for name, state in found.items()} == {
            "kinds": 4,
            "again": found["again"].rows,
        }
        assert opened(root).sql("SELECT many FROM counted").rows[0][0] >= 0
        assert server.bill.total == len(server.bill.requests)


def test_what_waits_is_left_alone_when_its_upstream_fails(tmp_path: Path) -> None:
    """It is not run on an old table; the next command may try again."""
    with Rehearsal(faults=Faults(batch_failed=1)) as server:
        root = plants(tmp_path, server)
        write(root, MORE)
        opened(root).run(detach=True)
        ears = Ears()
        for _ in range(5):
            opened(root, ears).status()
        assert any(
            said.endswith("upstream model kinds failed at its provider") for said in ears.said
        )
        assert not any(state.after for state in opened(root).status())


def test_cancel_stops_what_waits(tmp_path: Path) -> None:
    """After a cancel nothing begins by itself."""
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        write(root, MORE)
        opened(root).run(detach=True)
        opened(root).cancel()
        for _ in range(6):
            states = opened(root).status()
        assert [state.model for state in states] == ["kinds"]
        assert not states[0].busy


@pytest.mark.few(0)
def test_a_broken_file_lets_what_waits_wait(tmp_path: Path) -> None:
    """`status` says what is wrong, and goes on once it is mended; nothing that was paid is lost."""
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        write(root, MORE)
        opened(root).run(detach=True)
        good = (root / "models/again.prompt.md").read_text()
        (root / "models/again.prompt.md").write_text("nothing\n")
        ears = Ears()
        for _ in range(6):
            opened(root, ears).status()
        assert any("models/again.prompt.md" in said for said in ears.said)
        (root / "models/again.prompt.md").write_text(good)
        for _ in range(12):
            found = {state.model: state for state in opened(root).status()}
        assert found["kinds"].ok == 4
        assert found["again"].ok == found["again"].rows
        assert server.bill.total == len(server.bill.requests)


def test_a_model_that_loses_its_prompt_is_left_alone(tmp_path: Path) -> None:
    """What was asked for it is read into the ledger, and does not replace what it is now."""
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        opened(root).run(detach=True)
        (root / "models/kinds.prompt.md").unlink()
        write(root, {"models/kinds.sql": "SELECT id, upper(name) AS big FROM plants\n"})
        opened(root).run("kinds")
        write(root, {"tests/named.sql": "SELECT * FROM kinds WHERE big IS NULL\n"})
        for _ in range(6):
            opened(root).status()
        assert opened(root).sql("FROM kinds").columns == ("id", "big")
        assert [result.verdict for result in opened(root).test()] == ["pass"]
        assert opened(root).sql("SELECT count(*) FROM ledger.responses").rows == ((4,),)


@pytest.mark.few(0)
def test_cancel_begins_nothing(tmp_path: Path) -> None:
    """What came after the cancelled model is not run on a part of it."""
    with Rehearsal() as server:
        root = plants(tmp_path, server, max_requests=2, max_batches=1)
        write(root, MORE)
        opened(root).run(detach=True)
        while opened(root).sql("SELECT count(*) FROM ledger.responses").rows == ((0,),):
            opened(root).status()
        opened(root).cancel("kinds")
        for _ in range(6):
            states = opened(root).status()
        assert [state.model for state in states] == ["kinds"]
        assert server.bill.total < 4 + 1


@pytest.mark.few(0)
def test_one_model_that_cannot_be_published_stops_no_other(tmp_path: Path) -> None:
    """It is told, and the others come out."""
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        write(
            root,
            {
                f"models/other.{end}": (root / f"models/kinds.{end}").read_text()
                for end in ("sql", "prompt.md")
            },
        )
        opened(root).run(detach=True)
        opened(root).sql("CREATE TABLE kinds (x INTEGER)")
        ears = Ears()
        for _ in range(5):
            project = opened(root, ears)
            found = project.status()
        states = {state.model: state for state in found}
        assert any("kinds is not published: the warehouse has a table" in s for s in ears.said)
        assert (states["other"].ok, states["other"].published_at is None) == (4, False)
        assert len(found.problems) == 1
        (state,) = opened(root).run("other")
        assert state.ok == 4
        opened(root).sql("DROP TABLE kinds")
        states = {state.model: state for state in opened(root).status()}
        assert states["kinds"].ok == 4


def test_one_model_that_cannot_be_begun_stops_only_those_after_it(tmp_path: Path) -> None:
    """The others are run to their end, and then it is an error."""
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        write(root, MORE)
        write(
            root,
            {
                "models/films/counted.sql": "SELECT avg(nothing) AS x FROM trees\n",
                "models/after.sql": "SELECT * FROM counted\n",
            },
        )
        ears = Ears()
        with pytest.raises(EnrichError, match=r"models/films/counted\.sql"):
            opened(root, ears).run()
        assert any(said.startswith("skipped after: upstream model counted") for said in ears.said)
        found = {state.model: state for state in opened(root).status()}
        assert set(found) == {"kinds", "again"}
        assert found["again"].ok == found["again"].rows


@pytest.mark.few(0)
def test_a_model_that_waits_already_waits_for_all(tmp_path: Path) -> None:
    """A second command on a part of the graph takes nothing out of the first."""
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        write(root, MORE)
        opened(root).run()
        text = (root / "models/kinds.prompt.md").read_text()
        write(root, {"models/kinds.prompt.md": text.replace("You know", "You love")})
        opened(root).run(detach=True)
        opened(root).run("again", detach=True)
        for _ in range(12):
            states = opened(root).status()
        assert not any(state.busy for state in states)
        assert all(plan.to_ask == 0 for plan in opened(root).plan())


def test_plain_models_are_among_the_states_of_a_run(tmp_path: Path) -> None:
    """With what they became; and a wide table is shown line by line where it does not fit."""
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        write(root, MORE)
        found = {state.model: state for state in opened(root).run()}
        assert (found["trees"].kind, found["counted"].kind) == ("view", "table")
        assert found["trees"].published_at is not None
        narrow = CliRunner(env={"COLUMNS": "60"})
        words = ["--project", str(root), "sql", "FROM enrich.kinds ORDER BY id LIMIT 2"]
        lines = narrow.invoke(cli.main, words).stdout.splitlines()
        assert lines[0].split() == ["id", "1"]
        assert any(line.startswith("fingerprint") for line in lines)
        assert max(map(len, lines)) <= 60


def test_names_are_checked_before_anything_is_spent(tmp_path: Path) -> None:
    """Also of models that wait for others."""
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        write(root, MORE)
        opened(root).sql("CREATE TABLE again (x INTEGER)")
        with pytest.raises(EnrichError, match="the warehouse has a table 'again'"):
            opened(root).run(detach=True)
        assert server.batches == []


@pytest.mark.few(0)
def test_a_test_that_cannot_look_stops_no_other_model(tmp_path: Path) -> None:
    """An attached database that is away: the others are published, and this one once it is back."""
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        for end in ("sql", "prompt.md"):
            write(root, {f"models/other.{end}": (root / f"models/kinds.{end}").read_text()})
        known = json.loads((root / "project.yml").read_text())
        (root / "project.yml").write_text(json.dumps(known | {"attach": {"shop": "shop.db"}}))
        with duckdb.connect(str(root / "shop.db")) as shop:
            shop.execute("CREATE TABLE t AS SELECT 9 AS id")
        write(root, {"tests/away.sql": "SELECT id FROM kinds WHERE id IN (FROM shop.t)\n"})
        opened(root).run(detach=True)
        (root / "shop.db").rename(root / "away.db")
        for _ in range(5):
            states = {state.model: state for state in opened(root).status()}
        assert (states["other"].ok, states["kinds"].published_at) == (4, None)
        opened(root).cancel(forget=True)
        (root / "away.db").rename(root / "shop.db")
        states = {state.model: state for state in opened(root).status()}
        assert (states["kinds"].ok, states["kinds"].held_back) == (4, ())
        assert server.bill.total == 4


def test_nothing_is_built_on_what_could_not_be_published(tmp_path: Path) -> None:
    """It is not run, and the command ends."""
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        write(root, {"models/trees.sql": "SELECT * FROM kinds\n"})
        opened(root).run("kinds", detach=True)
        opened(root).sql("CREATE TABLE kinds (x INTEGER)")
        with pytest.raises(EnrichError, match="the warehouse has a table 'kinds'"):
            opened(root).run()
        assert opened(root).sql("FROM kinds").rows == ()
        listed = "SELECT count(*) FROM duckdb_views() WHERE view_name = 'trees'"
        assert opened(root).sql(listed).rows == ((0,),)
