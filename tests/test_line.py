"""The whole line, from a SELECT to a table, against a real server that speaks the Batch API."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import duckdb
import pytest
from folders import PROMPT, SEED, Ears, opened, plants, write

from enrich.rehearsal import Faults, Quirks, Rehearsal, answer

if TYPE_CHECKING:
    from pathlib import Path


def test_a_select_and_a_prompt_become_a_table(tmp_path: Path) -> None:
    """Each row of the SELECT has the answer to its own request, typed, under its own key."""
    with Rehearsal() as server:
        project = opened(plants(tmp_path, server))
        (state,) = project.run("kinds")
        assert (state.rows, state.ok, state.failed, state.busy) == (4, 4, 0, False)
        body = project.compile("kinds")["request"]["body"]
        types = project.sql("DESCRIBE kinds").rows
        assert [(row[0], row[1]) for row in types] == [
            ("id", "BIGINT"),
            ("kind", "ENUM('tree', 'shrub')"),
            ("tags", "VARCHAR[]"),
            ("height", "DOUBLE"),
            ("line", "VARCHAR"),
        ]
        first = project.sql("SELECT kind, tags, height, line FROM kinds ORDER BY id").rows[0]
        expected = json.loads(answer(body))
        assert first == (
            expected["kind"],
            expected["tags"],
            expected["height"],
            expected["line"],
        )


def test_the_request_names_the_row_and_shares_its_start(tmp_path: Path) -> None:
    """What is the same for every row comes first; the schema is strict and complete."""
    with Rehearsal() as server:
        project = opened(plants(tmp_path, server))
        request = project.compile("kinds")["request"]
    assert request["custom_id"] == "1"
    assert request["url"] == "/v1/chat/completions"
    assert list(request["body"])[-1] == "messages"
    assert request["body"]["messages"] == [
        {"role": "system", "content": "You know plants."},
        {"role": "user", "content": "ash: tall"},
    ]
    form = request["body"]["response_format"]["json_schema"]
    assert form["strict"] is True
    assert form["schema"]["required"] == ["kind", "tags", "height", "line"]
    assert form["schema"]["additionalProperties"] is False
    assert form["schema"]["properties"]["height"]["type"] == ["number", "null"]
    assert form["schema"]["properties"]["tags"] == {
        "type": "array",
        "items": {"type": "string"},
        "minItems": 1,
        "maxItems": 3,
    }
    assert form["schema"]["properties"]["kind"]["description"] == "what it is"


def test_a_second_run_asks_nothing(tmp_path: Path) -> None:
    """What is answered is not asked again; the table is published all the same."""
    with Rehearsal() as server:
        project = opened(plants(tmp_path, server))
        project.run()
        (state,) = project.run()
        assert state.requests == 0
        assert state.ok == 4
        assert len(server.batches) == 1


def test_only_what_is_new_is_asked(tmp_path: Path) -> None:
    """A new row and a changed row are asked, the others are not; a row that is gone is gone."""
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        opened(root).run()
        write(root, {"seeds/plants.csv": "id,name,note\n1,ash,tall\n2,birch,grey\n5,elm,\n"})
        (state,) = opened(root).run()
        assert (state.rows, state.requests, state.ok) == (3, 2, 3)
        ids = opened(root).sql("SELECT id FROM kinds ORDER BY id").rows
        assert ids == ((1,), (2,), (5,))


def test_equal_requests_are_sent_once(tmp_path: Path) -> None:
    """Rows that ask the same share one request, and each has its answer."""
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        write(root, {"seeds/plants.csv": "id,name,note\n1,ash,x\n2,ash,x\n3,ash,x\n"})
        (state,) = opened(root).run()
        assert (state.requests, state.ok) == (1, 3)
        assert opened(root).sql("SELECT count(DISTINCT line), count(*) FROM kinds").rows == (
            (1, 3),
        )


def test_going_back_to_an_old_prompt_is_free(tmp_path: Path) -> None:
    """The ledger keeps the answers to every prompt."""
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        opened(root).run()
        before = opened(root).sql("SELECT * FROM kinds ORDER BY id").rows
        write(root, {"models/kinds.prompt.md": PROMPT.replace("You know", "You love")})
        (changed,) = opened(root).run()
        assert changed.requests == 4
        write(root, {"models/kinds.prompt.md": PROMPT})
        (back,) = opened(root).run()
        assert back.requests == 0
        assert opened(root).sql("SELECT * FROM kinds ORDER BY id").rows == before
        assert server.bill.requests.total() == 8


def test_a_warehouse_that_was_deleted_costs_nothing(tmp_path: Path) -> None:
    """Everything in the warehouse can be made again from the ledger."""
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        opened(root).run()
        before = opened(root).sql("SELECT * FROM kinds ORDER BY id").rows
        (root / "warehouse.duckdb").unlink()
        (state,) = opened(root).run()
        assert state.requests == 0
        assert opened(root).sql("SELECT * FROM kinds ORDER BY id").rows == before


def test_a_log_that_was_left_behind_stops_nothing(tmp_path: Path) -> None:
    """A warehouse removed after a crash, without its log: the new one has nothing to do with it."""
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        opened(root).run()
        (root / "warehouse.duckdb").unlink()
        (root / "warehouse.duckdb.wal").write_bytes(b"of another database")
        (state,) = opened(root).run()
        assert (state.ok, server.bill.requests.total()) == (4, 4)


def test_a_ledger_of_an_earlier_enrich_is_read(tmp_path: Path) -> None:
    """Columns that came later are added; what was paid for is found."""
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        opened(root).run()
        with duckdb.connect(str(root / "ledger.duckdb")) as ledger:
            ledger.execute("ALTER TABLE batches DROP COLUMN uploading_at")
            ledger.execute("DROP TABLE unused_files")
        write(root, {"seeds/plants.csv": SEED + "5,elm,\n"})
        (state,) = opened(root).run()
        assert (state.ok, server.bill.requests.total()) == (5, 5)


def test_another_check_judges_the_same_answers(tmp_path: Path) -> None:
    """A CHECK is not part of a request: answers that were paid for are judged again, not asked."""
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        opened(root).run()
        strict = PROMPT.replace("line   VARCHAR NOT NULL", "line VARCHAR NOT NULL CHECK (false)")
        write(root, {"models/kinds.prompt.md": strict.replace("key: id", "key: id\n    retry: []")})
        (state,) = opened(root).run(accept_drift=True)
        assert (state.requests, dict(state.outcomes)) == (0, {"invalid": 4})
        reasons = opened(root).sql("SELECT DISTINCT error FROM enrich.kinds").rows
        assert reasons == (("CHECK (false) failed",),)
        write(root, {"models/kinds.prompt.md": PROMPT})
        (state,) = opened(root).run()
        assert (state.requests, state.ok) == (0, 4)
        assert server.bill.requests.total() == 4


def test_a_pending_row_keeps_its_previous_answer(tmp_path: Path) -> None:
    """While a changed row waits for its new answer, the table shows the old one, marked stale."""
    with Rehearsal(faults=Faults(batch_stuck=(1,))) as server:
        root = plants(tmp_path, server)
        opened(root).run()
        before = opened(root).sql("SELECT * FROM kinds ORDER BY id").rows
        write(root, {"seeds/plants.csv": SEED.replace("tall", "short")})
        (state,) = opened(root).run(detach=True)
        assert state.busy
        assert opened(root).sql("SELECT * FROM kinds ORDER BY id").rows == before
        stale = opened(root).sql("SELECT id, outcome, stale FROM enrich.kinds ORDER BY id").rows
        assert stale[0] == (1, None, True)
        assert {row[2] for row in stale[1:]} == {False}


@pytest.mark.few(0)
def test_a_previous_answer_keeps_its_columns(tmp_path: Path) -> None:
    """Those that still exist; where none does, the table stays as it was until answers are in."""
    with Rehearsal(faults=Faults(batch_stuck=(1, 2, 3))) as server:
        root = plants(tmp_path, server)
        opened(root).run()
        more = PROMPT.replace("line   VARCHAR NOT NULL", "line VARCHAR NOT NULL, extra DATE")
        write(root, {"models/kinds.prompt.md": more})
        opened(root).run(detach=True)
        kept = opened(root).sql("SELECT count(*), count(line), count(extra) FROM kinds").rows
        assert kept == ((4, 4, 0),)
        opened(root).cancel(forget=True)
        for text in (
            "---\nkey: id\noutput: mood VARCHAR NOT NULL\n---\nuser:\n{{ name }}\n",
            "---\nkey: id\nresponse_format: text\noutput: line VARCHAR\n---\nuser:\n{{ name }}\n",
        ):
            write(root, {"models/kinds.prompt.md": text})
            (state,) = opened(root).run(detach=True)
            assert (state.held_back, state.pending) == ((), 4)
            assert opened(root).sql("SELECT count(*), count(extra) FROM kinds").rows == ((4, 0),)
            opened(root).cancel(forget=True)


def test_answers_in_flight_are_judged_by_the_present_output(tmp_path: Path) -> None:
    """A CHECK that came while a batch was under way holds for its answers too."""
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        opened(root).run(detach=True)
        strict = PROMPT.replace("line   VARCHAR NOT NULL", "line VARCHAR NOT NULL CHECK (false)")
        write(root, {"models/kinds.prompt.md": strict.replace("key: id", "key: id\n    retry: []")})
        (state,) = opened(root).run()
        assert dict(state.outcomes) == {"invalid": 4}
        assert opened(root).sql("SELECT count(*) FROM kinds").rows == ((0,),)
        assert server.bill.requests.total() == 4


def test_two_models_may_share_answers_and_differ_in_checks(tmp_path: Path) -> None:
    """Each model's table is judged by its own output, whichever was run last."""
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        strict = PROMPT.replace("line   VARCHAR NOT NULL", "line VARCHAR NOT NULL CHECK (false)")
        write(
            root,
            {
                "models/strict.sql": "SELECT id, name, note FROM plants",
                "models/strict.prompt.md": strict.replace("key: id", "key: id\n    retry: []"),
            },
        )
        for names in (["kinds"], ["strict"], ["kinds"]):
            opened(root).run(*names)
        assert opened(root).sql("SELECT count(*) FROM kinds").rows == ((4,),)
        assert opened(root).sql("SELECT count(*) FROM strict").rows == ((0,),)
        assert server.bill.requests.total() == 4


