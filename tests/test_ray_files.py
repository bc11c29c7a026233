"""Ray without a cluster: the storage, the settings, the two halves of a secret, what is sent."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

import pytest
from folders import opened as open_project
from folders import write

from enrich.errors import (
    DiskError,
    EnrichError,
    ProjectError,
    ProviderError,
    Unavailable,
    Unclear,
)
from enrich.manifest.settings import YamlSettings
from enrich.providers.executor.reply import EngineReply
from enrich.providers.executor.requests import index_requests
from enrich.providers.ray.halves import join_halves, split_halves
from enrich.providers.ray.handed import HandedRows
from enrich.providers.ray.package import pack_enrich
from enrich.providers.ray.shared import Attempt, SharedBatch
from enrich.providers.ray.storage import _Replacing, open_storage
from enrich.providers.registry import open_provider

if TYPE_CHECKING:
    from collections.abc import Iterator

    from enrich.providers import Provider, Remote

SECRET = "sk-very-secret"
GOOD = {
    "type": "ray",
    "address": "http://127.0.0.1:1",
    "storage": "shared",
    "llm": "tiny",
    "url": "http://127.0.0.1:2/v1",
}
IMPORTED = """
import sys
sys.path.insert(0, sys.argv[1])
class Wall:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in set(sys.argv[2:]):
            raise ImportError(name)
