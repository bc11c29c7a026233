"""Prompts: roles, templates, images, types; what a model's files become in a request."""

from __future__ import annotations

import base64
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING, Any

import pytest
from folders import opened, plants, settings, write

from enrich.manifest.prompt import Prompt
from enrich.manifest.template import Expression, Image, Text, parse_template
from enrich.providers import Limits
from enrich.providers.capabilities import answer_now
from enrich.providers.openai import Account, OpenAIProvider
from enrich.providers.openai.chat_api import ChatApi
from enrich.providers.openai.connection import Connection
from enrich.rehearsal import Rehearsal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


def body(root: Path) -> dict[str, Any]:
    """The body of the model's first request."""
    request = opened(root).compile("m")["request"]
    assert isinstance(request["body"], dict)
    return request["body"]


def model(root: Path, server: Rehearsal, sql: str, prompt: str) -> Path:
    """A project with one model `m`."""
    write(
        root, {"project.yml": settings(server), "models/m.sql": sql, "models/m.prompt.md": prompt}
    )
    return root


TEMPLATES: dict[str, tuple[str, tuple[str | Expression, ...]]] = {
    "a column": ("a {{ x }} b", ("a ", Expression("x", 1), " b")),
    "braces in quotes": ("{{ '}}' || x }}", (Expression("'}}' || x", 1),)),
    "a struct": ("{{ {'a': {'b': x}}.a.b }}", (Expression("{'a': {'b': x}}.a.b", 1),)),
    "lines": ("a\n{{ x }}\n{{ y }}", ("a\n", Expression("x", 2), "\n", Expression("y", 3))),
    "single braces": ("{x} {{ x }}", ("{x} ", Expression("x", 1))),
}


@pytest.mark.parametrize(("text", "pieces"), TEMPLATES.values(), ids=TEMPLATES)
def test_expressions_are_found(text: str, pieces: tuple[str | Expression, ...]) -> None:
    """`{{ }}` ends at the braces that are neither in quotes nor in a struct."""
    assert parse_template(text, source="p", line=1) == (Text(pieces),)


def test_images_stand_between_texts() -> None:
    """Markdown images become parts of their own, with a detail if one is given."""
    found = parse_template(
        'a\n![x {{ t }}]({{ p }})\nb ![](https://h/i.png "low")', source="p", line=5
    )
    assert found == (
        Text(("a",)),
        Image(Expression("p", 6), "", 6),
        Text(("b ",)),
        Image("https://h/i.png", "low", 7),
    )


def test_roles_and_examples() -> None:
    """Text before the first role line is `system`; turns before the last are examples."""
    prompt = Prompt.parse(
        '---\nkey: id\noutput: a VARCHAR\n---\nBe kind.\n\nuser:\nHi\n\nassistant:\n{"a": "x"}\n\n'
        "user:\nNote: {{ x }}\n",
        source="p",
        values={},
    )
    assert [message.role for message in prompt.messages] == ["system", "user", "assistant", "user"]
    assert [message.is_fixed for message in prompt.messages] == [True, True, True, False]


def test_what_is_the_same_for_every_row_is_the_prefix(tmp_path: Path) -> None:
    """Two rows' requests differ only after the first cell begins."""
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        opened(root).run(detach=True)  # once it has been read, its request file is removed
        (path,) = (root / ".enrich" / "batches").glob("*/kinds-*.jsonl")
    bodies = [line.partition(b'"body":')[2] for line in path.read_bytes().splitlines()]
    (prefix,) = opened(root).sql("SELECT prefix FROM ledger.prompts").rows[0]
    assert all(line.startswith(prefix.encode()) for line in bodies)
    assert prefix.endswith('{"role":"user","content":')


SOURCES = {
    "a file": ("'leaf.png'", "data:image/png;base64," + base64.b64encode(PIXEL).decode()),
    "a url": ("'https://host/a b.png'", "https://host/a b.png"),
    "a blob": (
        f"from_base64('{base64.b64encode(PIXEL).decode()}')",
        "data:image/png;base64," + base64.b64encode(PIXEL).decode(),
    ),
}