def test_models_that_ask_the_same_share_one_batch(tmp_path: Path) -> None:
    """What one model has in flight no other sends; both tables are there when it is answered."""
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        write(root, {"models/more.sql": "SELECT * FROM plants", "models/more.prompt.md": PROMPT})
        states = opened(root).run()
        assert [(state.model, state.ok) for state in states] == [("kinds", 4), ("more", 4)]
        assert (len(server.batches), server.bill.requests.total()) == (1, 4)


def test_a_select_may_become_empty(tmp_path: Path) -> None:
    """No rows are no error: the table is there, and empty."""
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        write(root, {"models/kinds.sql": "SELECT id, name, note FROM plants WHERE false"})
        (state,) = opened(root).run()
        assert (state.rows, state.requests) == (0, 0)
        write(root, {"models/kinds.sql": "SELECT id, name, note FROM plants"})
        opened(root).run()
        write(root, {"models/kinds.sql": "SELECT id, name, note FROM plants WHERE false"})
        opened(root).run(accept_drift=True)
        assert opened(root).sql("SELECT count(*) FROM kinds").rows == ((0,),)


def test_a_list_in_a_template_is_text(tmp_path: Path) -> None:
    """Whatever type an expression has, the message stays one text."""
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        text = PROMPT.replace("{{ name }}: {{ coalesce(note, 'nothing') }}", "{{ [name, note] }}")
        write(root, {"models/kinds.prompt.md": text})
        body = opened(root).compile("kinds")["request"]["body"]
        assert body["messages"][-1]["content"] == "[ash, tall]"