sys.meta_path.insert(0, Wall())
import enrich.providers.ray.actor, enrich.providers.ray.keeper, enrich.providers.chat.engine
import enrich.providers.local.llama, enrich.providers.ray.pool, enrich.providers.ray.objects
assert enrich.__file__.startswith(sys.argv[1])
"""
SERVED: dict[str, Any] = {"url": None, "serve": "vllm serve {llm} --port {port}"}
LOCAL_PACKAGES = ("duckdb", "openai", "httpx2", "yaml", "click", "rich", "sqlglot", "genai_prices")


def lines(*names: str) -> list[bytes]:
    asked: dict[str, Any] = {"method": "POST", "url": "/v1/chat/completions", "body": {}}
    return [json.dumps({"custom_id": name, **asked}).encode() + b"\n" for name in names]


@pytest.fixture(params=["folder", "objects"])
def batch(request: pytest.FixtureRequest, tmp_path: Path) -> SharedBatch:
    """An empty batch on a storage."""
    if request.param == "objects":
        pytest.importorskip("fsspec")
        if sys.platform == "win32":
            pytest.skip("a path there is no URL")
    url = f"file://{tmp_path}/s" if request.param == "objects" else str(tmp_path / "s")
    return SharedBatch(open_storage(url), "ray-1")


def opened(root: Path, **said: Any) -> Provider:
    values = {**GOOD, **said}
    known = YamlSettings(source="project.yml", values=values, lines={}, error=ProjectError)
    environment = {"KEY": SECRET}
    return open_provider("mine", known, root=root, work=root / "work", environment=environment)


def test_a_storage_keeps_what_is_put_there(batch: SharedBatch, tmp_path: Path) -> None:
    """Whole files, ranges, lists and parts; what is not there is not found."""
    storage = batch.storage
    storage.check()
    (tmp_path / "x").write_bytes(b"0123456789")
    storage.send(tmp_path / "x", "a/x")
    assert (storage.read("a/x"), storage.read_range("a/x", 3, 4)) == (b"0123456789", b"3456")
    storage.write("a/x", b"new")
    assert (storage.read("a/x"), storage.has("a/x"), storage.has("a/y")) == (b"new", True, False)
    assert (storage.list_files("a"), storage.list_files("nowhere")) == (["a/x"], [])
    storage.remove("a/x")
    storage.remove("a/x")
    with pytest.raises(FileNotFoundError):
        storage.read("a/x")


def test_the_parts_of_actors_are_joined(batch: SharedBatch, tmp_path: Path) -> None:
    """Each row once, the first answer wins, and half a line is no answer."""
    requests = b"".join(lines("a", "b", "c"))
    batch.storage.write(batch.input, requests)
    for number, names in ((1, ("b",)), (2, ("a", "b"))):
        part = batch.storage.append(batch.name_part(1, number, 1))
        rows = HandedRows(batch.storage, batch.input, part)
        found = index_requests(requests.splitlines(keepends=True), "/v1/chat/completions")
        rows.give([line for line in found if line.custom_id in names])
        while row := rows.take():
            rows.put(row["custom_id"], EngineReply(200, {"from": number}))
        rows.close()
        assert rows.look(last=True, stop=False) == (list(names), 0)
        assert not rows.await_rows()
    torn = f"{batch.name_part(2, 1, 1)}-000000.jsonl"
    batch.storage.write(torn, b'{"custom_id": "c", "respo')
    answers = {name: answer["response"]["body"]["from"] for name, _, answer in batch.read_parts()}
    assert answers == {"b": 1, "a": 2}
    assert batch.finish("cancelled").completed == 2
    assert batch.end is not None
    assert batch.end.total == 3


def test_only_the_latest_attempt_may_work(batch: SharedBatch) -> None:
    """And what it was given is taken once."""
    batch.add_attempt(Attempt(number=1))
    batch.keep_half(1, b"one")
    assert not batch.is_superseded(1)
    batch.add_attempt(Attempt(number=2, answered=5, lost=True))
    assert batch.take_half(1) is None
    batch.keep_half(2, b"two")
    assert (batch.take_half(2), batch.take_half(2)) == (b"two", None)
    assert batch.is_superseded(1)
    assert [each.number for each in batch.attempts] == [1, 2]


def test_what_others_put_beside_the_files_is_left_alone(batch: SharedBatch) -> None:
    """Notes of an operating system, copies of a synchronizing program, lines of something else;
    and a file that was lost, or that holds nothing, is as one that is not there."""
    batch.storage.write(batch.input, b"".join(lines("a", "b")))
    batch.storage.write(f"{batch.id}/batch.json", b"")
    batch.add_attempt(Attempt(number=1))
    batch.add_attempt(Attempt(number=2, answered=1))
    for name in ("Thumbs.db", "0003 (conflicted copy).json", "notes.json"):
        batch.storage.write(f"{batch.id}/attempts/{name}", b"{}")
    assert [each.number for each in batch.attempts] == [1, 2]
    assert (batch.is_superseded(1), batch.is_superseded(2)) == (True, False)
    foreign = b'{}\n[]\n3\nnull\n{"custom_id": "b"}\n{"custom_id": "b", "response": {}}\n\xff\n'
    batch.storage.write(batch.name_part(1, 1, 1), foreign)
    answer = b'{"custom_id": "a", "response": {"status_code": 200, "body": {}}}\n'
    batch.storage.write(batch.name_part(1, 2, 1), answer)
    assert batch.read_answered()[0] == {"a"}
    for name in ("state.json", "end.json", "attempts/0001.json"):
        batch.storage.write(f"{batch.id}/{name}", b"")
    assert (batch.end, batch.progress.beat, batch.attempts[0].number) == (None, 0, 1)
    with pytest.raises(OSError, match="holds no batch"):
        _ = batch.job
    batch.storage.remove(f"{batch.id}/attempts/0001.json")
    batch.take_back(2)
    assert [each.number for each in batch.attempts] == [1]


def test_a_full_disk_leaves_no_draft(tmp_path: Path) -> None:
    """Neither a draft nor half a file."""
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("only Linux has a disk that is always full")
    folder = tmp_path / "s"
    folder.mkdir()
    replacing = _Replacing(folder / ".draft", folder / "x", full.open("wb"))
    (folder / ".draft").touch()
    with pytest.raises(OSError, match="No space"), replacing as file:
        file.write(b"x")
    assert list(folder.iterdir()) == []


def test_two_threads_write_each_line_once(tmp_path: Path) -> None:
    """The actor, as it ends, and the driver's look."""
    pytest.importorskip("fsspec")
    store = open_storage(f"memory://enrich-{tmp_path.name}")
    part = store.append("a/1")
    for number in range(200):
        part.put(b"%d\n" % number)
        if number % 20 == 0:
            both = [Thread(target=part.sync, kwargs={"now": True}) for _ in range(2)]
            for each in both:
                each.start()
            for each in both:
                each.join()
    part.close()
    written = b"".join(store.read(name) for name in store.list_files("a"))
    assert sorted(map(int, written.split())) == list(range(200))
    assert part.sync() == 200


def test_half_a_secret_says_nothing() -> None:
    """Each half is as random as the pad; both together are the text."""
    one, other = split_halves(SECRET)
    assert SECRET.encode() not in (one, other)
    assert split_halves(SECRET)[0] != one
    assert join_halves(one, other) == SECRET


def test_a_folder_decides_who_reads_its_files(tmp_path: Path) -> None:
    """Its own permissions are those of the files, whatever the umask says."""
    if sys.platform == "win32":
        pytest.skip("Windows has other permissions")
    folder = tmp_path / "s"
    folder.mkdir()
    folder.chmod(0o770)
    open_storage(str(folder)).write("a/x", b"")
    modes = [path.stat().st_mode & 0o777 for path in (folder / "a", folder / "a" / "x")]
    assert modes == [0o770, 0o660]