@pytest.mark.parametrize("endpoint", ["/v1/chat/completions", "/v1/responses"])
@pytest.mark.parametrize(("source", "url"), SOURCES.values(), ids=SOURCES)
def test_images_come_as_urls(tmp_path: Path, source: str, url: str, endpoint: str) -> None:
    """A URL stays one; a file and a BLOB are sent as `data:` URLs of their media type."""
    (tmp_path / "leaf.png").write_bytes(PIXEL)
    with Rehearsal() as server:
        model(
            tmp_path,
            server,
            f"SELECT 1 AS id, 'oak' AS name, {source} AS url, 'x' AS error",
            f"---\nkey: id\nendpoint: {endpoint}\noutput: line VARCHAR\n---\nuser:\n"
            '{{ name }}\n![{{ name }}]({{ url }} "low")\n',
        )
        sent = body(tmp_path)
        (state,) = opened(tmp_path).run()
    assert state.ok == 1
    if endpoint == "/v1/responses":
        assert sent["input"][0]["content"] == [
            {"type": "input_text", "text": "oak"},
            {"type": "input_image", "image_url": url, "detail": "low"},
        ]
    else:
        assert sent["messages"][0]["content"] == [
            {"type": "text", "text": "oak"},
            {"type": "image_url", "image_url": {"url": url, "detail": "low"}},
        ]


TYPES = {
    "VARCHAR": "VARCHAR",
    "TINYINT": "TINYINT",
    "SMALLINT": "SMALLINT",
    "INTEGER": "INTEGER",
    "BIGINT": "BIGINT",
    "HUGEINT": "HUGEINT",
    "UTINYINT": "UTINYINT",
    "USMALLINT": "USMALLINT",
    "UINTEGER": "UINTEGER",
    "UBIGINT": "UBIGINT",
    "DOUBLE": "DOUBLE",
    "FLOAT": "FLOAT",
    "DECIMAL(38,2)": "DECIMAL(38,2)",
    "BOOLEAN": "BOOLEAN",
    "DATE": "DATE",
    "TIMESTAMP": "TIMESTAMP",
    "ENUM('a', 'it''s', 'ü,)')": "ENUM('a', 'it''s', 'ü,)')",
    "VARCHAR[]": "VARCHAR[]",
    "ENUM('a', 'b')[]": "ENUM('a', 'b')[]",
    "STRUCT(a VARCHAR, b INTEGER)": "STRUCT(a VARCHAR, b INTEGER)",
    "STRUCT(a VARCHAR, b DATE[])[]": "STRUCT(a VARCHAR, b DATE[])[]",
    "INTEGER[][]": "INTEGER[][]",
}


def test_every_type_goes_there_and_back(tmp_path: Path) -> None:
    """Each type of the output has a strict schema, an answer that fits, and its column."""
    columns = [f"c{number} {kind}" for number, kind in enumerate(TYPES)]
    columns += [f"n{number} {kind} NOT NULL" for number, kind in enumerate(TYPES)]
    ddl = ",\n  ".join(columns)
    with Rehearsal() as server:
        root = model(
            tmp_path,
            server,
            "SELECT unnest(range(12)) AS id",
            f"---\nkey: id\noutput: |\n  {ddl}\n---\nuser:\n{{{{ id }}}}\n",
        )
        (state,) = opened(root).run()
        faults = opened(root).sql("SELECT DISTINCT error FROM enrich.m").rows
        assert (state.ok, faults) == (12, ((None,),))
        table = dict(row[:2] for row in opened(root).sql("DESCRIBE m").rows)
    expected = {"id": "BIGINT"}
    for letter in "cn":
        expected |= {f"{letter}{number}": kind for number, kind in enumerate(TYPES.values())}
    assert table == expected


def test_odd_names(tmp_path: Path) -> None:
    """Columns may be called anything, also what enrich's own statements call theirs."""
    names = ["tail", "error", "inputs", "content", "document", "answer", "path", "source", "url"]
    odd = ["select", 'say "hi"', "a b", "ünï", *names]
    listed = ", ".join(f"'{name}' AS \"{name.replace(chr(34), chr(34) * 2)}\"" for name in odd)
    quoted = ['"' + name.replace('"', '""') + '"' for name in odd]
    texts = " ".join(f"{{{{ {name} }}}}" for name in quoted)
    keys = json.dumps(["key", "rows", "fingerprint_", "custom_id"])
    output = ", ".join(f"{name} VARCHAR" for name in quoted)
    with Rehearsal() as server:
        root = model(
            tmp_path,
            server,
            f'SELECT 1 AS "key", 2 AS "rows", 3 AS fingerprint_, 4 AS custom_id, {listed}',
            f"---\nkey: {keys}\noutput: |\n  {output}\n---\nuser:\n{texts}\n",
        )
        assert body(root)["messages"][0]["content"] == " ".join(odd)
        (state,) = opened(root).run()
        assert state.ok == 1
        columns = [row[0] for row in opened(root).sql("DESCRIBE m").rows]
    assert columns == ["key", "rows", "fingerprint_", "custom_id", *odd]