def test_detach_and_status_fetch_later(tmp_path: Path) -> None:
    """`run --detach` returns after submitting; `status` polls, loads and publishes."""
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        (state,) = opened(root).run(detach=True)
        assert state.busy
        assert state.batches[0].status == "validating"
        seen = [state.batches[0].status or ""]
        while state.busy:
            (state,) = opened(root).status()
            seen += [batch.status or "" for batch in state.batches]
        assert seen == ["validating", "in_progress", "finalizing"]
        assert state.ok == 4
        assert opened(root).sql("SELECT count(*) FROM kinds").rows == ((4,),)


def test_batches_are_cut_and_every_row_comes_back(tmp_path: Path) -> None:
    """A batch holds no more requests than its provider takes."""
    with Rehearsal() as server:
        root = plants(tmp_path, server, max_requests=3)
        (state,) = opened(root).run()
        assert state.ok == 4
        assert sorted(batch["request_counts"]["total"] for batch in server.batches) == [1, 3]


QUIRKS = [
    Quirks(),
    Quirks(body_as_string=True),
    Quirks(no_error_key=True, no_response_key=True),
    Quirks(blank_lines=True, crlf=True),
    Quirks(bom=True),
    Quirks(one_file=True),
    Quirks(empty_ids=True),
    Quirks(empty_error_file=True),
    Quirks(no_counts=True),
    Quirks(unknown_status=True),
    Quirks(body_as_string=True, no_error_key=True, one_file=True, crlf=True, blank_lines=True),
]


