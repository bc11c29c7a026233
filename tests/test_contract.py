"""The contract: what every provider keeps, whoever brings it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from folders import opened, plants, settings, write
from tiny_gguf import write_llm

from enrich.errors import ProjectError, ProviderError, Unavailable, Unclear
from enrich.manifest.settings import YamlSettings
from enrich.providers import Timing
from enrich.providers.capabilities import (
    ListsFiles,
    answer_now,
    can_submit,
    check_provider,
    discard_upload,
    find_uploads,
    has_llm,
    quote_price,
    read_notice,
    read_timing,
)
from enrich.providers.registry import open_provider
from enrich.rehearsal import Faults, Rehearsal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from enrich.providers import Provider, Remote

ENDPOINT = "/v1/chat/completions"
SECRET = "sk-contract-secret"
KINDS = ("openai", "chat", "local", "echo", "anthropic", "mistral", "gemini")
PLAYED = {kind: kind for kind in ("anthropic", "mistral", "gemini")}
"""The APIs that the server plays, by kind."""
CREATES = {
    "openai": "POST /v1/batches",
    "anthropic": "POST /v1/messages/batches",
    "mistral": "POST /v1/batch/jobs",
    "gemini": "POST /v1beta/openai/batches",
}
"""How the kinds whose batches are made elsewhere create them."""
MEMBERS = (
    *("name", "identity", "llm", "limits"),
    *("upload", "submit", "find", "poll", "fetch", "cancel"),
)
KILLED = """
import json, os, sys
from pathlib import Path
from enrich.manifest.settings import YamlSettings
from enrich.providers.registry import open_provider
root, said, file = Path(sys.argv[1]), json.loads(sys.argv[2]), Path(sys.argv[3])
known = YamlSettings(source="project.yml", values=said, lines={})
provider = open_provider("mine", known, root=root, work=root / "work", environment={})
metadata = {"enrich_batch": (sys.argv[4:] or ["one"])[0], "attempt": "1"}
sent = provider.upload(file)
provider.submit(sent, endpoint="/v1/chat/completions", metadata=metadata)
print(sent, flush=True)
os._exit(9)
"""
if sys.platform == "win32":
    KILL = signal.SIGTERM  # Python ends the process at once there
else:
    KILL = signal.SIGKILL


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


@dataclass(frozen=True, kw_only=True)
class Bench:
    """A provider of a kind in a folder, as project.yml describes it, and the server behind it."""

    kind: str
    root: Path
    server: Rehearsal
    said: dict[str, Any]

    def open(self) -> Provider:
        """The provider, as a process that knows nothing of the others opens it."""
        return open_provider(
            "mine",
            YamlSettings(source="project.yml", values=self.said, lines={}),
            root=self.root,
            work=self.root / "work",
            environment={},
        )

    def kill_workers(self) -> None:
        """Kill whatever works for this provider on this machine."""
        for pid in self.root.glob("work/**/pid"):
            with suppress(ProcessLookupError):
                os.kill(int(pid.read_text()), KILL)


@pytest.fixture(params=KINDS)
def bench(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Bench]:
    """Add your own provider to KINDS, and what project.yml says of it here."""
    kind = request.param
    said: dict[str, Any] = {"type": kind}
    api, faults = PLAYED.get(kind, "batch"), Faults(batch_late_files=1.0)
    with Rehearsal(api=api, api_key=SECRET, faults=faults) as server:
        if kind in CREATES:
            said |= {"base_url": server.base_url, "api_key": SECRET}
            said |= {"poll_seconds": 0, "lost_after": 0, "timeout": 60}
        elif kind == "chat":
            said = {"type": "openai", "api": "chat", "timeout": 60}
            said |= {"base_url": server.base_url, "api_key": SECRET}
        elif kind == "local":
            llm = write_llm(tmp_path / "tiny.gguf")
            said |= {"path": str(llm), "slots": 1, "context": 1024}
        else:
            (tmp_path / "site").mkdir()
            install_echo(tmp_path / "site")
            monkeypatch.syspath_prepend(str(tmp_path / "site"))
        yield Bench(kind=kind, root=tmp_path, server=server, said=said)


@pytest.fixture
def provider(bench: Bench) -> Provider:
    return bench.open()


def requests(tmp_path: Path, *names: str) -> Path:
    path = tmp_path / "batch-1.jsonl"
    body = {"model": "x", "messages": [{"role": "user", "content": "a word"}], "max_tokens": 4}
    lines = ({"custom_id": n, "method": "POST", "url": ENDPOINT, "body": body} for n in names)
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return path


def ended(provider: Provider, remote: Remote) -> Remote:
    """The batch once it has ended, with its files; the deadline is there so that a fault ends."""
    deadline = time.monotonic() + 120
    while not remote.ended or remote.late:
        assert time.monotonic() < deadline, "the batch did not end"
        time.sleep(0.01)
        remote = provider.poll(remote.id)
    return remote


def fetched(provider: Provider, remote: Remote, folder: Path) -> list[str]:
    """The custom_ids of what was answered in the result files of a batch, sorted."""
    lines: list[dict[str, Any]] = []
    for number, file in enumerate(remote.files):
        path = folder / f"result-{number}.jsonl"
        provider.fetch(file, path)
        lines += [json.loads(line) for line in path.read_text().splitlines()]
    never = ("batch_cancelled", "batch_expired")  # lines that say that there is no answer
    return sorted(x["custom_id"] for x in lines if (x["error"] or {}).get("code") not in never)


def submitted(provider: Provider, tmp_path: Path, intent: str, *names: str) -> tuple[str, Remote]:
    file = provider.upload(requests(tmp_path, *(names or ("a", "b", "c"))))
    assert can_submit(provider, file)
    known = {"enrich_batch": intent, "enrich_model": "m", "enrich_run": "1", "attempt": "1"}
    return file, provider.submit(file, endpoint=ENDPOINT, metadata=known)


def looked_up(provider: Provider, intent: str, file: str) -> Remote | None:
    """The batch of an intent, as soon as its provider can tell."""
    deadline = time.monotonic() + 120
    while True:
        try:
            return provider.find(intent, file=file)
        except Unavailable:
            assert time.monotonic() < deadline, "the batch is not found"


def test_a_batch_is_submitted_polled_and_fetched(provider: Provider, tmp_path: Path) -> None:
    """Each request has one line in its result files."""
    _, remote = submitted(provider, tmp_path, "one")
    remote = ended(provider, remote)
    assert fetched(provider, remote, tmp_path) == ["a", "b", "c"]
    assert remote.completed + remote.failed == remote.total == 3


def test_files_that_come_late_are_waited_for(bench: Bench, tmp_path: Path) -> None:
    """An ended batch that does not call itself late names all files that its counts speak of."""
    provider = bench.open()
    _, remote = submitted(provider, tmp_path, "one")
    was_late = False
    deadline = time.monotonic() + 120
    while not remote.ended or remote.late:
        assert time.monotonic() < deadline, "the batch did not end"
        was_late = was_late or remote.late
        assert not remote.late or remote.ended
        time.sleep(0.01)
        remote = provider.poll(remote.id)
    assert was_late == (bench.kind in CREATES)
    assert len(fetched(provider, remote, tmp_path)) == remote.completed + remote.failed
    assert provider.poll(remote.id) == remote


def test_a_batch_is_found_by_its_intent(bench: Bench, tmp_path: Path) -> None:
    """What was lost is looked up, by whoever opens the provider; what never was is not there."""
    provider = bench.open()
    file, remote = submitted(provider, tmp_path, "one")
    found = bench.open().find("one", file=file)
    assert found is not None
    assert found.id == remote.id
    assert provider.find("another", file="file-of-another") is None
    ended(provider, remote)


def test_a_create_whose_answer_is_lost_is_found(bench: Bench, tmp_path: Path) -> None:
    """It is Unclear where the answer can be lost, and found like any other."""
    provider = bench.open()
    if bench.kind in CREATES:
        bench.server.script(CREATES[bench.kind], ["lost"])
        with pytest.raises(Unclear):
            submitted(provider, tmp_path, "one")
    else:  # it is made on this machine: there is no answer that could be lost
        submitted(provider, tmp_path, "one")
    file = next(iter(find_uploads(provider, "batch-1.jsonl")), "")
    found = looked_up(bench.open(), "one", file)
    assert found is not None
    assert fetched(provider, ended(provider, found), tmp_path) == ["a", "b", "c"]
    assert len(bench.server.batches) == (bench.kind in CREATES)


@pytest.mark.few(1)
def test_a_batch_outlives_who_submitted_it(bench: Bench, tmp_path: Path) -> None:
    """Killed right after the create, and its workers with it, the next process ends the batch."""
    names = [f"row-{number}" for number in range(40)]
    file = requests(tmp_path, *names)
    command = [sys.executable, "-c", KILLED, str(tmp_path), json.dumps(bench.said), str(file)]
    path = os.pathsep.join([str(tmp_path / "site"), os.environ.get("PYTHONPATH", "")])
    killed = subprocess.run(
        command,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert killed.returncode == 9, killed.stderr
    bench.kill_workers()
    provider = bench.open()
    found = provider.find("one", file=killed.stdout.strip())
    assert found is not None
    remote = ended(provider, found)
    assert remote.completed + remote.failed == remote.total == 40
    assert fetched(provider, remote, tmp_path) == sorted(names)


def test_an_upload_is_found_by_its_name_and_discarded(provider: Provider, tmp_path: Path) -> None:
    file = provider.upload(requests(tmp_path, "a"))
    is_sent = isinstance(provider, ListsFiles) and not Path(file).is_absolute()
    listed = (file,) if is_sent else ()
    assert find_uploads(provider, "batch-1.jsonl") == listed
    assert find_uploads(provider, "batch-2.jsonl") == ()
    discard_upload(provider, file)
    discard_upload(provider, file)
    assert find_uploads(provider, "batch-1.jsonl") == ()


def test_a_batch_is_cancelled(provider: Provider, tmp_path: Path) -> None:
    """It ends, with what was answered until then: each line once, and none that was not asked."""
    names = [f"row-{number}" for number in range(200)]
    _, remote = submitted(provider, tmp_path, "one", *names)
    after = provider.cancel(remote.id)
    assert after.id == remote.id
    remote = ended(provider, after)
    assert remote.status in ("cancelled", "completed")
    lines = fetched(provider, remote, tmp_path)
    assert len(lines) == len(set(lines)) == remote.completed + remote.failed
    assert set(lines) <= set(names)


def test_a_batch_that_has_ended_cannot_be_cancelled(provider: Provider, tmp_path: Path) -> None:
    """It is shown as it ended; nothing that was answered is lost."""
    _, remote = submitted(provider, tmp_path, "one")
    remote = ended(provider, remote)
    after = provider.cancel(remote.id)
    assert (after.id, after.ended, after.files) == (remote.id, True, remote.files)


def test_a_batch_that_never_was_is_refused(provider: Provider) -> None:
    with pytest.raises(ProviderError):
        provider.poll("batch-of-nobody")


def test_what_is_asked_now_is_answered_line_by_line(provider: Provider, tmp_path: Path) -> None:
    results = tmp_path / "now.jsonl"
    answer_now(provider, requests(tmp_path, "a", "b"), results)
    lines = [json.loads(line) for line in results.read_text().splitlines()]
    assert sorted(line["custom_id"] for line in lines) == ["a", "b"]


def test_what_it_is_holds_no_secret(provider: Provider) -> None:
    check_provider(provider, images=False, endpoint=ENDPOINT)
    assert SECRET not in f"{provider.identity} {provider.name} {provider!r}"
    assert provider.limits.requests > 0
    timing = read_timing(provider)
    assert 0 <= timing.first_poll <= timing.longest_poll


class Bare:
    """A provider with the ten members of the protocol, and nothing else."""

    name = "bare"

    def __getattr__(self, name: str) -> Any:
        if name not in MEMBERS:
            raise AttributeError(name)
        return f"what {name} is"


def test_a_provider_without_capabilities_has_the_defaults(tmp_path: Path) -> None:
    """Ten members are enough: the rest says that it is not known, or does nothing."""
    bare: Any = Bare()
    check_provider(bare, images=True, endpoint=ENDPOINT)
    discard_upload(bare, "file")
    assert can_submit(bare, "file")
    assert (find_uploads(bare, "name"), read_notice(bare)) == ((), "")
    assert (has_llm(bare, "x"), quote_price(bare, "x", now=True)) == (None, None)
    assert read_timing(bare) == Timing()
    with pytest.raises(ProviderError, match="only answers batches"):
        answer_now(bare, tmp_path, tmp_path)


def test_the_protocol_has_ten_members() -> None:
    """What is more than that is a capability."""
    from enrich.providers import Provider

    assert sorted(n for n in vars(Provider) if not n.startswith("_")) == sorted(MEMBERS)


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
        assert opened(root).preview("kinds").asked == 4
        (state,) = opened(root).run()
        assert (state.ok, state.llm, server.bill.total) == (4, "echo", 0)
        for kind, words in (("ecco", "cannot be 'ecco'"), ("broken", "cannot be loaded")):
            said["providers"] = {"api": {"type": kind}}
            write(root, {"project.yml": json.dumps(said)})
            with pytest.raises((ProjectError, ProviderError), match=words):
                opened(root).run()
