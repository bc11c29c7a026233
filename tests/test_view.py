"""The view: what its page is told, and what nobody else is."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from base64 import b64decode
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pytest
from folders import Ears, opened, plants, settings, write
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from viewing import ask, fetch, judge, serving

from enrich.errors import EnrichError
from enrich.page import Page, dump_json, find_media_type
from enrich.rehearsal import Faults, Rehearsal
from enrich.view.export import ExportBounds, build_export, render_export
from enrich.view.server import HEADERS, TOKEN_HEADER

if TYPE_CHECKING:
    from collections.abc import Iterator

    from enrich.view.server import ViewServer

ASSETS = Path(__file__).parent.parent / "enrich" / "page" / "assets"
PNG = b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="
)
NAMES = ("ash", "Birch", "cedar é", "dog %_x")
MANY = "id,name,note\n" + "".join(
    f"{n},{NAMES[n % 4]} {n * 7919 % 500},{f'note {n % 7}' if n % 7 else ''}\n"
    for n in range(1, 301)
)


@pytest.fixture(scope="module")
def garden(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, ViewServer]]:
    """A project of 300 rows, some of which have failed, and its page."""
    root = tmp_path_factory.mktemp("garden")
    with Rehearsal(faults=Faults(refused=0.1, truncated=0.1, off_schema=0.1)) as server:
        plants(root, server)
        write(root, {"seeds/plants.csv": MANY, "models/tall.sql": "SELECT * FROM kinds\n"})
        opened(root).run()
        with serving(root) as page:
            yield root, page


def test_the_site_knows_every_model(garden: tuple[Path, ViewServer]) -> None:
    root, server = garden
    site = ask(server, "site")
    kinds = next(model for model in site["models"] if model["name"] == "kinds")
    counts = dict(opened(root).sql("SELECT outcome, count(*) FROM enrich.kinds GROUP BY ALL").rows)
    assert kinds["outcomes"] == counts
    assert kinds["state"] == "not all ok"
    assert {"name": "plants", "kind": "seed"} in site["graph"]["nodes"]
    assert ["kinds", "tall"] in site["graph"]["edges"]
    assert sum(group["rows"] for group in kinds["failures"]) == 300 - counts["ok"]
    assert all(group["command"].startswith("enrich run kinds") for group in kinds["failures"])
    labels = {each["column"]: each["counts"] for each in kinds["labels"]}
    assert sum(now for _, now, _ in labels["kind"]) == counts["ok"]


@pytest.mark.few(0)
def test_labels_are_shown_beside_those_before_the_last_run(tmp_path: Path) -> None:
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        opened(root).run()
        before = dict(opened(root).sql("SELECT kind, count(*) FROM kinds GROUP BY ALL").rows)
        prompt = root / "models/kinds.prompt.md"
        prompt.write_text(prompt.read_text().replace("You know plants.", "You know all plants."))
        opened(root).run()
        now = dict(opened(root).sql("SELECT kind, count(*) FROM kinds GROUP BY ALL").rows)
    with serving(root) as page:
        (model,) = ask(page, "site")["models"]
        counts = next(each["counts"] for each in model["labels"] if each["column"] == "kind")
        assert {label: many for label, many, _ in counts if many} == now
        assert {label: many for label, _, many in counts if many} == before
        # Two versions of four rows, compared cell by cell.
        was, newer = (version["prompt"] for version in model["prompts"])
        pairs = ask(page, "page", model="kinds", was=was, now=newer)
        assert pairs["both"] == 4
        assert [row["key"] for row in pairs["rows"]] == [["1"], ["2"], ["3"], ["4"]]
        published = opened(root).sql("SELECT kind, line FROM kinds ORDER BY id").rows
        assert [(row["now"][0], row["now"][3]) for row in pairs["rows"]] == list(published)
        history = opened(root).sql("SELECT kind, line FROM enrich.kinds_history ORDER BY id").rows
        assert [(row["was"][0], row["was"][3]) for row in pairs["rows"]] == list(history)
        differing = ask(page, "page", model="kinds", was=was, now=newer, differing="true")
        assert [row["n"] for row in differing["rows"]] == [
            row["n"] for row in pairs["rows"] if any(row["differs"])
        ]
        life = ask(page, "row", model="kinds", n=0)["life"]
        assert [event["outcome"] for event in life] == ["ok", "ok"]


words = st.fixed_dictionaries(
    {},
    optional={
        "search": st.sampled_from(["ash", "BIRCH", "é", "%", "_", "'", "7", "zzz", "\\"]),
        "outcome": st.sampled_from(["ok", "refused", "not ok", "invalid"]),
        "label": st.sampled_from(["tree", "shrub"]),
        "sort": st.sampled_from(["c0", "c1", "c2", "c3", "outcome", "cost"]),
        "descending": st.sampled_from(["true", "false"]),
        "offset": st.integers(0, 120).map(str),
        "limit": st.sampled_from(["1", "25", "400"]),
        "count": st.sampled_from(["true", "false"]),
    },
)


@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(words=words)
def test_a_page_is_what_sql_says(garden: tuple[Path, ViewServer], words: dict[str, str]) -> None:
    root, server = garden
    if "label" in words:
        words["column"] = "c3"
    columns = {"c0": "id", "c1": "name", "c2": "note", "c3": "kind"}
    conditions = ["true"]
    if "search" in words:
        cells = "id, name, note, kind, tags, height, line"
        # One cell after the other, so that a search never matches across two.
        conditions.append(
            f"len(list_filter([{', '.join(f'CAST({c} AS VARCHAR)' for c in cells.split(', '))}], "
            "lambda cell: contains(lower(cell), $search))) > 0"
        )
    if words.get("outcome") == "not ok":
        conditions.append("outcome <> 'ok'")
    elif "outcome" in words:
        conditions.append("outcome = $outcome")
    if "label" in words:
        conditions.append("kind::VARCHAR = $label")
    by = columns.get(words.get("sort", ""), words.get("sort", ""))
    way = "DESC" if words.get("descending") == "true" else "ASC"
    order = f"{by} {way} NULLS LAST, id" if by else "id"
    query = (
        "FROM plants JOIN enrich.kinds USING (id) LEFT JOIN kinds USING (id) "
        f"WHERE {' AND '.join(conditions)}"
    )
    offset, limit = int(words.get("offset", "0")), int(words.get("limit", "100"))
    values = {
        name: words[name].lower() if name == "search" else words[name]
        for name in ("search", "outcome", "label")
        if name in words and words[name] != "not ok"
    }
    with duckdb.connect(str(root / "warehouse.duckdb"), read_only=True) as connection:
        expected = connection.execute(
            f"SELECT id {query} ORDER BY {order} LIMIT {limit} OFFSET {offset}", values or None
        ).fetchall()
        (total,) = connection.execute(f"SELECT count(*) {query}", values or None).fetchone() or ()
    found = ask(server, "page", model="kinds", **words)
    assert [int(row[5]) for row in found["rows"]] == [number for (number,) in expected]
    assert found["total"] in (total, None)
    assert found["total"] == total or words.get("count") != "true"


def test_a_row_is_shown_with_all_that_is_known(garden: tuple[Path, ViewServer]) -> None:
    root, server = garden
    row = ask(server, "row", model="kinds", n=4)
    assert row["key"] == {"id": "5"}
    assert [message["role"] for message in row["messages"]] == ["system", "user"]
    assert "Birch" in row["messages"][1]["parts"][0]["text"]
    sent = "SELECT content FROM responses WHERE custom_id = '5' ORDER BY attempt DESC LIMIT 1"
    with duckdb.connect(str(root / "ledger.duckdb"), read_only=True) as connection:
        assert connection.execute(sent).fetchone() == (row["raw"],)
    assert row["life"][-1]["outcome"] == row["outcome"]


REFUSED: dict[str, tuple[str, dict[str, str | None], bytes | None, int]] = {
    "no token": ("/api/site", {TOKEN_HEADER: None}, None, 403),
    "another token": ("/api/site", {TOKEN_HEADER: "x" * 32}, None, 403),
    "a token that is no text": ("/api/site", {TOKEN_HEADER: "\u00e9"}, None, 403),
    "another host": ("/api/site", {"Host": "evil.example:80"}, None, 403),
    "another host's page": ("/", {"Host": "evil.example"}, None, 403),
    "another site": ("/api/site", {"Sec-Fetch-Site": "cross-site"}, None, 403),
    "a neighbor": ("/api/site", {"Sec-Fetch-Site": "same-site"}, None, 403),
    "a frame": ("/", {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "iframe"}, None, 403),
    "a script": ("/", {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "script"}, None, 403),
    "a form": ("/api/review", {"Content-Type": "text/plain"}, b"{}", 415),
    "a form without a token": ("/api/review", {TOKEN_HEADER: None}, b"{}", 403),
    "no JSON": ("/api/review", {"Content-Type": "application/json"}, b"{", 400),
    "no object": ("/api/review", {"Content-Type": "application/json"}, b"[]", 400),
    "too much": ("/api/review", {"Content-Type": "application/json"}, b" " * 1_000_001, 413),
    "a picture without a seal": ("/picture?model=kinds&n=1&at=0", {}, None, 403),
    "a picture with another seal": ("/picture?model=kinds&n=1&at=0&seal=00", {}, None, 403),
    "a picture of nothing": ("/picture?model=kinds&n=-1&at=x", {}, None, 404),
    "another path": ("/../project.yml", {}, None, 404),
    "another question": ("/api/sql?q=1", {}, None, 404),
    "no such model": ("/api/page?model=nothing", {}, None, 400),
    "no such row": ("/api/row?model=kinds&n=999999", {}, None, 400),
    "no such column": ("/api/page?model=kinds&sort=c99", {}, None, 400),
    "SQL for a column": ("/api/page?model=kinds&sort=c0%3B+DROP+TABLE+rows", {}, None, 400),
    "no number": ("/api/page?model=kinds&offset=many", {}, None, 400),
    "no such version": ("/api/page?model=kinds&was=a&now=b", {}, None, 400),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused(garden: tuple[Path, ViewServer], case: str) -> None:
    path, headers, body, expected = REFUSED[case]
    try:
        status, said, _ = fetch(garden[1], path, headers=headers, body=body)
    except OSError:  # the server does not read a body that is too large
        assert case == "too much"
        return
    assert status == expected
    assert b"Traceback" not in said


def test_every_answer_has_the_headers(garden: tuple[Path, ViewServer]) -> None:
    server = garden[1]
    for path in ("/", "/api/site", "/api/page?model=kinds", "/picture", "/nothing"):
        _, _, headers = fetch(server, path)
        assert headers.items() >= HEADERS.items()
        assert "Set-Cookie" not in headers
        assert "Access-Control-Allow-Origin" not in headers
    _, body, headers = fetch(server, "/")
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert server.token.encode() not in body


def test_the_page_takes_no_markup_and_fetches_nothing() -> None:
    forbidden = re.compile(
        r"innerHTML|outerHTML|insertAdjacent|document\.write|\beval\b|new Function|"
        r"createContextualFragment|DOMParser|srcdoc|setTimeout\(\s*[\"']|import\s*\(|"
        r"XMLHttpRequest|WebSocket|EventSource|sendBeacon|localStorage|document\.cookie"
    )
    for path in ASSETS.glob("*.js"):
        text = path.read_text(encoding="utf-8")
        assert not forbidden.search(text), path.name
        hosts = set(re.findall(r"https?://[\w.]+", text)) - {"http://www.w3.org"}
        assert not hosts, path.name
    assert "url(" not in (ASSETS / "page.css").read_text(encoding="utf-8")
    assert "@import" not in (ASSETS / "page.css").read_text(encoding="utf-8")


@pytest.mark.few(0)
def test_pictures_come_from_the_project_and_are_pictures(tmp_path: Path) -> None:
    """From files and BLOBs, by their first bytes, and from nowhere else."""
    secret = tmp_path / "secret.png"
    secret.write_bytes(PNG)
    root = tmp_path / "project"
    with Rehearsal() as server:
        write(
            root,
            {
                "project.yml": settings(server),
                "models/photos.sql": """
                    SELECT * FROM (VALUES (1, 'pictures/a.png'), (2, 'pictures/evil.svg'),
                        (3, '../secret.png'), (4, 'pictures/none.png'), (5, 'pictures/link.png'),
                        (6, 'https://example.org/b.jpg'), (7, NULL)) AS t(id, file)
                """,
                "models/photos.prompt.md": """
                    ---
                    key: id
                    output: caption VARCHAR NOT NULL
                    ---
                    user:
                    What is this? {{ id }}
                    ![photo]({{ file }})
                """,
                "models/blobs.sql": "SELECT 1 AS id, content FROM read_blob('pictures/a.png')\n",
                "models/blobs.prompt.md": """
                    ---
                    key: id
                    output: caption VARCHAR NOT NULL
                    ---
                    user:
                    What is this? {{ id }}
                    ![photo]({{ content }})
                """,
            },
        )
        folder = root / "pictures"
        folder.mkdir()
        (folder / "a.png").write_bytes(PNG)
        (folder / "evil.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg' onload='x()'/>")
        (folder / "link.png").symlink_to(secret)
        opened(root).run()
    with serving(root) as page:
        shown = ask(page, "page", model="photos")["pictures"]
        found = [fetch(page, each[0], headers={TOKEN_HEADER: None}) for each in shown[:5]]
        assert [status for status, _, _ in found] == [200, 404, 404, 404, 404]
        assert found[0][1] == PNG
        assert found[0][2]["Content-Type"] == "image/png"
        assert shown[5:] == [["https://example.org/b.jpg"], [None]]
        (each,) = ask(page, "page", model="blobs")["pictures"]
        assert fetch(page, each[0])[1] == PNG
        moved = each[0].replace("n=0", "n=1")
        assert fetch(page, moved)[0] == 403
        export = build_export(page.viewer, ExportBounds())
        assert export["models"]["photos"]["pictures"][0][0].startswith("data:image/png;base64,")
        assert export["models"]["photos"]["pictures"][1] == [None]
        assert find_media_type(b"RIFF\0\0\0\0WEBPVP8 ") == "image/webp"


@pytest.mark.few(0)
def test_a_run_is_followed_and_never_kept_waiting(tmp_path: Path) -> None:
    """While another program writes, the page shows what was; afterwards, what is."""
    ears = Ears()
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        with serving(root) as page:
            site = ask(page, "site")
            assert site["models"][0]["state"] == "not run"
            script = (
                "import duckdb, sys\n"
                "c = duckdb.connect(sys.argv[1])\n"
                "print('held', flush=True)\n"
                "sys.stdin.read()\n"
            )
            opened(root).seed()
            holder = subprocess.Popen(
                [sys.executable, "-c", script, str(root / "warehouse.duckdb")],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
            assert holder.stdout is not None
            assert holder.stdout.readline()
            # Held by another process, so that nobody could even open it.
            while fetch(page, "/api/page?model=kinds")[0] != 200:
                ask(page, "site")
            assert len(ask(page, "page", model="kinds")["rows"]) == 4
            assert holder.stdin is not None
            holder.communicate()
            opened(root, ears).run()
            while ask(page, "site")["models"][0]["state"] != "published":
                pass
            while ask(page, "page", model="kinds")["rows"][0][1] != "ok":
                pass
            assert ask(page, "site")["version"] != site["version"]
    assert not any("waiting" in sentence for sentence in ears.said)


def test_a_file_that_is_half_edited_leaves_the_page_as_it_was(
    garden: tuple[Path, ViewServer],
) -> None:
    root, server = garden
    path = root / "project.yml"
    before = path.read_text()
    path.write_text("name: [")
    site = ask(server, "site")
    assert "project.yml" in site["problem"]
    assert site["models"]
    path.write_text(before)
    assert ask(server, "site")["problem"] == ""


def test_answers_are_shown_even_if_their_inputs_are_not(tmp_path: Path) -> None:
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        opened(root).run()
        (root / "models/kinds.sql").write_text("SELECT id, name, note FROM gone\n")
        with serving(root) as page:
            found = ask(page, "page", model="kinds")
    assert "gone" in found["trouble"]
    assert [(row[1], row[5]) for row in found["rows"]] == [("ok", str(n)) for n in range(1, 5)]


def test_what_a_person_says_becomes_labels(garden: tuple[Path, ViewServer]) -> None:
    root, server = garden
    queue = ask(server, "review", model="kinds")
    assert all(row[1] == "ok" for row in queue["rows"])
    assert [row[0] for row in queue["rows"]] != sorted(row[0] for row in queue["rows"])
    kinds = {row[0]: row[8] for row in queue["rows"]}
    for at, (row, answer) in enumerate(zip(queue["rows"][:6], queue["answers"], strict=False)):
        other = {"tree": "shrub", "shrub": "tree"}[kinds[row[0]]]
        said = judge(
            server,
            model="kinds",
            **answer,
            verdict="right",
            values={"kind": other} if at == 0 else {},
            queue="random",
        )
        assert said["saved"] == ("corrected" if at == 0 else "right")
    judge(server, model="kinds", **queue["answers"][5], verdict="undone", values={})
    left = {row[0] for row in ask(server, "review", model="kinds")["rows"]}
    assert not left & {row[0] for row in queue["rows"][:5]}
    lines = (root / "reviews/kinds.jsonl").read_text().splitlines()
    assert json.loads(lines[0])["key"] == {"id": int(queue["rows"][0][5])}
    figures = ask(server, "site")["reviews"]["kinds"]
    assert figures["verdicts"] == {"corrected": 1, "right": 4}
    likely = {each["column"]: each["share"] for each in figures["likely"]}
    assert likely["kind"] == 0.8
    assert likely["line"] == 1.0
    evaluation = opened(root).evaluate("kinds", "kinds_review")
    assert evaluation.reviews is not None
    answer = queue["answers"][7]
    for wrong in (
        {"verdict": "perfect"},
        {"verdict": "right", "values": {"nothing": "1"}},
        {"verdict": "right", "values": {"kind": "fern"}},
        {"verdict": "right", "values": {"tags": []}},
        {"verdict": "right", "values": {"height": "tall"}},
        {"verdict": "right", "values": []},
        {"verdict": "right", "fingerprint": "another answer"},
        {"verdict": "right", "id": "nobody"},
    ):
        with pytest.raises(AssertionError):
            judge(server, **{"model": "kinds", **answer, "values": {}, **wrong})
    assert len((root / "reviews/kinds.jsonl").read_text().splitlines()) == len(lines)


TYPES = {
    "label": "ENUM('a', 'b')",
    "flag": "BOOLEAN",
    "many": "ENUM('x', 'y', 'z')[]",
    "flags": "BOOLEAN[]",
    "counts": "INTEGER[]",
    "huge": "HUGEINT",
    "price": "DECIMAL(12, 3)",
    "share": "DOUBLE",
    "day": "DATE",
    "moment": "TIMESTAMP",
    "part": "STRUCT(a INTEGER, b VARCHAR)",
    "parts": "STRUCT(a BOOLEAN, b DATE)[]",
    "line": "VARCHAR",
    "lines": "VARCHAR[]",
}


@pytest.mark.few(0)
def test_what_a_person_confirms_is_what_is_published(tmp_path: Path) -> None:
    """Of every type, in the table of reviews as in the table of answers; and so is what a person
    types of what can be typed."""
    ddl = ", ".join(f"{name} {kind}" for name, kind in TYPES.items())
    prompt = f"---\nkey: id\noutput: {json.dumps(ddl)}\n---\nuser:\n{{{{ name }}}}\n"
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        (root / "models/kinds.prompt.md").write_text(prompt)
        opened(root).run()
    with serving(root) as page:
        queue = ask(page, "review", model="kinds")
        for answer in queue["answers"]:
            judge(page, model="kinds", **answer, verdict="right", values={}, queue="random")
        figures = ask(page, "site")["reviews"]["kinds"]["likely"]
        assert {each["column"]: each["share"] for each in figures} == dict.fromkeys(
            (*TYPES, None), 1.0
        )
        opened(root).seed()
        same = opened(root).sql("FROM kinds EXCEPT ALL FROM kinds_review")
        assert same.rows == ()
        values = {"flag": "true", "huge": str(2**70), "counts": ["7", "-8"], "day": "2024-02-29"}
        values |= {"part": '{"a": 5, "b": "it\'s"}', "price": "1.250", "flags": ["false"]}
        judge(page, model="kinds", **queue["answers"][0], verdict="right", values=values)
    opened(root).seed()
    key = queue["answers"][0]["id"]
    (row,) = opened(root).sql(
        f"SELECT flag, huge, counts, day::VARCHAR, part, price::VARCHAR, flags FROM kinds_review "
        f"WHERE id = {key}"
    )
    assert row == (
        True,
        2**70,
        [7, -8],
        "2024-02-29",
        {"a": 5, "b": "it's"},
        "1.250",
        [False],
    )


@pytest.mark.few(0)
def test_what_is_odd_about_a_model_hides_no_other(tmp_path: Path) -> None:
    """Columns called as the page's own SQL calls its own, a key that has changed, a prompt that is
    gone, versions that cannot be compared: each leaves the rest of the page as it is."""
    odd = PROMPT_OF_ODD_NAMES
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        for name in ("odd", "gone", "rekeyed", "textual"):
            select = "SELECT id, name FROM plants"
            write(root, {f"models/{name}.sql": f"{select}\n", f"models/{name}.prompt.md": odd})
        text = "---\nkey: id\noutput: line VARCHAR\nresponse_format: text\n---\nuser:\n{{ name }}\n"
        (root / "models/textual.prompt.md").write_text(text)
        opened(root).run()
        (root / "models/textual.prompt.md").write_text(text.replace("response_format: text\n", ""))
        opened(root).run("textual")
        (root / "models/gone.prompt.md").unlink()
        write(root, {"models/rekeyed.prompt.md": odd.replace("key: id", "key: name")})
        with serving(root) as page:
            site = ask(page, "site")
            assert site["problem"] == ""
            assert {model["name"] for model in site["models"]} >= {
                "odd",
                "gone",
                "rekeyed",
                "kinds",
            }
            labels = next(model["labels"] for model in site["models"] if model["name"] == "odd")
            assert {each["column"] for each in labels} == {"now", "before", "label"}
            for name in ("odd", "rekeyed", "kinds", "textual"):
                assert len(ask(page, "page", model=name)["rows"]) == 4
            export = build_export(page.viewer, ExportBounds())
            assert {"odd", "rekeyed", "kinds", "textual"} <= export["models"].keys()


PROMPT_OF_ODD_NAMES = """
    ---
    key: id
    output: |
      now ENUM('a', 'b') NOT NULL, before ENUM('a', 'b')[] NOT NULL, label BOOLEAN NOT NULL,
      answered_at VARCHAR, asked VARCHAR, known VARCHAR, n INTEGER, c0 VARCHAR, custom_id VARCHAR,
      outcome VARCHAR, "key" VARCHAR
    ---
    user:
    {{ name }}