@pytest.mark.parametrize("quirks", QUIRKS, ids=lambda quirks: str(quirks)[:60])
@pytest.mark.few(4)
def test_compatible_servers_give_the_same_table(tmp_path: Path, quirks: Quirks) -> None:
    """However a server writes its lines, the rows and their outcomes are the same."""
    faults = Faults(http_400=0.2, doubled=0.3)
    tables = []
    for name, these in (("plain", Quirks()), ("odd", quirks)):
        with Rehearsal(faults=faults, quirks=these, seed=5) as server:
            root = plants(tmp_path / name, server)
            rows = "".join(f"{number},plant {number},note\n" for number in range(40))
            write(root, {"seeds/plants.csv": f"id,name,note\n{rows}"})
            (state,) = opened(root).run()
            assert sum(state.outcomes.values()) == 40
            assert set(state.outcomes) == {"ok", "error"}
            tables.append(
                opened(root)
                .sql(
                    "SELECT id, outcome, line FROM enrich.kinds LEFT JOIN kinds USING (id) "
                    "ORDER BY id"
                )
                .rows
            )
    assert tables[0] == tables[1]


FAULTS = {
    "dropped": "missing",
    "http_500": "error",
    "http_429": "error",
    "status_0": "error",
    "malformed": "invalid",
    "off_schema": "invalid",
    "refused": "refused",
    "truncated": "truncated",
    "no_content": "error",
    "unfinished": "error",
}


@pytest.mark.parametrize(("fault", "outcome"), FAULTS.items())
@pytest.mark.few(5)
def test_a_row_that_fails_is_a_row_with_an_outcome(
    tmp_path: Path, fault: str, outcome: str
) -> None:
    """Whatever comes back, no row is lost: sent = ok + every other outcome, each with a reason."""
    with Rehearsal(faults=Faults(**{fault: 1.0})) as server:
        root = plants(tmp_path, server)
        ears = Ears()
        (state,) = opened(root, ears).run()
        assert dict(state.outcomes) == {outcome: 4}
        reasons = opened(root).sql("SELECT error FROM enrich.kinds").rows
        assert all(reason for (reason,) in reasons)
        assert any(f"4 sent = 4 {outcome}" in sentence for sentence in ears.said)
        assert opened(root).sql("SELECT count(*) FROM kinds").rows == ((0,),)


