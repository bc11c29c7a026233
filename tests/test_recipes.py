"""The recipes: `enrich init --example` creates each one, and it finds what its seed holds.

All vectors are those of the real packaged embedder, without a network.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner
from embedder import packaged
from folders import opened

from enrich.cli import main
from enrich.manifest.recipes import RECIPES
from enrich.rehearsal import Rehearsal

if TYPE_CHECKING:
    from enrich.project import Project

ROOT = Path(__file__).parent.parent
PURITY = """
    SELECT sum(most) / 45 FROM (
        SELECT max(posts) AS most FROM (
            SELECT cluster, (post_id - 1) // 9 AS subject, count(*) AS posts
            FROM posts_clusters GROUP BY ALL
        ) GROUP BY cluster
    )
"""
"""The seed has nine posts of each subject, one subject after the other."""
EVERY_PAIR = """
    SELECT one.notice_id, other.notice_id
    FROM notices_embeddings AS one JOIN notices_embeddings AS other
    ON one.notice_id < other.notice_id
    AND enrich.cosine_similarity(one.embedding, other.embedding) >= 0.9
"""
"""What the blocks have to find, by comparing all with all."""
MATCHES = """
    SELECT item_id, found.supplier_id, known.supplier_id
    FROM items_matches AS found JOIN items_expected AS known USING (item_id)
