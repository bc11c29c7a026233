"""Embeddings of the local provider: the packaged word vectors, and the real engine with a GGUF."""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import gguf
import pytest
from embedder import packaged
from tiny_gguf import SHORT_CONTEXT, WIDTH, write_embedder, write_llm

from enrich.errors import ProviderError
from enrich.providers.capabilities import answer_now, choose_endpoint
from enrich.providers.executor.folder import Folder
from enrich.providers.local import CHAT_ENDPOINT, EMBEDDING_ENDPOINT, LocalProvider, word_vectors
from enrich.providers.local.word_vectors import EMBEDDER_LLM, WordVectors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from enrich.providers import Provider, Remote

if sys.platform == "win32":
    KILL = signal.SIGTERM  # Python ends the process at once there
else:
    KILL = signal.SIGKILL
FILM = "A mafia family fights for power in New York after the war."
SAME_FILM = "After the war, a family of the mafia fights for power in New York City."
OTHER = "Preheat the oven and mix the flour with two eggs and some butter."


@pytest.fixture
def local(tmp_path: Path) -> Iterator[LocalProvider]:
    """The provider; whatever worker is left afterwards is told to leave."""
    yield LocalProvider(name="local", root=tmp_path / "local")
    _leave(tmp_path)


@pytest.fixture
def tiny(tmp_path: Path) -> Iterator[LocalProvider]:
    """The provider with an embedding model."""
    yield with_gguf(tmp_path, write_embedder(tmp_path / "tiny-embedder.gguf"))
    _leave(tmp_path)


def with_gguf(tmp_path: Path, path: Path) -> LocalProvider:
    return LocalProvider(name="local", root=tmp_path / "local", path=path, slots=2, context=512)


def _leave(tmp_path: Path) -> None:
    folders = [Folder(job.parent) for job in (tmp_path / "local").glob("*/batch.json")]
    for folder in folders:
        folder.ask_cancel()
    until(lambda: not any(folder.is_busy for folder in folders))


def until(done: Callable[[], Any]) -> None:
    """Wait until something is so; the deadline is there only so that a fault ends."""
    deadline = time.monotonic() + 120
    while not done():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.01)


def request(custom_id: str, text: object, **body: Any) -> dict[str, Any]:
    body = {"model": "any", "input": text, **body}
    return {"custom_id": custom_id, "method": "POST", "url": EMBEDDING_ENDPOINT, "body": body}


def submit(provider: Provider, path: Path, lines: list[dict[str, Any]]) -> Remote:
    file = path / "requests.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    sent = provider.upload(file)
    return provider.submit(sent, endpoint=EMBEDDING_ENDPOINT, metadata={"enrich_batch": "one"})


def ended(provider: Provider, batch: Remote) -> Remote:
    until(lambda: provider.poll(batch.id).ended)
    return provider.poll(batch.id)


def answers(provider: Provider, batch: Remote, path: Path) -> dict[str, Any]:
    """The ended batch's answers by custom_id; each is there once."""
    (file,) = batch.files
    provider.fetch(file, path / "results.jsonl")
    lines = [json.loads(line) for line in (path / "results.jsonl").read_text().splitlines()]
    found = {line["custom_id"]: line["response"] for line in lines}
    assert len(found) == len(lines)
    return found


def embed(provider: Provider, path: Path, **texts: object) -> dict[str, Any]:
    """The responses to some texts, or to (text, dimensions)."""
    lines = [
        request(name, text[0], dimensions=text[1])
        if isinstance(text, tuple)
        else request(name, text)
        for name, text in texts.items()
    ]
    batch = ended(provider, submit(provider, path, lines))
    assert batch.status == "completed", batch
    return answers(provider, batch, path)


