"""A warehouse may serve several projects; what one ledger made, no other replaces."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import duckdb
import pytest
from folders import Ears, opened, plants, settings, write

from enrich.errors import ProjectError
from enrich.rehearsal import Rehearsal

if TYPE_CHECKING:
    from pathlib import Path


def shared(root: Path, server: Rehearsal, warehouse: Path) -> Path:
    """The project of plants, with somebody else's warehouse."""
    text = settings(server)[:-1] + f', "warehouse": "{warehouse}", "external_access": true}}'
    write(plants(root, server), {"project.yml": text})
    return root


def test_a_table_of_another_ledger_is_not_replaced(tmp_path: Path) -> None:
    """Of two projects with one warehouse the second is refused before anything is spent."""
    warehouse = tmp_path / "both.duckdb"
    with Rehearsal() as server:
        one, two = (shared(tmp_path / name, server, warehouse) for name in ("one", "two"))
        opened(one).run()
        asked = server.bill.total
        with pytest.raises(ProjectError, match="created by another project's ledger") as refused:
            opened(two).run()
        assert "a warehouse of its own" in refused.value.hint
        assert server.bill.total == asked
        (state,) = opened(one).run()
        assert state.ok == 4


@pytest.mark.few(0)
def test_books_of_another_ledger_are_not_replaced(tmp_path: Path) -> None:
    """Models of other names may stand beside each other; each project's books are its own."""
    warehouse = tmp_path / "both.duckdb"
    with Rehearsal() as server:
        one, two = (shared(tmp_path / name, server, warehouse) for name in ("one", "two"))
        for old, new in (
            ("seeds/plants.csv", "seeds/trees.csv"),
            ("models/kinds.sql", "models/sorts.sql"),
            ("models/kinds.prompt.md", "models/sorts.prompt.md"),
        ):
            (two / old).rename(two / new)
        write(two, {"models/sorts.sql": "SELECT id, name, note FROM trees\n"})
        opened(one).run()
        ears = Ears()
        (state,) = opened(two, ears).run()
        assert state.ok == 4
        assert any(
            "'enrich.costs' created by another project's ledger" in said for said in ears.said
        )
        kept = opened(one).sql("SELECT DISTINCT model FROM enrich.prompts").rows
        assert kept == (("kinds",),)


def test_sources_of_another_project_are_left_alone(tmp_path: Path) -> None:
    """A view whose source is declared nowhere here belongs to whoever made it."""
    warehouse = tmp_path / "both.duckdb"
    with Rehearsal() as server:
        one, two = (shared(tmp_path / name, server, warehouse) for name in ("one", "two"))
        write(one, {"data/more.csv": "id\n1\n"})
        text = (one / "project.yml").read_text()[:-1] + ', "sources": {"more": "data/more.csv"}}'
        write(one, {"project.yml": text})
        (two / "seeds/plants.csv").rename(two / "seeds/trees.csv")
        opened(one).seed()
        opened(two).seed()
        assert opened(one).sql("SELECT id FROM more").rows == ((1,),)


def test_a_table_of_an_earlier_enrich_is_ours(tmp_path: Path) -> None:
    """Its comment names no ledger; it is made anew, with one that does."""
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        opened(root).run()
        opened(root).sql("COMMENT ON TABLE kinds IS 'made by enrich from a model: prompt x'")
        (state,) = opened(root).run()
        assert state.ok == 4
        (comment,) = (
            opened(root)
            .sql(
                "SELECT comment FROM duckdb_tables() WHERE table_name = 'kinds' "
                "AND schema_name = 'main' AND database_name = 'warehouse'"
            )
            .rows[0]
        )
        (ledger,) = opened(root).sql("SELECT id FROM ledger.identity").rows[0]
        assert comment.endswith(f" (ledger {ledger})")


def test_everything_comes_back_after_the_warehouse_was_deleted(tmp_path: Path) -> None:
    """The tables, their provenance, and the books, at no cost."""
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        opened(root).run()
        (root / "warehouse.duckdb").unlink()
        opened(root).run()
        opened(root).sql("FROM enrich.kinds_history")
        for table in (
            "kinds",
            "enrich.kinds",
            "enrich.costs",
            "enrich.prompts",
        ):
            assert opened(root).sql(f"SELECT count(*) FROM {table}").rows[0][0] > 0
        assert server.bill.total == 4


def test_comments_say_what_a_table_and_its_columns_hold(tmp_path: Path) -> None:
    """As the prompt has it; a changed description is a changed comment, and asks nothing."""
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        prompt = root / "models/kinds.prompt.md"
        text = prompt.read_text()
        for about in ('What plants are; it\'s "short".', "Another one."):
            prompt.write_text(text.replace("---\n", f"---\ndescription: {json.dumps(about)}\n", 1))
            (state,) = opened(root).run()
            assert (state.ok, server.bill.total) == (4, 4)
            with duckdb.connect(str(root / "warehouse.duckdb"), read_only=True) as connection:
                told = connection.sql(
                    "SELECT comment FROM duckdb_tables() WHERE table_name = 'kinds' ORDER BY ALL"
                ).fetchall()
                columns = connection.sql(
                    "SELECT column_name, comment FROM duckdb_columns() "
                    "WHERE comment IS NOT NULL AND table_name = 'kinds'"
                ).fetchall()
            assert all(comment.startswith(f"{about}\n\nmade by enrich") for (comment,) in told)
            assert columns == [("kind", "what it is")]