def test_what_the_nodes_run_needs_none_of_our_packages(tmp_path: Path) -> None:
    """Actors import what `ray[default]` brings, and nothing else; it is always the same package."""
    name, content = pack_enrich()
    assert pack_enrich.__wrapped__() == (name, content)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        archive.extractall(tmp_path)
    command = [sys.executable, "-c", IMPORTED, str(tmp_path), *LOCAL_PACKAGES]
    subprocess.run(command, check=True, cwd=tmp_path)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"address": "head:8265"}, "'address' is not the URL of a cluster"),
        ({"storage": None}, "'storage' is missing"),
        ({"storage": "s3://"}, "'storage' names no folder and no bucket"),
        ({"storage": "s3://key:secret@bucket/path"}, "'storage' must not hold a password"),
        ({"serve": "vllm --port {port}"}, "'url' and others are set"),
        ({"url": None}, "'serve' is missing"),
        ({"url": None, "serve": "vllm serve"}, "'serve' does not say where the port goes"),
        ({"url": None, "serve": "vllm '{port}"}, "'serve' is not a command"),
        ({"llm": None}, "'llm' is missing"),
        ({"url": None, "weights": "llm.gguf"}, "'weights' is not an absolute path"),
        ({"resources": {"GPU": "one"}}, "'resources' has no number for 'GPU'"),
        ({"token": "a\nb"}, "'token' holds a character"),
        ({"pip": ["x"], "runtime_env": {"pip": ["y"]}}, "'pip' is set in runtime_env, too"),
        ({"address": "http://me:pass@head:8265"}, "'address' must not hold a password"),
        ({"address": "http://head:8265/#/jobs"}, "'address' is not the URL of a cluster"),
        ({"storage": "s3:/bucket"}, "'storage' is neither a folder nor a URL"),
        ({"storage": "~nobody-here/x"}, "'storage' names a home folder that does not exist"),
        ({"url": None, "serve": "KEY=${KEY} vllm --port {port}"}, "begins with a variable"),
        ({"url": None, "serve": "'' {port}"}, "'serve' begins with no program"),
        ({"url": None, "serve": "cd /x && vllm --port {port}"}, "'serve' needs a shell"),
        ({"url": None, "weights": "/"}, "'weights' is not an absolute path"),
        ({"slots": 2}, "'slots' does nothing with `url`"),
        ({"environment": {"A": "b"}}, "'environment' does nothing with `url`"),
        ({"url": None, "weights": "/m/x.gguf", "api_key": "k"}, "'api_key' does nothing with"),
        ({**SERVED, "environment": {"A": {"b": 1}}}, "'environment' has no text for 'A'"),
        ({**SERVED, "environment": {"A=B": "c"}}, "'environment' holds what no environment can"),
        ({"resources": {"gpu": 1}}, "'resources' has 'gpu', which Ray calls 'GPU'"),
        ({"resources": {"num_gpus": 1}}, "'num_gpus', which Ray calls 'GPU'"),
        ({"resources": {"GPU": 1.5}}, "'resources' has 1.5 for 'GPU'"),
        ({"resources": {"GPU": float("nan")}}, "'resources' has no number for 'GPU'"),
        ({"resources": {"GPU": float("inf")}}, "'resources' has no number for 'GPU'"),
        ({"runtime_env": {"env_vars": ["A"]}}, "must have texts by name under `env_vars`"),
        ({"runtime_env": {"env_vars": {"A": 1}}}, "must have texts by name under `env_vars`"),
        ({"runtime_env": {"py_modules": "x"}}, "must have a list as `py_modules`"),
        ({"headers": {"X": None}}, "'headers' has no text for 'X'"),
        ({"headers": {"a b": "c"}}, "'headers' has a name that HTTP has not: 'a b'"),
        ({"timeout": 0}, "'timeout' must be a number, 0.1 to"),
        ({"concurrency": 10**9}, "'concurrency' must be a whole number, 1 to 10000"),
    ],
    ids=str,
)
def test_settings_that_do_not_fit_are_refused(
    tmp_path: Path, said: dict[str, Any], words: str
) -> None:
    with pytest.raises(ProjectError, match=words):
        opened(tmp_path, **said)