def test_what_may_be_asked_again_is_and_comes_right(tmp_path: Path) -> None:
    """Rows that failed in passing are asked again in the same run, only those."""
    with Rehearsal(faults=Faults(http_500=0.3, dropped=0.1), seed=3) as server:
        root = plants(tmp_path, server)
        rows = "".join(f"{number},plant {number},note\n" for number in range(40))
        write(root, {"seeds/plants.csv": f"id,name,note\n{rows}"})
        write(
            root,
            {"models/kinds.prompt.md": PROMPT.replace("key: id", "key: id\n    max_attempts: 9")},
        )
        (state,) = opened(root).run()
        assert dict(state.outcomes) == {"ok": 40}
        sizes = [batch["request_counts"]["total"] for batch in server.batches]
        assert len(sizes) > 1
        assert sum(sizes) < 80


@pytest.mark.parametrize("quirk", ["no_response_key", "no_error_key"])
@pytest.mark.few(0)
def test_an_error_in_any_shape_is_asked_again(tmp_path: Path, quirk: str) -> None:
    """Also one whose line has an `error` and no `response`, and so no HTTP status."""
    quirks = Quirks(**{quirk: True})
    with Rehearsal(faults=Faults(http_500=0.5), quirks=quirks, seed=2) as server:
        root = plants(tmp_path, server, max_requests=1)
        patient = PROMPT.replace("key: id", "key: id\n    max_attempts: 20")
        write(root, {"models/kinds.prompt.md": patient})
        (state,) = opened(root).run()
        assert state.ok == 4
        assert len(server.batches) > 4


def test_a_stranger_among_the_lines_hides_nothing(tmp_path: Path) -> None:
    """A line that nobody asked for does not stand in for one that was."""
    with Rehearsal(faults=Faults(refused=0.4), seed=4) as server:
        root = plants(tmp_path, server)
        project = opened(root)
        provider = project.provider("api")
        real = type(provider).fetch

        def fetch(file: str, path: Path) -> None:
            real(provider, file, path)
            lines = path.read_text().splitlines()
            path.write_text("\n".join([*lines, *(_stranger(lines, n) for n in range(9))]) + "\n")

        object.__setattr__(provider, "fetch", fetch)
        (state,) = project.run()
        assert 0 < state.outcomes["refused"] < 4
        assert sum(state.outcomes.values()) == 4
        assert (len(server.batches), server.bill.repeated) == (1, {})


def _stranger(lines: list[str], number: int) -> str:
    good = next(line for line in lines if '"refusal": null' in line or '"refusal":null' in line)
    return json.dumps(json.loads(good) | {"custom_id": f"stranger-{number}"})


def test_what_somebody_changed_in_the_table_is_made_good(tmp_path: Path) -> None:
    """A table that was edited, or lost a column, is not what the ledger says: it is made again."""
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        opened(root).run()
        before = opened(root).sql("SELECT * FROM kinds ORDER BY id").rows
        for change in ("ALTER TABLE kinds DROP COLUMN height", "UPDATE kinds SET line = 'mine'"):
            opened(root).sql(change)
            opened(root).run()
            assert opened(root).sql("SELECT * FROM kinds ORDER BY id").rows == before
        assert server.bill.requests.total() == 4


def test_a_clock_that_is_put_back_hides_no_answer(tmp_path: Path) -> None:
    """What was read is counted, not dated."""
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        opened(root).run()
        with duckdb.connect(str(root / "ledger.duckdb")) as ledger:
            ledger.execute("UPDATE batches SET read_at = read_at + INTERVAL 1 DAY")
            ledger.execute("UPDATE runs SET published_at = published_at + INTERVAL 1 DAY")
        write(root, {"seeds/plants.csv": SEED + "5,elm,\n"})
        (state,) = opened(root).run()
        assert state.ok == 5
        assert opened(root).sql("SELECT count(*) FROM kinds").rows == ((5,),)


