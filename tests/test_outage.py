"""Outages: what passes by itself is never a refusal, and drops nothing that was planned."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner
from folders import Ears, opened, plants, settings, write

from enrich.cli import main
from enrich.errors import ProviderError, Unreachable
from enrich.pipeline.turn import advance_batches
from enrich.rehearsal import Faults, Quirks, Rehearsal

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result

UPLOAD, CREATE, POLL = "POST /v1/files", "POST /v1/batches", "GET /v1/batches/{id}"
CONTENT = "GET /v1/files/{id}/content"
CHAIN = {
    "models/moods.sql": "SELECT id, kind FROM kinds\n",
    "models/moods.prompt.md": "---\nkey: id\noutput: mood VARCHAR NOT NULL\n---\n"
    "user:\n{{ kind }} {{ id }}\n",
}


def enrich(root: Path, *words: str) -> Result:
    return CliRunner().invoke(main, ["--project", str(root), *words])


def rows(count: int) -> str:
    return "id,name,note\n" + "".join(f"{number},plant {number},\n" for number in range(count))


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.few(1)
def test_passing_errors_in_the_first_turn_drop_nothing(tmp_path: Path, seed: int) -> None:
    """Batches whose upload or create met a 429 are sent by the same run."""
    with Rehearsal(faults=Faults(call_429=0.15), seed=seed) as server:
        root = plants(tmp_path, server, max_requests=10)
        write(root, {"seeds/plants.csv": rows(60)})
        (state,) = opened(root).run()
        assert (state.ok, state.pending, state.busy) == (60, 0, False)
        assert server.bill.repeated == {}


@pytest.mark.parametrize("route", [UPLOAD, CREATE, POLL, CONTENT, "GET /v1/files/{id}"])
@pytest.mark.parametrize("step", [429, 500, 503, "reset"])
@pytest.mark.few(2)
def test_an_outage_of_some_turns_is_waited_for(tmp_path: Path, route: str, step: int | str) -> None:
    """On any route; what went wrong is said."""
    with Rehearsal() as server:
        root = plants(tmp_path, server, max_requests=2)
        server.script(route, [step] * 7)  # type: ignore[list-item]
        ears = Ears()
        (state,) = opened(root, ears).run()
        assert (state.ok, state.busy, server.bill.total) == (4, False, 4)
        heard = ("; trying again", "looks for the batch before it asks again")
        assert any(sentence.endswith(heard) or heard[1] in sentence for sentence in ears.said)


def test_an_outage_as_the_second_model_of_a_chain_begins(tmp_path: Path) -> None:
    """The second model is planned when the first one ended, and sent once the outage is over."""
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        write(root, CHAIN)
        server.script(UPLOAD, ["ok", 503, 503, 503])
        server.script(CREATE, ["ok", 429, 429])
        states = opened(root).run()
        assert [state.ok for state in states] == [4, 4]
        assert server.bill.repeated == {}


@pytest.mark.few(0)
def test_an_outage_as_retries_are_planned(tmp_path: Path) -> None:
    """What failed in passing is asked again by the same run, also over an outage."""
    with Rehearsal(faults=Faults(http_500=0.5), seed=4) as server:
        root = plants(tmp_path, server)
        server.script(CREATE, ["ok", 500, 503, 429])
        server.script(UPLOAD, ["ok", 503, "reset"])
        (state,) = opened(root).run()
        assert (state.ok, state.busy) == (4, False)


def test_a_long_outage_leaves_everything_planned(tmp_path: Path) -> None:
    """The exit code is 4 while anything is pending; `status` sends it when the server is back."""
    with Rehearsal() as server:
        root = plants(tmp_path, server, max_requests=2)
        server.script(UPLOAD, [503] * 3)
        first = enrich(root, "run", "--detach")
        assert first.exit_code == 4, first.output
        assert "answered 503" in first.output
        again = enrich(root, "status")
        assert again.exit_code == 4, again.output
        ended = enrich(root, "run")
        assert ended.exit_code == 0, ended.output
        assert server.bill.total == 4


def test_the_first_refusal_is_shown(tmp_path: Path) -> None:
    """A create that is refused is the error, not the table that the next model misses."""
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        write(root, CHAIN)
        server.script(CREATE, [(400, "invalid_request")])
        found = enrich(root, "run")
        assert found.exit_code == 1
        assert "answered 400" in found.output
        assert "moods" not in found.output.partition("error: ")[2]


def test_a_file_that_is_not_ready_is_waited_for(tmp_path: Path) -> None:
    """Its status is asked for before the create, and the file is uploaded once."""
    with Rehearsal(quirks=Quirks(pending_files=3)) as server:
        (state,) = opened(plants(tmp_path, server)).run()
        assert (state.ok, server.sends(UPLOAD), server.sends(CREATE)) == (4, 1, 1)


def test_a_create_that_finds_its_file_pending_comes_again(tmp_path: Path) -> None:
    """A server that tells no status refuses the create instead: the file is kept."""
    with Rehearsal(quirks=Quirks(pending_files=3, no_file_status=True)) as server:
        (state,) = opened(plants(tmp_path, server)).run()
        assert (state.ok, server.sends(UPLOAD)) == (4, 1)
        assert server.sends(CREATE) == 4


@pytest.mark.parametrize("hours", [-30_000, -3, 3, 30_000])
@pytest.mark.few(1)
def test_the_clock_of_the_provider_plays_no_part(tmp_path: Path, hours: int) -> None:
    """A batch and an upload nobody heard of are found, whatever time the provider has."""
    with Rehearsal(clock=hours * 3600) as server:
        server.script(UPLOAD, ["lost"])
        server.script(CREATE, ["lost"])
        (state,) = opened(plants(tmp_path, server)).run()
        assert (state.ok, len(server.batches), len(server.uploads)) == (4, 1, 1)
        assert server.bill.repeated == {}


@pytest.mark.parametrize("fault", ["batch_expired", "batch_cancelled"])
@pytest.mark.few(1)
def test_files_come_late_after_any_end(tmp_path: Path, fault: str) -> None:
    """Counts speak of answers, so their files are waited for: none is asked twice."""
    with Rehearsal(
        faults=Faults(**{fault: (0,)}, batch_late_files=(0,))  # type: ignore[arg-type]
    ) as server:
        root = plants(tmp_path, server, lost_after=1)
        write(root, {"seeds/plants.csv": rows(10)})
        project = opened(root)
        project.run()
        project.run()
        assert server.bill.repeated == {}
        assert project.sql("SELECT count(*) FROM kinds").rows == ((10,),)


def test_a_short_file_is_fetched_again(tmp_path: Path) -> None:
    """It is not judged: what it lacks was answered, and is not asked twice."""
    with Rehearsal(quirks=Quirks(short_files=2)) as server:
        root = plants(tmp_path, server, lost_after=1)
        write(root, {"seeds/plants.csv": rows(10)})
        (state,) = opened(root).run()
        assert (state.ok, server.bill.total, server.sends(CONTENT)) == (10, 10, 3)


@pytest.mark.few(0)
def test_a_batch_that_a_person_cancelled_stays_cancelled(tmp_path: Path) -> None:
    """It is said, no more of the run is sent, and the next run asks what is left."""
    with Rehearsal(faults=Faults(batch_cancelled=(0,))) as server:
        root = plants(tmp_path, server)
        write(root, {"seeds/plants.csv": rows(10)})
        ears = Ears()
        (state,) = opened(root, ears).run()
        assert any("was cancelled at api and stays cancelled" in said for said in ears.said)
        assert (state.ok, state.busy, state.stopped) == (5, False, "it was cancelled")
        assert enrich(root, "status").exit_code == 3
        assert (len(server.batches), server.bill.total) == (1, 5)
        (state,) = opened(root).run()
        assert (state.ok, server.bill.total) == (10, 10)


@pytest.mark.few(0)
def test_a_cancelling_batch_can_be_forgotten(tmp_path: Path) -> None:
    """In any state, also with the server gone."""
    with Rehearsal(faults=Faults(batch_stuck=(0, 1))) as server:
        root = plants(tmp_path, server, max_requests=2)
        opened(root).preview("kinds", limit=1)
        opened(root).run(detach=True)
        server.script(POLL, ["ok", 503, 503, 503, 503, 503, 503])
        opened(root).cancel(forget=True)
        with opened(root).files.open_ledger() as database:
            assert database.fetch_one(
                "SELECT count(*) FROM ledger.batches WHERE read_at IS NULL"
            ) == (0,)
    root = plants(tmp_path / "gone", server, max_requests=2)
    with Rehearsal(faults=Faults(batch_stuck=(0, 1))) as other:
        write(root, {"project.yml": settings(other)})
        opened(root).run(detach=True)
    opened(root).cancel(forget=True)
    (state,) = opened(root).status()
    assert not state.busy


def test_a_result_file_that_is_gone_says_what_to_do(tmp_path: Path) -> None:
    """It does not come back: the batch can be given up."""
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        server.script(CONTENT, [404, 404])
        with pytest.raises(ProviderError, match="no longer has the result file") as gone:
            opened(root).run()
        assert "enrich cancel --forget" in gone.value.hint


def test_an_overdue_batch_is_called_so(tmp_path: Path) -> None:
    """By this machine's clock alone, with the way out."""
    with Rehearsal(faults=Faults(batch_stuck=(0,))) as server:
        root = plants(tmp_path, server)
        opened(root).run(detach=True)
        with opened(root).files.open_ledger() as database:
            database.execute(
                "UPDATE ledger.batches SET submitted_at = submitted_at - INTERVAL 30 HOUR"
            )
        found = enrich(root, "status")
        assert found.exit_code == 4
        assert "is overdue" in found.output
        assert "enrich cancel --forget kinds" in found.output


def test_every_copy_of_an_upload_is_deleted(tmp_path: Path) -> None:
    """Copies that nobody heard of, and that the provider lists late, are of no use."""
    with Rehearsal(quirks=Quirks(late_list=1)) as server:
        server.script(UPLOAD, ["lost", "lost"])
        project = opened(plants(tmp_path, server))
        (state,) = project.run()
        project.status()
        assert (state.ok, len(server.batches)) == (4, 1)
        assert [file["id"] for file in server.uploads] == [server.batches[0]["input_file_id"]]


def test_a_server_that_is_gone_is_tried_once_in_a_turn(tmp_path: Path) -> None:
    """Each attempt takes a while, so its other batches are left as they are."""
    with Rehearsal(latency=3600) as server:
        root = plants(tmp_path, server, max_requests=1)
        opened(root).run(detach=True)
    project = opened(root)
    turn = advance_batches(project.files, project.provider)
    ((model, trouble),) = turn.troubles
    assert (model, type(trouble), len(turn.batches)) == ("kinds", Unreachable, 4)
    assert turn.unreachable == {"api"}
