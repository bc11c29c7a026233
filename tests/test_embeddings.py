"""Embeddings: a text becomes a vector, through every provider that has them, typed and once."""

from __future__ import annotations

import json
from base64 import b64encode
from struct import pack
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner
from folders import Ears, opened, settings, write

from enrich import cli
from enrich.errors import EnrichError, ModelError
from enrich.rehearsal import Faults, Rehearsal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PROMPT = """\
---
key: id
endpoint: /v1/embeddings
llm: some-embedder
output: embedding FLOAT[32]
params: {dimensions: 32}
---
Film: {{ title }}
"""
TITLES = ("a red apple", "a red apple tree", "the war of the worlds", "war and peace")


@pytest.fixture
def server() -> Iterator[Rehearsal]:
    with Rehearsal() as found:
        yield found


def films(root: Path, server: Rehearsal, prompt: str = PROMPT, **more: Any) -> Path:
    rows = "".join(f"{n},{title}\n" for n, title in enumerate(TITLES, 1))
    write(
        root,
        {
            "project.yml": settings(server, **more),
            "seeds/films.csv": f"id,title\n{rows}",
            "models/vectors.sql": "SELECT id, title FROM films\n",
            "models/vectors.prompt.md": prompt,
        },
    )
    return root


@pytest.mark.parametrize("api", ["batch", "chat"])
def test_texts_become_vectors(tmp_path: Path, server: Rehearsal, api: str) -> None:
    """In a batch and through the executor: typed, without output tokens; a second run asks nothing,
    a changed row alone is asked again."""
    root = films(tmp_path, server, api=api)
    (state,) = opened(root).run()
    assert (state.ok, state.failed) == (4, 0)
    project = opened(root)
    assert project.sql("SELECT typeof(embedding) FROM vectors LIMIT 1").rows == (("FLOAT[32]",),)
    near = "cosine_similarity(one.embedding, other.embedding)"
    found = project.sql(
        f"SELECT enrich.{near} > 0.7, array_{near} > 0.7 FROM vectors AS one, vectors AS other "
        "WHERE one.id = 1 AND other.id IN (2, 3) ORDER BY other.id"
    )
    assert found.rows == ((True, True), (False, False))
    tokens = project.sql("SELECT min(input_tokens) > 0, max(output_tokens) FROM enrich.vectors")
    assert tokens.rows == ((True, 0),)
    billed = server.bill.total
    opened(root).run()
    assert server.bill.total == billed
    write(root, {"seeds/films.csv": "id,title\n1,a red apple\n2,a green apple\n"})
    opened(root).run()
    assert server.bill.total == billed + 1
    assert opened(root).sql("SELECT count(*) FROM vectors").rows == ((2,),)


def answer_with(tmp_path: Path, bend: Callable[[list[Any]], dict[str, Any]]) -> dict[int, str]:
    """Run with other vectors for the first three of four rows, by custom_id. Returns the errors."""

    def rewrite(line: dict[str, Any]) -> dict[str, Any]:
        vector = line["response"]["body"]["data"][0]["embedding"]
        line["response"]["body"]["data"][0]["embedding"] = bend(vector).get(
            line["custom_id"], vector
        )
        return line

    with Rehearsal(rewrite=rewrite) as server:
        (state,) = opened(films(tmp_path, server)).run()
    assert (state.ok, state.failed) == (1, 3)
    return dict(opened(tmp_path).sql("SELECT id, error FROM enrich.vectors ORDER BY id").rows)


def test_a_vector_that_does_not_fit_is_invalid(tmp_path: Path) -> None:
    """Another length, zeros and nulls each have their sentence; the others are published."""
    said = answer_with(
        tmp_path, lambda vector: {"1": vector[:7], "2": [0.0] * 32, "3": [None, *vector[1:]]}
    )
    assert said == {
        1: "embedding: has 7 numbers, FLOAT[32] holds 32",
        2: "embedding: is all zeros, which is no direction",
        3: "embedding: has nulls among its numbers",
        4: None,
    }
    failed = opened(tmp_path).failures("vectors").rows
    at = list(failed.columns).index("input")
    assert {row[at] for row in failed.rows} == {f"Film: {title}" for title in TITLES[:3]}


def test_what_is_no_number_is_none(tmp_path: Path) -> None:
    """Numbers as texts, truth values and base64 are refused, each with a sentence."""
    said = answer_with(
        tmp_path,
        lambda vector: {
            "1": list(map(str, vector)),
            "2": [True] * 32,
            "3": b64encode(pack("<32f", *vector)).decode(),
        },
    )
    assert said == {
        1: "the vector holds what is no number",
        2: "the vector holds what is no number",
        3: "the vector is a text, such as base64, and not a list of numbers",
        4: None,
    }


@pytest.mark.few(0)
def test_another_length_is_judged_again(tmp_path: Path, server: Rehearsal) -> None:
    """An answer that was paid for is used as soon as the output accepts its length."""
    prompt = PROMPT.replace("params: {dimensions: 32}\n", "")
    root = films(tmp_path, server, prompt)
    assert opened(root).run()[0].failed == 4
    billed = server.bill.total
    write(root, {"models/vectors.prompt.md": prompt.replace("FLOAT[32]", "FLOAT[384]")})
    assert opened(root).run()[0].ok == 4
    assert server.bill.total == billed


