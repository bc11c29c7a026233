"""The contract: what every provider keeps, whoever brings it."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from folders import opened, plants, settings, write
from tiny_gguf import write_llm

from enrich.errors import ProjectError, ProviderError
from enrich.manifest.settings import Settings
from enrich.providers.capabilities import (
    ListsFiles,
    answer_now,
    can_submit,
    discard_upload,
    find_uploads,
    timing_of,
)
from enrich.providers.registry import open_provider
from enrich.rehearsal import Rehearsal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from enrich.providers import Provider, Remote

ENDPOINT = "/v1/chat/completions"
SECRET = "sk-contract-secret"


def install_echo(site: Path) -> None:
    """The package as an installer leaves it: a module, and the metadata of its entry point."""
    shutil.copy(Path(__file__).with_name("echo_provider.py"), site / "brought_echo.py")
    info = site / "brought_echo-1.0.dist-info"
    write(
        info,
        {
            "METADATA": "Metadata-Version: 2.1\nName: brought-echo\nVersion: 1.0\n",
            "entry_points.txt": "[enrich.providers]\necho = brought_echo:EchoProvider\n"
            "broken = brought_echo:Nothing\n",
        },
    )


@pytest.fixture(params=["openai", "local", "echo"])
def provider(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Provider]:
    kind = request.param
    said: dict[str, Any] = {"type": kind}
    with Rehearsal(api_key=SECRET) as server:
        if kind == "openai":
            said |= {"base_url": server.base_url, "api_key": SECRET}
            said |= {"poll_seconds": 0, "lost_after": 0}
        elif kind == "local":
            llm = write_llm(tmp_path / "tiny.gguf")
            said |= {"path": str(llm), "slots": 1, "context": 1024}
        else:
            (tmp_path / "site").mkdir()
            install_echo(tmp_path / "site")
            monkeypatch.syspath_prepend(str(tmp_path / "site"))
        yield open_provider(
            "mine",
            Settings(source="project.yml", values=said, lines={}),
            root=tmp_path,
            work=tmp_path / "work",
            environment={},
        )


def requests(tmp_path: Path, *names: str) -> Path:
    path = tmp_path / "batch-1.jsonl"
    body = {"model": "x", "messages": [{"role": "user", "content": "a word"}], "max_tokens": 4}
    lines = ({"custom_id": n, "method": "POST", "url": ENDPOINT, "body": body} for n in names)
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return path


def ended(provider: Provider, remote: Remote) -> Remote:
    deadline = time.monotonic() + 120
    while not remote.ended or remote.late:
        assert time.monotonic() < deadline, "the batch did not end"
        time.sleep(0.01)
        remote = provider.poll(remote.id)
    return remote


def submitted(provider: Provider, tmp_path: Path, intent: str) -> tuple[str, Remote]:
    file = provider.upload(requests(tmp_path, "a", "b", "c"))
    assert can_submit(provider, file)
    known = {"enrich_batch": intent, "enrich_model": "m", "enrich_run": "1", "attempt": "1"}
    return file, provider.submit(file, endpoint=ENDPOINT, metadata=known)


def test_a_batch_is_submitted_polled_and_fetched(provider: Provider, tmp_path: Path) -> None:
    """Each request has one line in its result files."""
    _, remote = submitted(provider, tmp_path, "one")
    remote = ended(provider, remote)
    lines: list[dict[str, Any]] = []
    for number, file in enumerate(remote.files):
        provider.fetch(file, tmp_path / f"result-{number}.jsonl")
        text = (tmp_path / f"result-{number}.jsonl").read_text()
        lines += [json.loads(line) for line in text.splitlines()]
    assert sorted(line["custom_id"] for line in lines) == ["a", "b", "c"]
    assert remote.completed + remote.failed == remote.total == 3


def test_a_batch_is_found_by_its_intent(provider: Provider, tmp_path: Path) -> None:
    """What was lost is looked up; what never was is not there."""
    file, remote = submitted(provider, tmp_path, "one")
    found = provider.find("one", file=file)
    assert found is not None
    assert found.id == remote.id
    assert provider.find("another", file="file-of-another") is None
    ended(provider, remote)


def test_an_upload_is_found_by_its_name_and_discarded(provider: Provider, tmp_path: Path) -> None:
    file = provider.upload(requests(tmp_path, "a"))
    listed = (file,) if isinstance(provider, ListsFiles) else ()
    assert find_uploads(provider, "batch-1.jsonl") == listed
    assert find_uploads(provider, "batch-2.jsonl") == ()
    discard_upload(provider, file)
    discard_upload(provider, file)
    assert find_uploads(provider, "batch-1.jsonl") == ()


def test_a_batch_that_has_ended_cannot_be_cancelled(provider: Provider, tmp_path: Path) -> None:
    """It is shown as it ended; nothing that was answered is lost."""
    _, remote = submitted(provider, tmp_path, "one")
    remote = ended(provider, remote)
    after = provider.cancel(remote.id)
    assert (after.id, after.ended, after.files) == (remote.id, True, remote.files)


def test_what_is_asked_now_is_answered_line_by_line(provider: Provider, tmp_path: Path) -> None:
    results = tmp_path / "now.jsonl"
    answer_now(provider, requests(tmp_path, "a", "b"), results)
    lines = [json.loads(line) for line in results.read_text().splitlines()]
    assert sorted(line["custom_id"] for line in lines) == ["a", "b"]


def test_what_it_is_holds_no_secret(provider: Provider) -> None:
    assert SECRET not in f"{provider.identity} {provider.name} {provider!r}"
    assert provider.limits.requests > 0
    timing = timing_of(provider)
    assert 0 <= timing.first_poll <= timing.longest_poll


def test_a_provider_of_another_package_answers_a_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its type in project.yml; a type that nobody brings is named, with the nearest."""
    (tmp_path / "site").mkdir()
    install_echo(tmp_path / "site")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    answer = json.dumps({"kind": "tree", "tags": ["a"], "height": 1.5, "line": "x"})
    with Rehearsal() as server:
        root = plants(tmp_path / "p", server)
        said = json.loads(settings(server))
        said["providers"] = {"api": {"type": "echo", "answer": answer}}
        write(root, {"project.yml": json.dumps(said)})
        (state,) = opened(root).run()
        assert (state.ok, state.llm, server.bill.total) == (4, "echo", 0)
        for kind, words in (("ecco", "cannot be 'ecco'"), ("broken", "cannot be loaded")):
            said["providers"] = {"api": {"type": kind}}
            write(root, {"project.yml": json.dumps(said)})
            with pytest.raises((ProjectError, ProviderError), match=words):
                opened(root).run()