@pytest.mark.few(0)
def test_attempts_end(tmp_path: Path) -> None:
    """A row that keeps failing is asked max_attempts times, keeps its reason, and stays so until
    `retry` asks for it."""
    with Rehearsal(faults=Faults(http_500=1.0)) as server:
        root = plants(tmp_path, server)
        opened(root).run()
        assert len(server.batches) == 3
        (state,) = opened(root).run()
        assert (state.requests, len(server.batches)) == (0, 3)
        (state,) = opened(root).run(retry=True)
        assert (state.requests, len(server.batches)) == (4, 6)
        assert dict(state.outcomes) == {"error": 4}


def test_a_bad_request_is_not_repeated(tmp_path: Path) -> None:
    """HTTP 400 says the request itself is wrong: asking again would say so again."""
    with Rehearsal(faults=Faults(http_400=1.0)) as server:
        (state,) = opened(plants(tmp_path, server)).run()
        assert (dict(state.outcomes), len(server.batches)) == ({"error": 4}, 1)


def test_an_output_file_that_comes_late_is_waited_for(tmp_path: Path) -> None:
    """`completed` without its files is polled again before any row counts as missing."""
    with Rehearsal(faults=Faults(batch_late_files=1.0)) as server:
        (state,) = opened(plants(tmp_path, server)).run()
        assert (state.ok, len(server.batches)) == (4, 1)


def test_a_batch_without_any_file_is_all_missing(tmp_path: Path) -> None:
    """A provider that gives no file at all: every row is missing, and asked again."""
    with Rehearsal(faults=Faults(batch_without_files=(0,))) as server:
        root = plants(tmp_path, server)
        ears = Ears()
        (state,) = opened(root, ears).run()
        assert state.ok == 4
        assert any("4 sent = 4 missing" in sentence for sentence in ears.said)


def test_an_expired_batch_keeps_what_was_answered(tmp_path: Path) -> None:
    """The files of an expired batch are read; only what was not run is asked again."""
    with Rehearsal(faults=Faults(batch_expired=(0,))) as server:
        root = plants(tmp_path, server)
        ears = Ears()
        (state,) = opened(root, ears).run()
        assert state.ok == 4
        assert server.batches[0]["status"] == "expired"
        assert any("expired: 4 sent = 2 expired, 2 ok" in sentence for sentence in ears.said)
        assert server.bill.requests.total() == 4


def test_a_batch_that_fails_as_a_whole_says_why(tmp_path: Path) -> None:
    """Nothing of a failed batch was run: its rows stay pending, and the next run asks them."""
    with Rehearsal(faults=Faults(batch_failed=(0,))) as server:
        root = plants(tmp_path, server)
        (state,) = opened(root).run()
        assert state.failure
        assert (state.ok, state.busy, server.bill.requests.total()) == (0, False, 0)
        (state,) = opened(root).run()
        assert (state.ok, state.failure) == (4, "")


def test_a_full_queue_is_waited_for(tmp_path: Path) -> None:
    """token_limit_exceeded puts a batch back in the queue; it is no attempt and costs nothing."""
    with Rehearsal(enqueued_tokens=400) as server:
        root = plants(tmp_path, server, max_requests=1)
        (state,) = opened(root).run()
        assert state.ok == 4
        assert {batch["status"] for batch in server.batches} == {"completed", "failed"}
        assert opened(root).sql("SELECT max(attempt) FROM ledger.responses").rows == ((1,),)
        assert server.bill.requests.total() == 4


def test_a_known_queue_is_never_overfilled(tmp_path: Path) -> None:
    """With the limit in project.yml, batches are released as others end, and none is refused."""
    with Rehearsal(enqueued_tokens=400) as server:
        root = plants(tmp_path, server, max_requests=1, enqueued_tokens=400)
        (state,) = opened(root).run()
        assert state.ok == 4
        assert {batch["status"] for batch in server.batches} == {"completed"}


