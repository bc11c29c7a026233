"""Adoption: a create whose answer was lost is looked up, and never sent again blindly."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from folders import PROMPT, Ears, opened, plants, settings, write

from enrich.errors import ProviderError
from enrich.rehearsal import Faults, Quirks, Rehearsal

if TYPE_CHECKING:
    from pathlib import Path

UPLOAD, CREATE, POLL = "POST /v1/files", "POST /v1/batches", "GET /v1/batches/{id}"


@pytest.mark.parametrize("step", ["lost", "stall"])
@pytest.mark.parametrize("quirks", [Quirks(), Quirks(no_metadata=True)], ids=["", "no metadata"])
def test_a_batch_nobody_heard_of_is_found(tmp_path: Path, quirks: Quirks, step: str) -> None:
    """By its metadata, or, where a server keeps none, by its input file."""
    with Rehearsal(quirks=quirks, hang=0.2) as server:
        server.script(CREATE, [step])  # type: ignore[list-item]
        (state,) = opened(plants(tmp_path, server)).run()
        assert (state.ok, len(server.batches), server.bill.requests.total()) == (4, 1, 4)


def test_an_upload_whose_answer_was_lost_is_there_once(tmp_path: Path) -> None:
    """The next turn finds it by its name and uses it; refused, it is deleted."""
    with Rehearsal() as server:
        server.script(UPLOAD, ["lost"])
        (state,) = opened(plants(tmp_path / "a", server)).run()
        assert (state.ok, server.sends(UPLOAD), len(server.uploads)) == (4, 1, 1)
        server.script(UPLOAD, ["lost", 400])
        project = opened(plants(tmp_path / "b", server, max_requests=2))
        with pytest.raises(ProviderError):
            project.run()
        assert len(server.uploads) == 1


def test_an_upload_without_a_batch_is_deleted(tmp_path: Path) -> None:
    """Refused at the create, nothing was made of it: it does not stay at the provider."""
    with Rehearsal() as server:
        project = opened(plants(tmp_path, server))
        server.script(CREATE, [(400, "invalid_request")])
        with pytest.raises(ProviderError):
            project.run()
        assert (len(server.batches), len(server.uploads)) == (0, 0)
        (state,) = project.run()
        assert (state.ok, len(server.uploads)) == (4, 1)


@pytest.mark.few(0)
def test_a_batch_on_a_later_page_is_found(tmp_path: Path) -> None:
    """The list is read page by page, as far back as the intent."""
    with Rehearsal() as server:
        project = opened(plants(tmp_path, server))
        server.script(CREATE, ["lost"])
        project.run(detach=True)
        provider = project.provider("api")
        file = server.batches[0]["input_file_id"]
        for _ in range(101):
            other = {"somebody": "else"}
            provider.submit(file, endpoint="/v1/chat/completions", metadata=other)
        (state,) = project.run()
        assert (state.ok, len(server.batches)) == (4, 102)
        # Once to learn that the server has batches, and twice for the pages of their list.
        assert server.sends("GET /v1/batches") == 1 + 2
        assert server.bill.repeated == {}


def test_a_create_that_never_arrived_is_made_again(tmp_path: Path) -> None:
    """Reset before it took effect: the provider does not list it, so it is asked once more."""
    with Rehearsal() as server:
        server.script(CREATE, ["reset"])
        (state,) = opened(plants(tmp_path, server)).run()
        assert (state.ok, server.sends(CREATE), len(server.batches)) == (4, 2, 1)


def test_not_before_lost_after(tmp_path: Path) -> None:
    """A create that is not listed yet may be on its way: it is waited for."""
    with Rehearsal() as server:
        server.script(CREATE, ["reset"])
        root = plants(tmp_path, server, lost_after=3600)
        (state,) = opened(root).run(detach=True)
        for _ in range(3):
            (state,) = opened(root).status()
        assert state.busy
        assert server.sends(CREATE) == 1


def test_without_a_list_nothing_is_sent_twice(tmp_path: Path) -> None:
    """A server without a list cannot be asked: enrich stops, says so, and leaves it to people."""
    with Rehearsal(quirks=Quirks(no_list=True)) as server:
        server.script(CREATE, ["lost"])
        root = plants(tmp_path, server)
        write(root, {"project.yml": settings(server, api="batch")})  # `auto` would take chat
        for _ in range(2):
            with pytest.raises(
                ProviderError, match="may have been created, but it cannot be looked up"
            ):
                opened(root).run()
        assert (server.sends(CREATE), server.bill.repeated) == (1, {})
        opened(root).cancel(forget=True)
        (state,) = opened(root).run()
        assert state.ok == 4


def test_a_batch_is_fetched_where_it_was_sent(tmp_path: Path) -> None:
    """With another base_url the batch is neither polled nor sent there; put back, it is fetched."""
    with Rehearsal() as server, Rehearsal() as other:
        root = plants(tmp_path, server)
        opened(root).run(detach=True)
        write(root, {"project.yml": settings(other)})
        ears = Ears()
        (state,) = opened(root, ears).status()
        assert state.busy
        assert any(f"is for openai:{server.base_url}" in sentence for sentence in ears.said)
        assert not other.log
        write(root, {"project.yml": settings(server)})
        (state,) = opened(root).run()
        assert (state.ok, len(server.batches)) == (4, 1)


@pytest.mark.few(0)
def test_a_batch_that_vanished_can_be_given_up(tmp_path: Path) -> None:
    """Old batches vanish from providers: others go on, `cancel` gives it up."""
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        opened(root).run(detach=True)
        ears = Ears()
        server.script(POLL, [404])
        (state,) = opened(root, ears).status()
        assert state.busy
        assert any("answered 404" in sentence for sentence in ears.said)
        server.script("POST /v1/batches/{id}/cancel", [404, 404])
        with pytest.raises(ProviderError, match="answered 404") as refused:
            opened(root).cancel()
        assert "enrich cancel --forget" in refused.value.hint
        opened(root).cancel(forget=True)
        (state,) = opened(root).status()
        assert (dict(state.outcomes), state.busy) == ({"expired": 4}, False)
        (state,) = opened(root).run()
        assert (state.ok, len(server.batches)) == (4, 2)


def test_a_refused_cancel_loses_nothing(tmp_path: Path) -> None:
    """A cancel that is refused, or comes too late, keeps the batch: its answers are read."""
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        opened(root).run(detach=True)
        server.script("POST /v1/batches/{id}/cancel", [401])
        with pytest.raises(ProviderError, match="answered 401"):
            opened(root).cancel()
        server.script("POST /v1/batches/{id}/cancel", [409])
        opened(root).cancel()
        (state,) = opened(root).run()
        while state.busy:
            (state,) = opened(root).status()
        assert (state.ok, server.bill.requests.total()) == (4, 4)


def test_a_cancelled_intent_that_had_ended_is_read(tmp_path: Path) -> None:
    """A create was lost, its batch completed, and the user cancels: what was paid for is kept."""
    with Rehearsal(latency=0) as server:
        root = plants(tmp_path, server)
        server.script(CREATE, ["lost"])
        opened(root).run(detach=True)
        opened(root).provider("api").poll(server.batches[0]["id"])
        opened(root).cancel()
        (state,) = opened(root).status()
        while state.busy:
            (state,) = opened(root).status()
        assert (state.ok, server.bill.requests.total()) == (4, 4)


def test_forget_keeps_what_was_answered(tmp_path: Path) -> None:
    """A batch that has completed is read, whatever was asked of it: it is paid for."""
    with Rehearsal() as server:
        project = opened(plants(tmp_path, server))
        project.run(detach=True)
        provider = project.provider("api")
        while server.batches[0]["status"] != "completed":
            provider.poll(server.batches[0]["id"])
        project.cancel(forget=True)
        (state,) = project.run()
        assert (state.ok, len(server.batches), server.bill.requests.total()) == (4, 1, 4)


def test_one_model_in_trouble_stops_no_other(tmp_path: Path) -> None:
    """A batch that cannot be polled any more belongs to its own model; others run, exit code 0."""
    with Rehearsal() as server, Rehearsal() as other:
        root = plants(tmp_path, server)
        opened(root).run(detach=True)
        write(
            root,
            {
                "project.yml": settings(other),
                "models/more.sql": "SELECT id, name, note FROM plants",
                "models/more.prompt.md": PROMPT.replace("You know", "You love"),
            },
        )
        (state,) = opened(root).run("more")
        assert (state.model, state.ok, state.busy) == ("more", 4, False)
        with pytest.raises(ProviderError, match="is for openai:"):
            opened(root).run("kinds")


@pytest.mark.parametrize("cut", ["cut", "reset", "stall"])
@pytest.mark.few(1)
def test_a_download_that_breaks_off_is_fetched_again(tmp_path: Path, cut: str) -> None:
    """Half a result file is no result file."""
    with Rehearsal(hang=0.2) as server:
        server.script("GET /v1/files/{id}/content", [cut] * 7)  # type: ignore[list-item]
        (state,) = opened(plants(tmp_path, server)).run()
        assert (state.ok, len(server.batches), server.bill.repeated) == (4, 1, {})


@pytest.mark.few(0)
def test_a_queue_that_is_always_full_ends_with_a_hint(tmp_path: Path) -> None:
    """A batch larger than the provider's whole queue is not sent for ever."""
    with Rehearsal(enqueued_tokens=10) as server:
        root = plants(tmp_path, server)
        ears = Ears()
        with pytest.raises(ProviderError, match="refused again and again") as refused:
            opened(root, ears).run()
        assert "max_requests" in refused.value.hint
        assert any("queue is full" in sentence for sentence in ears.said)
        assert server.bill.requests.total() == 0


def test_a_table_that_was_not_published_is_published_next(tmp_path: Path) -> None:
    """Killed, or locked out, between reading answers and publishing: `status` publishes them."""
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        project = opened(root)
        project.run()
        before = project.sql("SELECT * FROM kinds ORDER BY id").rows
        with project.files.open_ledger() as database:
            database.execute("UPDATE ledger.runs SET published_number = NULL, outcomes = NULL")
        (root / "warehouse.duckdb").unlink()
        (state,) = opened(root).status()
        assert state.ok == 4
        assert opened(root).sql("SELECT * FROM kinds ORDER BY id").rows == before


@pytest.mark.few(0)
def test_a_provider_that_is_down_for_a_while(tmp_path: Path) -> None:
    """While batches are under way, polls that fail are tried again; nothing is asked twice."""
    with Rehearsal(faults=Faults(call_500=0.3, call_reset=0.1), seed=4) as server:
        root = plants(tmp_path, server)
        for _ in range(10):
            try:
                (state,) = opened(root).run()
            except ProviderError:
                continue
            if not state.busy:
                break
        assert state.ok == 4
        assert server.bill.repeated == {}
