"""Secrets: no form of a key reaches a file, the ledger, the warehouse or the screen."""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from click.testing import CliRunner
from folders import Ears, opened, plants, settings, write

import enrich
from enrich.cli import main
from enrich.errors import EnrichError, ProjectError, ProviderError
from enrich.providers.secrets import Secrets
from enrich.rehearsal import Rehearsal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KEY = 'sk-se/cr+et é"1234'
PLAIN = "sk-secret-0123456789"


def seen(root: Path, *secrets: str) -> set[str]:
    """The files below a folder that hold any of these, but for project.yml, which people write."""
    return {
        str(path.relative_to(root))
        for path in root.rglob("*")
        if path.is_file() and path.name != "project.yml"
        for secret in secrets
        if secret.encode() in path.read_bytes()
    }


def test_every_form_is_redacted() -> None:
    secrets = Secrets.from_values([KEY, "abc"])
    for form in (KEY, repr(KEY), json.dumps(KEY), quote(KEY), quote(KEY, safe="")):
        assert "cr" not in secrets.redact(f"before {form} after").replace("secret", "")
    assert secrets.redact("abc is too short to be one") == "abc is too short to be one"


@pytest.mark.parametrize("space", ["\n", " ", "\r\n", "\t\n "])
@pytest.mark.few(1)
def test_white_space_around_a_key_is_no_part_of_it(tmp_path: Path, space: str) -> None:
    """Shells and files add a newline."""
    with Rehearsal(api_key=PLAIN) as server:
        root = plants(tmp_path, server, api_key="${MY_KEY}", headers={"X-More": "${MY_KEY}"})
        environment = {"MY_KEY": f"{space}{PLAIN}{space}"}
        (state,) = enrich.Project(root, environment=environment).run()
        assert state.ok == 4
        text = settings(server, api_key="").replace(', "api_key": ""', "")
        select = "SELECT id, name, 'x' AS note FROM plants"
        write(root, {"project.yml": text, "models/kinds.sql": select})
        (state,) = enrich.Project(root, environment={"OPENAI_API_KEY": f"{PLAIN}{space}"}).run()
        assert state.ok == 4


@pytest.mark.parametrize("where", ["api_key", "headers"])
@pytest.mark.parametrize("bad", ["\n", "\x00", "\x7f", "\u2028"])
def test_an_illegal_key_is_refused_without_showing_it(tmp_path: Path, where: str, bad: str) -> None:
    with Rehearsal() as server:
        value: Any = "${MY_KEY}" if where == "api_key" else {"X-Auth": "${MY_KEY}"}
        root = plants(tmp_path, server, **{where: value})
        secret = f"sk-left{bad}right"
        with pytest.raises(EnrichError) as refused:
            enrich.Project(root, environment={"MY_KEY": secret}).run()
        said = f"{refused.value.message} {refused.value.hint}"
        assert "sk-left" not in said
        assert "right" not in said.replace("copyright", "")
        assert isinstance(refused.value, ProjectError)


@pytest.mark.few(0)
def test_what_a_server_repeats_is_written_nowhere(tmp_path: Path) -> None:
    """In result lines, in errors of lines, and in the errors of whole batches and calls."""

    def rewrite(line: dict[str, Any]) -> dict[str, Any]:
        if line["custom_id"] == "1":
            return line | {"response": None, "error": {"code": PLAIN, "message": f"bad {PLAIN}"}}
        if line["custom_id"] == "2":
            line["response"]["body"]["choices"][0]["message"]["content"] = f"your key is {PLAIN}"
        line["response"]["request_id"] = quote(PLAIN)
        return line

    with Rehearsal(rewrite=rewrite) as server:
        server.script("POST /v1/files", [503])
        server.script("POST /v1/batches", [(429, {"error": {"message": f"slow down, {PLAIN}"}})])
        root = plants(tmp_path, server, api_key="${MY_KEY}")
        ears = Ears()
        project = enrich.Project(root, talk=ears, environment={"MY_KEY": PLAIN})
        project.run()
        assert any("slow down, ***" in said for said in ears.said)
        assert seen(root, PLAIN) == set()
        errors = project.sql("SELECT error FROM enrich.kinds ORDER BY id").rows
        assert errors[0] == ("bad ***",)


@pytest.mark.parametrize("status", [400, 401, 403, 500])
def test_an_error_never_shows_a_key(tmp_path: Path, status: int) -> None:
    with Rehearsal() as server:
        body = {"error": {"message": f"Incorrect API key: {PLAIN} / {quote(PLAIN)} / {PLAIN!r}"}}
        server.script("POST /v1/files", [(status, body)] * 20)
        root = plants(tmp_path, server, api_key=PLAIN)
        found = CliRunner().invoke(main, ["--project", str(root), "run", "--detach"])
        assert found.exit_code in (1, 4)
        assert PLAIN not in found.output
        assert "Incorrect API key: ***" in found.output


def test_a_secret_in_an_address_is_not_in_the_ledger(tmp_path: Path) -> None:
    """Answers are known by its hash: the same address finds them again, another does not."""
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        text = settings(server).replace(server.base_url, server.base_url + "/../${TOKEN}/../v1")
        write(root, {"project.yml": text})
        project = enrich.Project(root, environment={"TOKEN": "tok-0123456789"})
        provider = project.provider("api")
        assert "tok-0123456789" not in provider.identity
        assert "${TOKEN}-" in provider.identity
        other = enrich.Project(root, environment={"TOKEN": "tok-other-6789"}).provider("api")
        assert other.identity != provider.identity


class Elsewhere(BaseHTTPRequestHandler):
    """Keeps what it is sent."""

    got: list[str]

    def do_POST(self) -> None:
        self.got.append(str(self.headers))
        self.send_response(500)
        self.end_headers()

    do_GET = do_POST  # noqa: N815  # as http.server calls it

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""


@pytest.fixture
def elsewhere() -> Iterator[tuple[str, list[str]]]:
    """Another host, and what came there."""
    Elsewhere.got = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Elsewhere)
    Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", Elsewhere.got
    server.shutdown()
    server.server_close()


def test_a_redirect_carries_nothing_elsewhere(
    tmp_path: Path, elsewhere: tuple[str, list[str]]
) -> None:
    """Neither headers nor rows: where it leads is said, for people to judge."""
    address, got = elsewhere

    class Redirect(Elsewhere):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(307)
            self.send_header("Location", f"{address}/v1/files")
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_POST  # noqa: N815

    server = ThreadingHTTPServer(("127.0.0.1", 0), Redirect)
    Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        with Rehearsal() as any_server:
            root = plants(
                tmp_path, any_server, base_url=f"http://127.0.0.1:{server.server_port}/v1"
            )
            with pytest.raises(ProviderError, match="answered 307") as moved:
                opened(root).run()
        assert address in moved.value.hint
        assert got == []
    finally:
        server.shutdown()
        server.server_close()