def read_vector(response: dict[str, Any], llm: str) -> list[float]:
    """The vector of a response in OpenAI's form, whose length is 1."""
    assert response["status_code"] == 200, response
    body = response["body"]
    assert (body["object"], body["model"]) == ("list", llm)
    assert body["usage"]["prompt_tokens"] == body["usage"]["total_tokens"] > 0
    ((kind, index, vector),) = (each.values() for each in body["data"])
    assert (kind, index) == ("embedding", 0)
    assert math.isclose(math.hypot(*vector), 1, abs_tol=1e-6)
    found: list[float] = vector
    return found


def read_refusal(response: dict[str, Any]) -> str:
    assert response["status_code"] == 400, response
    return str(response["body"]["error"]["message"])


def cosine(one: list[float], other: list[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


# the packaged word vectors


@packaged
def test_texts_that_say_the_same_are_near(local: LocalProvider, tmp_path: Path) -> None:
    """Near-duplicates are closer than texts that have nothing to do with each other."""
    provider = choose_endpoint(local, EMBEDDING_ENDPOINT)
    found = embed(provider, tmp_path, film=FILM, same=SAME_FILM, other=OTHER, again=FILM)
    vectors = {name: read_vector(each, EMBEDDER_LLM) for name, each in found.items()}
    assert {len(vector) for vector in vectors.values()} == {256}
    assert vectors["film"] == vectors["again"]
    assert cosine(vectors["film"], vectors["same"]) > 0.8
    assert cosine(vectors["film"], vectors["other"]) < 0.4


@packaged
def test_vectors_are_those_of_the_package(local: LocalProvider, tmp_path: Path) -> None:
    """enrich reads the package's files itself, and comes to the same."""
    code = (
        "import json, sys\n"
        "from safetensors.numpy import load_file\n"
        "from tokenizers import Tokenizer\n"
        "from wordllama.inference import WordLlamaInference\n"
        "(vectors,) = load_file(sys.argv[1]).values()\n"
        "own = WordLlamaInference(vectors, Tokenizer.from_file(sys.argv[2]))\n"
        "print(json.dumps(own.embed(sys.argv[3], norm=True)[0].tolist()))\n"
    )
    files = WordVectors().files
    command = [sys.executable, "-c", code, files.vectors, files.tokenizer, FILM]
    own = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    vector = read_vector(embed(local, tmp_path, a=FILM)["a"], EMBEDDER_LLM)
    assert vector == pytest.approx(own, abs=1e-6)


@packaged
def test_a_vector_can_be_cut(local: LocalProvider, tmp_path: Path) -> None:
    """To the sizes it was trained for, and to no others."""
    sizes: dict[str, object] = {f"n{size}": (FILM, size) for size in (64, 128, 256)}
    odd: dict[str, object] = {f"n{size}": (FILM, size) for size in (0, 100, 512, True)}
    odd["text"] = (FILM, "64")
    found = embed(local, tmp_path, **sizes, **odd)
    whole = read_vector(found["n256"], EMBEDDER_LLM)
    for size in (64, 128):
        vector = read_vector(found[f"n{size}"], EMBEDDER_LLM)
        length = math.hypot(*whole[:size])
        assert vector == pytest.approx([each / length for each in whole[:size]], abs=1e-6)
    for name in ("n100", "n512"):
        assert "64, 128 or 256" in read_refusal(found[name])
    for name in ("n0", "nTrue", "text"):
        assert "positive whole number" in read_refusal(found[name])


@packaged
def test_texts_without_words(local: LocalProvider, tmp_path: Path) -> None:
    """What has no vector is refused in words; what is merely odd has one."""
    found = embed(
        local,
        tmp_path,
        empty="",
        blank=" \n\t",
        number=7,
        several=["a", "b"],
        missing=None,
        unknown="<unk><unk>",
        byte="\x00",
        emoji="🦀",
        broken="a \ud800 b",
        long="word " * 20_000,
    )
    for name in ("empty", "blank"):
        assert "empty" in read_refusal(found[name])
    for name in ("number", "several", "missing"):
        assert "not a text" in read_refusal(found[name])
    assert "no word" in read_refusal(found["unknown"])
    for name in ("byte", "emoji", "broken", "long"):
        read_vector(found[name], EMBEDDER_LLM)


@packaged
def test_answers_now(local: LocalProvider, tmp_path: Path) -> None:
    """A preview of embeddings is answered like one of a chat."""
    asked, results = tmp_path / "asked.jsonl", tmp_path / "results.jsonl"
    asked.write_text(json.dumps(request("a", FILM)) + "\n")
    answer_now(choose_endpoint(local, EMBEDDING_ENDPOINT), asked, results)
    read_vector(json.loads(results.read_text())["response"], EMBEDDER_LLM)


@packaged
def test_a_killed_worker_goes_on(local: LocalProvider, tmp_path: Path) -> None:
    """Each text has one vector, and the sums of tokens are those of all."""
    lines = [request(f"row-{number}", f"{FILM} {number}") for number in range(8000)]
    batch = submit(local, tmp_path, lines)
    folder = Folder(local.batches.root / batch.id)
    until(lambda: folder.output.exists() and folder.output.stat().st_size > 100_000)
    os.kill(int((folder.path / "pid").read_text()), KILL)
    until(lambda: not folder.is_busy)
    with folder.output.open("ab") as output:
        output.write(b'{"custom_id": "row-9", "resp')
    before = folder.output.read_bytes().count(b"\n")
    assert before < len(lines)
    batch = ended(local, local.poll(batch.id))
    assert (batch.status, batch.completed) == ("completed", len(lines))
    found = answers(local, batch, tmp_path)
    assert found.keys() == {line["custom_id"] for line in lines}
    assert batch.input_tokens == sum(
        each["body"]["usage"]["prompt_tokens"] for each in found.values()
    )
    assert folder.log.read_text() == ""


@packaged
def test_serving_changes_the_llm(local: LocalProvider) -> None:
    """And all that follows from it, but not the name; other endpoints are refused."""
    embedder = local.serving(EMBEDDING_ENDPOINT)
    embedder.check(images=False)
    assert (embedder.name, embedder.llm) == (local.name, EMBEDDER_LLM)
    assert embedder.identity.startswith("local:")
    assert "weak for search" in embedder.notice
    assert local.llm == "smollm2-135m-instruct"
    assert "wordllama" not in local.notice
    assert embedder.serving(CHAT_ENDPOINT).llm == local.llm
    assert embedder.answering_now("local:now").llm == EMBEDDER_LLM
    assert local.serving("/v1/responses") is local
    with pytest.raises(ProviderError, match=r"/v1/embeddings, not /v1/responses"):
        local.check(images=False, endpoint="/v1/responses")
    with pytest.raises(ProviderError, match="texts, not images"):
        embedder.check(images=True)


@packaged
def test_damaged_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is cut short is found before a run, and other files are another identity."""
    files = WordVectors().files
    package = tmp_path / "site" / "copied_vectors"
    vectors, tokenizer = package / word_vectors.VECTORS, package / word_vectors.TOKENIZER
    for source, target in ((files.vectors, vectors), (files.tokenizer, tokenizer)):
        target.parent.mkdir(parents=True)
        shutil.copy(source, target)
    (package / "__init__.py").write_text("raise RuntimeError('it is never imported')\n")
    monkeypatch.syspath_prepend(str(package.parent))
    monkeypatch.setattr(word_vectors, "PACKAGE", "copied_vectors")
    same = WordVectors()
    same.check("local", images=False)
    monkeypatch.undo()
    assert same.identity == WordVectors().identity
    tokenizer.write_text(tokenizer.read_text() + " ")
    changed = WordVectors()
    vars(changed)["files"] = same.files
    assert changed.identity != same.identity
    for path in (vectors, tokenizer):
        path.write_bytes(path.read_bytes()[:-10])
        with pytest.raises(ProviderError, match="is damaged"):
            changed.check("local", images=False)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With the command that installs it; chats do without."""
    monkeypatch.setattr(word_vectors, "PACKAGE", "no_such_package")
    local = LocalProvider(name="local", root=tmp_path / "local").serving(EMBEDDING_ENDPOINT)
    for call in (lambda: local.check(images=False), lambda: local.identity):
        with pytest.raises(ProviderError) as caught:
            call()
        assert caught.value.hint == "pip install 'enrich[embed]'"


# a GGUF


def test_gguf(tiny: LocalProvider, tmp_path: Path) -> None:
    """llama.cpp embeds texts, cuts vectors, and refuses in words what it cannot."""
    provider = tiny.serving(EMBEDDING_ENDPOINT)
    provider.check(images=False)
    assert (provider.llm, provider.notice) == ("tiny-embedder", "")
    texts: dict[str, object] = {"cut": (FILM, 8), "wide": (FILM, WIDTH + 1), "empty": ""}
    texts |= {"long": "x" * SHORT_CONTEXT, "far": "x" * 3000, "broken": "a \ud800 b"}
    found = embed(provider, tmp_path, one=FILM, again=FILM, other=OTHER, **texts)
    one, other = (read_vector(found[name], "tiny-embedder") for name in ("one", "other"))
    assert len(one) == WIDTH
    assert one == pytest.approx(read_vector(found["again"], "tiny-embedder"), abs=1e-4)
    assert one != pytest.approx(other, abs=1e-4)
    length = math.hypot(*one[:8])
    cut = read_vector(found["cut"], "tiny-embedder")
    assert cut == pytest.approx([each / length for each in one[:8]], abs=1e-4)
    read_vector(found["broken"], "tiny-embedder")
    assert f"only {WIDTH}" in read_refusal(found["wide"])
    assert "empty" in read_refusal(found["empty"])
    for name in ("long", "far"):
        assert f"takes {SHORT_CONTEXT} at once" in read_refusal(found[name])


def test_gguf_of_an_llm_that_chats(tmp_path: Path) -> None:
    """The mean of its tokens' vectors stands for a text, and a notice says what that is worth."""
    local = with_gguf(tmp_path, write_llm(tmp_path / "tiny.gguf"))
    provider = local.serving(EMBEDDING_ENDPOINT)
    assert provider.identity == local.identity
    assert "probably no embedding model" in provider.notice
    found = embed(local, tmp_path, one=FILM, long="x" * 600)  # whatever object it is called on
    assert len(read_vector(found["one"], "tiny")) == WIDTH
    assert "takes 512 at once" in read_refusal(found["long"])
    _leave(tmp_path)


def test_gguf_whose_last_token_counts(tmp_path: Path) -> None:
    """A text may be longer than a batch of the engine, and as long as the context."""
    path = write_llm(tmp_path / "tiny.gguf", gguf.PoolingType.LAST)
    local = LocalProvider(name="local", root=tmp_path / "local", path=path, slots=1, context=2048)
    provider = local.serving(EMBEDDING_ENDPOINT)
    assert provider.notice == ""
    found = embed(provider, tmp_path, one=FILM, long="x" * 1500, far="x" * 2100)
    for name in ("one", "long"):
        assert len(read_vector(found[name], "tiny")) == WIDTH
    assert "takes 2,048 at once" in read_refusal(found["far"])
    _leave(tmp_path)


def test_gguf_of_a_reranker(tmp_path: Path) -> None:
    """It is refused before anything is started."""
    path = write_llm(tmp_path / "tiny.gguf", gguf.PoolingType.RANK)
    with pytest.raises(ProviderError, match="scores pairs of texts"):
        with_gguf(tmp_path, path).check(images=False, endpoint=EMBEDDING_ENDPOINT)


def test_imports() -> None:
    """The provider comes without the package and what reads its files: only a worker loads them."""
    code = (
        "import sys, enrich.providers.local as _\n"
        "print({'wordllama', 'numpy', 'tokenizers', 'safetensors'} & sys.modules.keys())"
    )
    command = [sys.executable, "-c", code]
    assert subprocess.run(command, capture_output=True, check=True, text=True).stdout == "set()\n"