class Mirror(BaseHTTPRequestHandler):
    """Remembers what a call carried, and says no."""

    seen: list[tuple[str, dict[str, str]]]

    def do_GET(self) -> None:
        self.seen.append((self.path, {key.lower(): value for key, value in self.headers.items()}))
        self.send_response(404)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""


@pytest.mark.parametrize("azure", [False, True], ids=["openai", "azure"])
def test_who_calls(tmp_path: Path, azure: bool) -> None:
    """Organization, project and further headers reach the provider; Azure has the SDK's client."""
    Mirror.seen = []
    with ThreadingHTTPServer(("127.0.0.1", 0), Mirror) as server:
        thread = Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}"
        account = Account(
            api_key="sk-some-key",
            base_url="" if azure else f"{url}/v1",
            organization="org-1",
            project="proj-1",
            headers={"X-Team": "plants"},
            azure_endpoint=url if azure else "",
            api_version="2025-04-01-preview" if azure else "",
        )
        chat = ChatApi(connection=Connection(name="api", account=account), root=tmp_path)
        provider = OpenAIProvider(name="api", llm="x", account=account, limits=Limits(), chat=chat)
        with pytest.raises(Exception, match="answered 404"):
            provider.poll("batch_1")
        provider.client.close()
        server.shutdown()
        thread.join()
    ((path, headers),) = Mirror.seen
    assert headers["x-team"] == "plants"
    if azure:
        assert path == "/openai/batches/batch_1?api-version=2025-04-01-preview"
        assert headers["api-key"] == "sk-some-key"
    else:
        assert path == "/v1/batches/batch_1"
        assert headers["authorization"] == "Bearer sk-some-key"
        assert (headers["openai-organization"], headers["openai-project"]) == ("org-1", "proj-1")


def lines(path: Path, *bodies: Mapping[str, object]) -> Path:
    """A request file."""
    made = [
        {"custom_id": str(n), "method": "POST", "url": "/v1/chat/completions", "body": body}
        for n, body in enumerate(bodies)
    ]
    path.write_text("".join(f"{json.dumps(line)}\n" for line in made))
    return path


def test_rows_may_share_a_picture(tmp_path: Path) -> None:
    """One file for several rows is read once, and each row has it."""
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        (tmp_path / "leaf.png").write_bytes(PIXEL)
        prompt = (
            "---\nkey: id\noutput: word VARCHAR NOT NULL\n---\nuser:\n{{ name }}\n![]({{ file }})\n"
        )
        write(
            root,
            {
                "models/kinds.sql": "SELECT id, name, 'leaf.png' AS file FROM plants\n",
                "models/kinds.prompt.md": prompt,
            },
        )
        (state,) = opened(root).run()
        assert (state.rows, state.ok) == (4, 4)
        write(root, {"models/kinds.prompt.md": prompt.replace("name", "upper(name)")})
        (plan,) = opened(root).plan()
        assert plan.reasons == {"prompt changed": 4}


def test_requests_are_answered_now(tmp_path: Path) -> None:
    """The synchronous endpoint of the same provider gives result lines like a batch's; what is
    wrong with one request is its own answer."""
    with Rehearsal() as server:
        account = Account(api_key="any", base_url=server.base_url)
        chat = ChatApi(connection=Connection(name="api", account=account), root=tmp_path)
        provider = OpenAIProvider(name="api", llm="x", account=account, limits=Limits(), chat=chat)
        good = {"model": "x", "messages": [{"role": "user", "content": "Hi"}]}
        requests = lines(tmp_path / "requests.jsonl", good, good | {"messages": []})
        answer_now(provider, requests, tmp_path / "results.jsonl")
        assert server.bill.total == 1
    found = (json.loads(line) for line in (tmp_path / "results.jsonl").read_text().splitlines())
    responses = {line["custom_id"]: line["response"] for line in found}
    assert responses["0"]["status_code"] == 200
    assert responses["0"]["body"]["choices"][0]["message"]["content"]
    assert responses["1"]["status_code"] == 400
    assert responses["1"]["body"]["error"]["message"]