"""


def test_an_export_is_bounded_and_says_so(garden: tuple[Path, ViewServer]) -> None:
    root, server = garden
    whole = build_export(server.viewer, ExportBounds())
    assert whole["site"]["bounds"] == []
    assert len(whole["models"]["kinds"]["rows"]) == 300
    assert whole["models"]["kinds"]["details"][4]["messages"][0]["role"] == "system"
    life = whole["models"]["kinds"]["details"][4]["life"]
    known = ask(server, "row", model="kinds", n=4)["life"]
    assert [event["answer"] for event in life] == [event["answer"] for event in known]
    few = build_export(server.viewer, ExportBounds(rows=100, raw=False))
    failed = [row for row in whole["models"]["kinds"]["rows"] if row[1] != "ok"]
    assert len(few["models"]["kinds"]["rows"]) == 100
    assert [row for row in few["models"]["kinds"]["rows"] if row[1] != "ok"] == failed
    assert any("100 of 300 rows of kinds" in sentence for sentence in few["site"]["bounds"])
    assert "details" not in few["models"]["kinds"]
    small = build_export(server.viewer, ExportBounds(size=60_000))
    assert len(dump_json(small)) < 61_000
    assert any("too large" in sentence for sentence in small["site"]["bounds"])
    with pytest.raises(EnrichError, match="the page alone takes"):
        render_export(server.viewer, ExportBounds(size=1_000))
    text = render_export(server.viewer, ExportBounds())
    assert '<script type="application/json"' in text
    # Nothing ends the block of data early, whatever the cells hold.
    data = text.split('id="data">', 1)[1].split("</script>", 1)[0]
    assert json.loads(data)["models"]["kinds"]["all"] == 300
    assert str(root) not in text


def test_a_notebook_shows_the_page_in_a_sandbox(garden: tuple[Path, ViewServer]) -> None:
    root, _ = garden
    frame = opened(root).view("kinds", rows=10)._repr_html_()
    assert frame.startswith('<iframe sandbox="allow-scripts"')
    assert "allow-same-origin" not in frame
    rows = opened(root).sql("SELECT '</script><b>' AS evil, 1.5::DECIMAL(4,2) AS price")
    assert "</script><b>" not in rows._repr_html_()
    with pytest.raises(EnrichError):
        opened(root).view("nothing")


@given(st.recursive(st.none() | st.text() | st.integers(), st.lists, max_leaves=5))
def test_data_inside_a_page_is_the_data(value: Any) -> None:
    text = dump_json(value)
    assert "<" not in text
    assert json.loads(text) == value


def test_the_page_is_one_file_of_a_bounded_size() -> None:
    assert len(Page().render_live()) < 100_000


def test_questions_that_arrive_in_another_order(garden: tuple[Path, ViewServer]) -> None:
    """Of a tab, only the last one that was asked is answered; other tabs are left alone."""
    server = garden[1]
    words = {"model": "kinds", "search": "ash"}
    assert ask(server, "page", tab="a", number=5, **words)["rows"]
    assert ask(server, "page", tab="a", number=3, **words) == {"superseded": True}
    assert ask(server, "page", tab="a", number=6, **words)["rows"]
    assert ask(server, "page", tab="b", number=0, **words)["rows"]


EXACT = (
    '{"price": 123456789012345678.91, "shares": [0.12345678901234567891], '
    '"more": "{\\"a\\": 0.1234567890123456789012345}", '
    '"deep": {"JSON": "0.1234567890123456789012345", "n": 123456789012345678901234567890, '
    '"d": 1234567890123456789.123456789}, '
    '"items": ["{\\"a\\": 0.1234567890123456789012345}", "123456789012345678901234567890"]}'
)


def test_a_review_keeps_every_digit(tmp_path: Path) -> None:
    """What is confirmed is what was published, also where a float could not hold it."""

    def rewrite(line: dict[str, Any]) -> dict[str, Any]:
        line["response"]["body"]["choices"][0]["message"]["content"] = EXACT
        return line

    ddl = (
        'price DECIMAL(20, 2), shares DECIMAL(38, 20)[], more JSON, deep STRUCT("JSON" JSON, '
        "n HUGEINT, d DECIMAL(38, 9)), items JSON[]"
    )
    prompt = f"---\nkey: id\noutput: {json.dumps(ddl)}\n---\nuser:\n{{{{ name }}}}\n"
    with Rehearsal(rewrite=rewrite) as server:
        root = plants(tmp_path, server)
        (root / "models/kinds.prompt.md").write_text(prompt)
        opened(root).run()
    with serving(root) as page:
        for answer in ask(page, "review", model="kinds")["answers"]:
            judge(page, model="kinds", **answer, verdict="right", values={}, queue="random")
        typed = {"price": "123456789012345678.91", "more": '{"a":0.5}'}
        said = judge(page, model="kinds", **answer, verdict="right", values=typed)
        assert said["saved"] == "corrected"
    project = opened(root)
    project.seed()
    (row,) = project.sql("SELECT DISTINCT price::VARCHAR, shares::VARCHAR FROM kinds_review")
    assert row == ("123456789012345678.91", "[0.12345678901234567891]")
    (row,) = project.sql("SELECT count(*) FROM (FROM kinds EXCEPT ALL FROM kinds_review)")
    assert row == (1,)  # the one that has been corrected