def test_cancel_keeps_what_was_answered(tmp_path: Path) -> None:
    """A cancelled batch ends; nothing is asked again until the next run."""
    with Rehearsal(faults=Faults(batch_stuck=(0,))) as server:
        root = plants(tmp_path, server)
        opened(root).run(detach=True)
        (batch,) = opened(root).cancel("kinds")
        assert batch.status == "cancelling"
        (state,) = opened(root).status()
        while state.busy:
            (state,) = opened(root).status()
        assert len(server.batches) == 1
        (state,) = opened(root).run()
        assert state.ok == 4


def test_a_create_whose_answer_is_lost_is_adopted(tmp_path: Path) -> None:
    """The batch exists although nobody heard so: it is found by its metadata, not made again."""
    with Rehearsal() as server:
        server.script("POST /v1/batches", ["lost"])
        (state,) = opened(plants(tmp_path, server)).run()
        assert (state.ok, len(server.batches), server.bill.requests.total()) == (4, 1, 4)


def test_other_models_read_the_table(tmp_path: Path) -> None:
    """A plain SQL model joins an enrichment with its source, and runs after it."""
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        write(
            root,
            {"models/report/all_kinds.sql": "SELECT * FROM plants JOIN kinds USING (id);\n"},
        )
        opened(root).run()
        assert opened(root).sql("SELECT count(*) FROM all_kinds").rows == ((4,),)


def test_provenance_is_a_table(tmp_path: Path) -> None:
    """`enrich.NAME` has one row a row: what became of it, by whom, and at how many tokens."""
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        opened(root).run()
        rows = opened(root).sql(
            "SELECT id, outcome, error, llm, attempt, input_tokens > 0, output_tokens > 0, stale, "
            "len(fingerprint), batch LIKE 'kinds-%' FROM enrich.kinds ORDER BY id"
        )
        assert rows.rows[0] == (1, "ok", None, "gpt-4o-mini", 1, True, True, False, 32, True)


def test_the_responses_endpoint_gives_the_same_kind_of_table(tmp_path: Path) -> None:
    """`endpoint: /v1/responses` has another body and another answer, and the same result."""
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        text = PROMPT.replace("key: id", "key: id\n    endpoint: /v1/responses")
        write(root, {"models/kinds.prompt.md": text})
        (state,) = opened(root).run()
        assert state.ok == 4
        tokens = opened(root).sql("SELECT min(input_tokens) > 0 FROM enrich.kinds").rows
        assert tokens == ((True,),)


@pytest.mark.parametrize("form", ["json_object", "text"])
def test_other_response_formats(tmp_path: Path, form: str) -> None:
    """`json_object` is read like a schema's answer; `text` is the raw answer in one VARCHAR."""
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        output = "line VARCHAR NOT NULL" if form == "text" else "line VARCHAR"
        write(
            root,
            {
                "models/kinds.prompt.md": f"---\nkey: id\nresponse_format: {form}\nretry: []\n"
                f"output: {output}\n---\nAnswer in JSON.\nuser:\n{{{{ name }}}}\n"
            },
        )
        (state,) = opened(root).run()
        rows = opened(root).sql("SELECT content, outcome FROM ledger.responses").rows
        assert len(rows) == 4
        if form == "text":
            assert state.ok == 4
            table = opened(root).sql("SELECT line FROM kinds").rows
            assert sorted(table) == sorted((content,) for content, _ in rows)