def test_what_answers_is_part_of_a_request_and_where_is_not(tmp_path: Path) -> None:
    """Another cluster asks nothing again; a server that was asked by another way is the same."""
    here = opened(tmp_path).identity
    assert here == opened(tmp_path, address="http://other:8265", storage="/elsewhere").identity
    assert here == "openai:http://127.0.0.1:2/v1"
    serve = {"url": None, "serve": "/opt/vllm serve {llm} --port {port}"}
    assert opened(tmp_path, **serve).identity == "ray:vllm"
    weights = {"url": None, "llm": None, "weights": "/models/qwen.gguf"}
    assert opened(tmp_path, **weights).identity == "ray:qwen.gguf"
    assert opened(tmp_path, **weights).llm == "qwen"


def test_a_secret_is_shown_nowhere(tmp_path: Path) -> None:
    """Neither by the provider nor in its identity."""
    provider = opened(tmp_path, api_key="${KEY}", token="${KEY}", url="http://h/${KEY}/v1")
    assert SECRET not in f"{provider!r} {provider.identity}"
    provider = opened(tmp_path, url=None, serve="${KEY} --port {port}")
    assert SECRET not in f"{provider!r} {provider.identity}"


@pytest.fixture
def cluster() -> Iterator[tuple[str, list[tuple[int, str]]]]:
    """What calls itself a cluster at an address, and answers what a list says, in turn."""
    answers: list[tuple[int, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, text = answers.pop(0)
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

        do_GET = do_POST = do_PUT = answer  # noqa: N815

        def log_message(self, *args: Any) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", answers
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        ((401, "Unauthorized"), ProviderError, "answered 401: Unauthorized"),
        ((400, "Traceback:\n  x\nValueError: bad env"), ProviderError, "400: ValueError: bad env"),
        ((500, "Traceback:\n  x\nOSError: disk"), Unclear, "500: OSError: disk"),
        ((500, "No available agent to submit job"), Unavailable, "No available agent"),
        ((200, "<html>"), Unclear, "no usable answer"),
    ],
    ids=str,
)
def test_what_a_cluster_refuses_is_one_sentence(
    tmp_path: Path,
    cluster: tuple[str, list[tuple[int, str]]],
    answer: tuple[int, str],
    kind: type[EnrichError],
    words: str,
) -> None:
    """Nothing stays on the storage if nothing was submitted; the last line of a traceback is
    shown, without the secret."""
    address, answers = cluster
    provider = opened(tmp_path, address=address, api_key=SECRET)
    (tmp_path / "x.jsonl").write_bytes(b"".join(lines("a")))
    answers += [(200, ""), (answer[0], f"{answer[1]} {SECRET}")]
    file = provider.upload(tmp_path / "x.jsonl")
    with pytest.raises(kind, match=words) as problem:
        provider.submit(file, endpoint="/v1/chat/completions", metadata={"enrich_batch": "i"})
    assert type(problem.value) is kind
    assert SECRET not in problem.value.message
    kept = list(tmp_path.glob("shared/*/batch.json"))
    assert bool(kept) == (kind is Unclear)


def test_a_job_that_is_known_already_was_submitted(
    tmp_path: Path, cluster: tuple[str, list[tuple[int, str]]]
) -> None:
    """Its earlier answer was lost."""
    address, answers = cluster
    provider = opened(tmp_path, address=address)
    (tmp_path / "x.jsonl").write_bytes(b"".join(lines("a")))
    answers += [
        (404, "Job x does not exist"),
        (200, ""),
        (500, "ValueError: Job with submission_id x already exists."),
    ]
    file = provider.upload(tmp_path / "x.jsonl")
    metadata = {"enrich_batch": "i"}
    remote = provider.submit(file, endpoint="/v1/chat/completions", metadata=metadata)
    assert not remote.ended
    answers += [(200, json.dumps({"status": "STOPPED", "message": "stopped"}))]
    assert provider.poll(remote.id).status == "cancelled"
    assert provider.poll(remote.id).ended


def submit_to(
    cluster: tuple[str, list[tuple[int, str]]], folder: Path
) -> tuple[Provider, str, Remote]:
    """Submit one row to a cluster that takes it. Returns its file as well."""
    address, answers = cluster
    provider = opened(folder, address=address)
    (folder / "x.jsonl").write_bytes(b"".join(lines("a")))
    answers += [(200, ""), (200, "{}")]
    file = provider.upload(folder / "x.jsonl")
    metadata = {"enrich_batch": "i"}
    remote = provider.submit(file, endpoint="/v1/chat/completions", metadata=metadata)
    return provider, file, remote