@pytest.mark.few(0)
def test_faults_lose_no_row(tmp_path: Path) -> None:
    """Every kind of trouble: each row ends with one vector."""
    faults = Faults(
        dropped=0.1, doubled=0.1, http_429=0.1, http_500=0.1, malformed=0.1, off_schema=0.1
    )
    with Rehearsal(faults=faults, seed=3) as server:
        root = films(tmp_path, server, PROMPT.replace("key: id", "key: id\nmax_attempts: 9"))
        rows = "".join(f"{n},film number {n}\n" for n in range(60))
        write(root, {"seeds/films.csv": f"id,title\n{rows}"})
        opened(root).run()
        opened(root).run(retry=True)
    found = opened(root).sql("SELECT outcome, count(*) FROM enrich.vectors GROUP BY ALL").rows
    assert found == (("ok", 60),)


def test_batches_are_cut_by_the_size_of_their_results(tmp_path: Path, server: Rehearsal) -> None:
    """A vector is many times as long as its text."""
    prompt = PROMPT.replace("32", "3072")
    root = films(tmp_path, server, prompt)
    write(
        root,
        {"models/vectors.sql": "SELECT range AS id, 'film' || range AS title FROM range(9000)"},
    )
    (plan,) = opened(root).plan()
    assert (plan.requests, plan.batches) == (9000, 4)
    assert plan.estimate is not None
    assert plan.estimate.output.high == 0


def test_a_preview_compares_and_looks_short(tmp_path: Path, server: Rehearsal) -> None:
    """People see the start of a vector, wherever rows are shown."""
    root = films(tmp_path, server)
    shown = CliRunner().invoke(cli.main, ["--project", str(root), "preview", "vectors", "-n", "2"])
    assert "] of length 32" in " ".join(shown.output.split())
    opened(root).run()
    shown = CliRunner().invoke(cli.main, ["--project", str(root), "sql", "FROM vectors"])
    assert shown.output.count("of length 32") == 4
    assert opened(root).compare("vectors", limit=4).both == 4
    compiled = opened(root).compile("vectors")
    assert compiled["schema"] is None
    assert compiled["request"]["body"] == {
        "model": "some-embedder",
        "dimensions": 32,
        "input": "Film: a red apple",
    }


def test_what_is_usual_for_words_is_left_out(tmp_path: Path, server: Rehearsal) -> None:
    """Parameters for all prompts are parameters of words: an embedding would be refused."""
    root = films(tmp_path, server)
    project = {**json.loads(settings(server)), "params": {"temperature": 0}}
    write(root, {"project.yml": json.dumps(project)})
    assert opened(root).run()[0].ok == 4


def test_the_usual_llm_is_one_that_embeds(tmp_path: Path, server: Rehearsal) -> None:
    root = films(tmp_path, server, PROMPT.replace("llm: some-embedder\n", ""))
    assert opened(root).plan()[0].llm == "text-embedding-3-small"
    write(root, {"project.yml": settings(server, embedding_llm="other")})
    assert opened(root).plan()[0].llm == "other"


@pytest.mark.parametrize(
    ("was", "now", "said"),
    [
        ("FLOAT[32]", "VARCHAR", "is not one vector"),
        ("embedding FLOAT[32]", "a FLOAT[32], b FLOAT[32]", "is not one vector"),
        ("FLOAT[32]", "DOUBLE[32]", "cannot hold DOUBLE"),
        ("FLOAT[32]", "FLOAT[0]", "is not an embedding"),
        ("FLOAT[32]", "FLOAT[64]", "asks for 32 dimensions, but the output holds 64"),
        ("endpoint: /v1/embeddings\n", "", "has a vector"),
        ("key: id", "key: id\nresponse_format: text", "means nothing for an embedding"),
        ("dimensions: 32", "encoding_format: base64", "cannot contain 'encoding_format'"),
        ("Film:", "Films.\n\nuser:\nFilm:", "is not one text"),
        ("Film:", "![]({{ title }})", "is not one text"),
    ],
)
def test_mistakes_are_refused_by_line(
    tmp_path: Path, server: Rehearsal, was: str, now: str, said: str
) -> None:
    root = films(tmp_path, server, PROMPT.replace(was, now))
    with pytest.raises(EnrichError, match=said) as caught:
        opened(root).plan()
    assert caught.value.hint
    assert "models/vectors.prompt.md" in caught.value.message


def test_a_nested_vector_is_refused(tmp_path: Path, server: Rehearsal) -> None:
    prompt = PROMPT.replace("endpoint: /v1/embeddings\n", "").replace(
        "embedding FLOAT[32]", "it STRUCT(of FLOAT[3])"
    )
    with pytest.raises(ModelError, match="has a vector"):
        opened(films(tmp_path, server, prompt)).plan()


NEAREST = "enrich.nearest('vectors', 'embedding', {}, 9)"