"""


def enrich(folder: Path, *words: str) -> None:
    """A command in a folder, which must succeed."""
    done = CliRunner().invoke(main, ["--project", str(folder), *words])
    assert done.exit_code == 0, done.output


def rows(project: Project, query: str) -> list[tuple[Any, ...]]:
    """The rows that a query gives."""
    return list(project.sql(query).rows)


def created(folder: Path, name: str) -> Path:
    """The example project with this name, in a new folder."""
    done = CliRunner().invoke(main, ["init", str(folder / name), "--example", name])
    assert done.exit_code == 0, done.output
    assert f"created {folder / name / 'project.yml'}" in done.stderr
    return folder / name


def ran(folder: Path, name: str) -> Project:
    """The example project with this name, after a run."""
    enrich(created(folder, name), "run")
    return opened(folder / name)


@pytest.mark.parametrize("name", RECIPES)
def test_an_example_is_created_once(tmp_path: Path, name: str) -> None:
    """All files of its folder are there; a second time is refused and changes nothing."""
    root = created(tmp_path, name)
    source = ROOT / "enrich" / "manifest" / "recipes" / name
    wanted = {path.relative_to(source): path.read_text() for path in source.rglob("*.*")}
    found = {path.relative_to(root): path.read_text() for path in root.rglob("*.*")}
    assert found.pop(Path(".gitignore")).startswith(".enrich/")
    assert found == wanted
    assert any(path.parts[0] == "seeds" for path in found)
    assert any(path.name.endswith("_embeddings.prompt.md") for path in found)
    (root / "project.yml").unlink()
    again = CliRunner().invoke(main, ["init", str(root), "--example", name])
    assert again.exit_code == 1
    assert "already exists" in again.stderr
    assert not (root / "project.yml").exists()


def test_each_example_is_described() -> None:
    """`enrich init --help` has a line for each, and another name is refused."""
    lines = CliRunner().invoke(main, ["init", "--help"]).output.splitlines()
    for name in RECIPES:
        assert [line for line in lines if line.split()[:1] == [name] and len(line.split()) > 3]
    refused = CliRunner().invoke(main, ["init", "--example", "nonsense"])
    assert refused.exit_code == 2
    assert "nearest_label" in refused.output


def test_the_folders_are_the_recipes() -> None:
    """Each folder can be created, and what can be created has a folder."""
    folders = (ROOT / "enrich" / "manifest" / "recipes").glob("*/project.yml")
    assert sorted(path.parent.name for path in folders) == sorted(RECIPES)


def test_the_page_shows_the_models() -> None:
    """What docs/how-to/embeddings.md shows as SQL is in the recipes, and nothing is left out."""
    page = (ROOT / "docs" / "how-to" / "embeddings.md").read_text(encoding="utf-8")
    paths = (ROOT / "enrich" / "manifest" / "recipes").glob("*/models/*.sql")
    models = {path.read_text(encoding="utf-8"): path.name for path in paths}
    shown = re.findall(r"^```sql\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    assert len(shown) == 7
    for block in shown:
        assert block in models, block
    for name in RECIPES:
        assert f"--example {name}" in page


@packaged
def test_the_nearest_label_is_mostly_right(tmp_path: Path) -> None:
    """And those with a large margin are right more often than those with a small one."""
    project = ran(tmp_path, "nearest_label")
    scores = rows(project, "SELECT third, messages, accuracy FROM topics_scores")
    by_third = {third: accuracy for third, _, accuracy in scores}
    assert {third: messages for third, messages, _ in scores} == {1: 16, 2: 16, 3: 16, None: 48}
    assert by_third[None] >= 0.85
    assert by_third[1] > by_third[3]
    found = rows(project, "SELECT min(margin) >= 0, max(similarity) < 1 FROM messages_topics")
    assert found == [(True, True)]


@packaged
def test_near_duplicates_are_found(tmp_path: Path) -> None:
    """All that the seed holds, and no others; and each group has the first of its notices.

    A variable of the command line changes the threshold, and asks nothing again.
    """
    project = ran(tmp_path, "near_duplicates")
    groups = project.sql(
        "SELECT notice_id, first_id FROM notices_groups WHERE notice_id <> first_id ORDER BY ALL"
    )
    expected = project.sql("SELECT notice_id, first_id FROM notices_expected ORDER BY ALL")
    assert groups == expected
    assert rows(project, "SELECT count(*) FROM notices_groups") == [(40,)]
    pairs = rows(project, "SELECT notice_id, other_id FROM near_duplicates")
    every = rows(project, EVERY_PAIR)
    assert len(every) == 11
    assert sorted(pairs) == sorted(every)
    enrich(tmp_path / "near_duplicates", "run", "--var", "threshold=0.9999")
    assert rows(project, "SELECT notice_id, other_id FROM near_duplicates") == [(3, 38)]
    assert rows(project, "SELECT count(*) FROM ledger.batches") == [(1,)]


@packaged
def test_a_semantic_join_matches_what_belongs_together(tmp_path: Path) -> None:
    """At most one item has another match than the known one, and none without a match has one."""
    project = ran(tmp_path, "semantic_join")
    found = rows(project, MATCHES)
    assert len(found) == 24
    wrong = [row for row in found if row[1] != row[2]]
    assert len(wrong) <= 1, wrong
    assert all(row[1] is None for row in found if row[2] is None)
    assert rows(project, "SELECT count(nearest_id) FROM items_matches") == [(24,)]


@packaged
@pytest.mark.few(0)
def test_each_cluster_gets_a_name(tmp_path: Path) -> None:
    """The clusters are the five subjects of the seed; here the rehearsal names them."""
    root = created(tmp_path, "clusters")
    with Rehearsal() as server:
        url = f"base_url: '{server.base_url}', api_key: any, poll_seconds: 0"
        path = root / "project.yml"
        text = path.read_text().replace("  local: {}\n", "  local: {}\n  api: {type: openai, %s}\n")
        path.write_text(text % url)
        prompt = root / "models" / "clusters_names.prompt.md"
        prompt.write_text(
            prompt.read_text().replace("key: cluster\n", "key: cluster\nprovider: api\n")
        )
        enrich(root, "run")
    project = opened(root)
    names = rows(project, "SELECT cluster, name FROM clusters_names")
    assert sorted(cluster for cluster, _ in names) == [1, 2, 3, 4, 5]
    assert all(name for _, name in names)
    assert rows(project, "SELECT count(*), count(name) FROM posts_named") == [(45, 45)]
    ((purity,),) = rows(project, PURITY)
    assert purity >= 0.9


@packaged
def test_an_llm_reads_up_to_ten_posts_of_a_cluster(tmp_path: Path) -> None:
    """With two clusters, there are more than ten posts in each, and the prompt shows ten."""
    root = created(tmp_path, "clusters")
    enrich(root, "run", "posts_embeddings", "posts_clusters", "--var", "clusters=2")
    select = (root / "models" / "clusters_names.sql").read_text().partition("SELECT")[2]
    found = rows(
        opened(root), f"SELECT len(split(examples, chr(10))), posts FROM (SELECT {select})"
    )
    assert len(found) == 2
    assert all(shown == 10 < posts for shown, posts in found)