@pytest.mark.parametrize(
    "answers_of_another",
    [
        [(404, "<html>no such page</html>")],
        [(404, "Job x does not exist"), (404, "<html>no such page</html>")],
        [(404, "Job x does not exist"), (200, ""), (500, "No available agent")],
    ],
    ids=["a proxy", "half a proxy", "a cluster that is starting"],
)
def test_what_takes_no_job_ends_none(
    tmp_path: Path,
    cluster: tuple[str, list[tuple[int, str]]],
    answers_of_another: list[tuple[int, str]],
) -> None:
    """A driver that works on stays the latest attempt: whatever answers at `address` has not taken
    another, and may know nothing of jobs."""
    _, answers = cluster
    provider, _, remote = submit_to(cluster, tmp_path)
    answers += answers_of_another
    with pytest.raises(Unavailable):
        provider.poll(remote.id)
    names = [path.name for path in tmp_path.glob("shared/*/attempts/*")]
    assert (names, answers) == (["0001.json"], [])
    assert len(list(tmp_path.glob("shared/*/halves/*"))) <= 1


def test_a_storage_that_is_away_is_no_end(
    tmp_path: Path, cluster: tuple[str, list[tuple[int, str]]]
) -> None:
    """Other batches go on, and this one does once it is back; a batch that is missing there may be
    on a disk that is not mounted."""
    provider, file, remote = submit_to(cluster, tmp_path)
    (tmp_path / "shared").rename(tmp_path / "away")
    (tmp_path / "shared").mkdir()
    with pytest.raises(ProviderError, match="has no batch") as missing:
        provider.poll(remote.id)
    assert "mounted here?" in missing.value.hint
    (tmp_path / "shared").rmdir()
    (tmp_path / "shared").write_text("a file where the folder was")
    with pytest.raises(Unavailable, match="shared"):
        provider.submit(file, endpoint="/v1/chat/completions", metadata={"enrich_batch": "j"})
    (tmp_path / "x.jsonl").unlink()
    (tmp_path / "shared").unlink()
    with pytest.raises(DiskError, match=r"x\.jsonl"):
        provider.submit(file, endpoint="/v1/chat/completions", metadata={"enrich_batch": "j"})


def test_a_project_is_moved_before_its_batch_is_sent(
    tmp_path: Path, cluster: tuple[str, list[tuple[int, str]]]
) -> None:
    """The request file is where the project is now; until then nothing reached the cluster."""
    prompt = "---\nkey: id\noutput: kind VARCHAR\n---\nuser:\n{{ name }}\n"
    address, answers = cluster
    write(
        tmp_path / "old",
        {
            "seeds/plants.csv": "id,name\n1,ash\n",
            "models/kinds.sql": "SELECT id, name FROM plants\n",
            "models/kinds.prompt.md": prompt,
        },
    )

    def configure(root: Path, address: str) -> None:
        said = {**GOOD, "address": address, "storage": str(tmp_path / "shared")}
        text = json.dumps({"provider": "mine", "providers": {"mine": said}})
        (root / "project.yml").write_text(text)

    configure(tmp_path / "old", "http://127.0.0.1:1")
    (state,) = open_project(tmp_path / "old").run(detach=True)
    assert (state.rows, state.ok) == (1, 0)
    (tmp_path / "old").rename(tmp_path / "new")
    configure(tmp_path / "new", address)
    answers += [(200, ""), (200, "{}")]
    open_project(tmp_path / "new").status()
    assert answers == []
    (input_,) = tmp_path.glob("shared/*/input.jsonl")
    assert b"ash" in input_.read_bytes()


def test_jobs_that_end_in_vain_end_their_batch(
    tmp_path: Path, cluster: tuple[str, list[tuple[int, str]]]
) -> None:
    """The third time, with what Ray says of it; one that was forgotten is submitted again, and does
    not count."""
    address, answers = cluster
    provider = opened(tmp_path, address=address)
    (tmp_path / "x.jsonl").write_bytes(b"".join(lines("a")))
    accepted = [(200, ""), (200, "{}")]
    failed = (200, json.dumps({"status": "FAILED", "message": "log:\nNo module named 'ray'"}))
    answers += [*accepted, (404, "Job x does not exist"), *accepted]
    answers += [failed, *accepted, failed, *accepted, failed]
    file = provider.upload(tmp_path / "x.jsonl")
    metadata = {"enrich_batch": "i"}
    remote = provider.submit(file, endpoint="/v1/chat/completions", metadata=metadata)
    for _ in range(4):
        remote = provider.poll(remote.id)
    assert (remote.status, remote.code) == ("failed", "engine_failed")
    assert remote.error == "its job ended 3 times without an answer: No module named 'ray'"
    assert answers == []