def test_an_earlier_macro_is_renewed(tmp_path: Path, server: Rehearsal) -> None:
    """A warehouse has the macros of the enrich that reads its answers. Rows that cannot be compared
    are not near to anything."""
    root = films(tmp_path, server)
    with opened(root).files.open_warehouse() as database:
        database.execute(
            "CREATE OR REPLACE MACRO warehouse.enrich.nearest(source, vectors, vector, k) AS TABLE "
            "SELECT 1 AS similarity"
        )
    opened(root).run()
    found = opened(root).sql(f"SELECT id FROM {NEAREST.format([1.0] * 32)}").rows
    assert sorted(found) == [(1,), (2,), (3,), (4,)]
    zeros = "list_transform(range(32), lambda i: 0)::FLOAT[32]"
    others = f"SELECT 5 AS id, NULL AS embedding UNION ALL SELECT 6, {zeros}"
    select = f"SELECT id, embedding FROM vectors UNION ALL {others}"
    write(root, {"models/more.sql": f"-- materialized: table\n{select}"})
    opened(root).run("more")
    query = f"SELECT id FROM {NEAREST.format([1.0] * 32)}".replace("vectors", "more")
    assert sorted(opened(root).sql(query).rows) == [(1,), (2,), (3,), (4,)]


def test_a_model_may_search_vectors(tmp_path: Path, server: Rehearsal) -> None:
    """`enrich.nearest` is a macro of the warehouse; a model that calls it runs after the table that
    it names."""
    root = films(tmp_path, server)
    search = "enrich.nearest('vectors', 'embedding', asked.embedding, 2)"
    write(
        root,
        {
            "models/a_search.sql": f"""
                SELECT asked.id, found.id AS near, similarity
                FROM vectors AS asked, LATERAL (FROM {search}) AS found
                """
        },
    )
    opened(root).run()
    rows = opened(root).sql("SELECT id, near FROM a_search WHERE id <> near ORDER BY id").rows
    assert rows[:2] == ((1, 2), (2, 1))
    assert opened(root).sql(f"FROM {NEAREST.format('NULL')}").rows == ()
    assert opened(root).sql(f"FROM {NEAREST.format([0.0] * 32)}").rows == ()
    assert opened(root).workspace.graph.models["a_search"].reads == {"vectors"}
    write(
        root,
        {"models/a_search.sql": "FROM enrich.nearest((SELECT 'vectors'), 'embedding', [1], 2)"},
    )
    with pytest.raises(EnrichError, match="query_table"):
        opened(root).compile("a_search")


def test_debug_asks_for_a_vector(tmp_path: Path, server: Rehearsal) -> None:
    root = films(tmp_path, server)
    found = [each for each in opened(root, Ears()).debug(ask=True) if each.what.startswith("ask")]
    assert [each.detail for each in found] == ["embedding: works, it has 32 numbers"]
    write(root, {"models/vectors.prompt.md": PROMPT.replace("params: {dimensions: 32}\n", "")})
    found = [each for each in opened(root, Ears()).debug(ask=True) if each.what.startswith("ask")]
    assert [each.hint for each in found] == ["write FLOAT[384] in models/vectors.prompt.md"]


def test_the_list_price_of_an_embedding(tmp_path: Path, server: Rehearsal) -> None:
    """It has an input only: what a run costs is known beforehand, and half of it in a batch."""
    root = films(tmp_path, server, PROMPT.replace("some-embedder", "text-embedding-3-small"))
    (plan,) = opened(root).plan()
    assert plan.price is not None
    assert (plan.price.input, plan.price.output) == (0.01, 0.0)
    assert plan.estimate is not None
    assert plan.estimate.usd


def test_mistral_embeds_in_batches(tmp_path: Path) -> None:
    """By its own jobs, with the llm that embeds where no other is named."""
    pytest.importorskip("mistralai")
    prompt = PROMPT.replace("32]", "1024]").replace("llm: some-embedder\n", "")
    prompt = prompt.replace("params: {dimensions: 32}\n", "")
    with Rehearsal(api="mistral") as server:
        root = films(tmp_path, server, prompt, type="mistral")
        (state,) = opened(root).run()
        assert (state.ok, state.llm) == (4, "mistral-embed")
        assert server.bill.total == 4
        assert opened(root).run()[0].ok == 4
        assert server.bill.total == 4


def test_who_cannot_embed_says_so(tmp_path: Path) -> None:
    """Before anything is sent."""
    with Rehearsal(api="anthropic") as server:
        root = films(tmp_path, server, type="anthropic", llm="claude-haiku-4-5")
        with pytest.raises(EnrichError, match="has no endpoint /v1/embeddings"):
            opened(root).run()
        assert server.bill.total == 0


def test_the_page_shows_a_vector_and_its_text(tmp_path: Path, server: Rehearsal) -> None:
    root = films(tmp_path, server)
    opened(root).run()
    row = opened(root).open_viewer().row("vectors", 0)
    assert row["messages"] == [{"role": None, "parts": [{"text": "Film: a red apple"}]}]
    assert row["raw"].endswith("] of length 32")
    assert "] of length 32" in opened(root).view("vectors").html