@pytest.mark.few(0)
def test_many_batches_are_one_line_and_one_poll_each(tmp_path: Path) -> None:
    """Each turn asks once for each open batch; the ledger keeps how each batch added up."""
    with Rehearsal() as server:
        rows = "".join(f"{number},plant {number},\n" for number in range(25))
        root = plants(tmp_path, server, max_requests=1)
        write(root, {"seeds/plants.csv": f"id,name,note\n{rows}"})
        opened(root).preview("kinds", limit=1)  # so that no batch needs to go ahead of the others
        opened(root).run(detach=True)
        before = server.sends("GET /v1/batches/{id}")
        (state,) = opened(root).status()
        assert len(state.batches) == 24
        assert server.sends("GET /v1/batches/{id}") == before + 24
        (state,) = opened(root).run()
        kept = opened(root).sql("SELECT outcomes, count(*) FROM ledger.batches GROUP BY ALL")
        assert kept.rows == (('{"ok": 1}', 25),)


def test_a_bad_byte_loses_no_answer(tmp_path: Path) -> None:
    """Every line holds one; every answer is published, and none is asked twice."""
    with Rehearsal(faults=Faults(bad_byte=1.0)) as server:
        (state,) = opened(plants(tmp_path, server)).run()
        assert (state.ok, server.bill.total) == (4, 4)


def test_progress_counts_the_rows_over_all_rounds(tmp_path: Path) -> None:
    """What is asked again is not counted twice; what failed for good is, and what was spent."""
    with Rehearsal(faults=Faults(http_500=0.4, off_check=0.2), seed=3) as server:
        root = plants(tmp_path, server, max_requests=10)
        rows = "".join(f"{number},plant {number},\n" for number in range(50))
        write(root, {"seeds/plants.csv": f"id,name,note\n{rows}"})
        ears = Ears()
        (state,) = opened(root, ears).run()
    assert {each.total for each in ears.seen} == {50}
    assert len(server.batches) > 6
    assert max(each.answered for each in ears.seen) == ears.seen[-1].answered == 50
    assert ears.seen[-1].failed == state.failed
    assert ears.seen[-1].state == "done"
    assert (ears.seen[-1].spent or 0) > 0


def test_models_that_ask_the_same_share_what_is_asked_again(tmp_path: Path) -> None:
    """One of them sends it; the table of the other one has the answer as well."""
    with Rehearsal(faults=Faults(off_schema=0.4), seed=3) as server:
        root = plants(tmp_path, server)
        lines = "".join(f"{number},plant {number},\n" for number in range(20))
        prompt = (root / "models/kinds.prompt.md").read_text(encoding="utf-8")
        write(
            root,
            {
                "seeds/plants.csv": f"id,name,note\n{lines}",
                "models/same.sql": "SELECT * FROM plants\n",
                "models/same.prompt.md": prompt,
            },
        )
        one, other = opened(root).run()
        assert (one.ok, one.failed) == (other.ok, other.failed)
        assert server.bill.total > 20
        assert len(opened(root).sql("FROM kinds EXCEPT FROM same")) == 0


def test_models_that_ask_the_same_judge_by_their_own_output(tmp_path: Path) -> None:
    """What one of them calls invalid is not so for the other one, nor is it asked about again."""
    strict = PROMPT.replace("line   VARCHAR NOT NULL", "line   VARCHAR NOT NULL CHECK (line = '')")
    kept = PROMPT.replace("key: id", "key: id\n    on_change: new").replace("know", "love")
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        opened(root).run()
        write(root, {"models/kinds.prompt.md": kept})
        opened(root).run()
        strict = strict.replace("key: id", "key: id\n    max_attempts: 1")
        write(root, {"models/same.sql": "SELECT id, name, note FROM plants\n"})
        write(root, {"models/same.prompt.md": strict})
        (state,) = opened(root).run("same")
        assert (state.ok, state.failed, server.bill.total) == (0, 4, 4)
        assert len(opened(root).failures("same").rows) == 4
        assert len(opened(root).failures("kinds").rows) == 0
        write(root, {"seeds/plants.csv": SEED + "9,fern,\n"})
        (plan,) = opened(root).plan("kinds")
        assert (plan.to_ask, plan.states) == (1, {"kept": 4})
        (state,) = opened(root).run("kinds")
        assert (state.ok, server.bill.total) == (5, 5)
