"""Bad input: one sentence and a hint; nothing changed, nothing spent, never a traceback."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from typing import TYPE_CHECKING

import duckdb
import pytest
from click.testing import CliRunner, Result
from folders import PROMPT, needs_duckdb_2, opened, plants, settings, write

from enrich.cli import main
from enrich.errors import ModelError
from enrich.rehearsal import Rehearsal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def server() -> Iterator[Rehearsal]:
    with Rehearsal(api_key="sk-rehearsal-secret") as listening:
        yield listening


def enrich(root: Path, *words: str) -> Result:
    return CliRunner().invoke(main, ["--project", str(root), "--lock-timeout", "0", *words])


def refused(result: Result, *expected: str) -> None:
    """The command ended with 1, one sentence and a hint, without a traceback."""
    assert result.exit_code == 1, result.output
    assert isinstance(result.exception, SystemExit), result.exception
    last = result.stderr[result.stderr.index("error: ") :]
    assert last.count("error: ") == 1
    assert len(last.split("\n\nhint: ")) == 2, last
    assert "Traceback" not in result.output
    for words in expected:
        assert words in last


def test_no_project(tmp_path: Path) -> None:
    """A folder without project.yml."""
    refused(enrich(tmp_path, "run"), "there is no project.yml in", "enrich init")


SETTINGS = {
    "misspelt": (
        "budgt: 5\n",
        "project.yml:1: 'budgt' is not a setting here",
        "did you mean 'budget'?",
    ),
    "nearest": ("name: x\nwarehous: a\n", "project.yml:2: 'warehous'", "did you mean 'warehouse'?"),
    "yaml": ("name: [x\nprovider: y\n", "project.yml:2: this is not YAML", "quotes"),
    "twice": ("name: x\nname: y\n", "project.yml:2: duplicate key 'name'", "keep one"),
    "list": ("- a\n", "project.yml:1: expected settings", "key: value"),
    "type": ("providers: {x: {type: opnai}}\nprovider: x\n", "'type' cannot be 'opnai'", "openai"),
    "provider": ("provider: azur\nproviders: {azure: {}}\n", "'azur'", "did you mean 'azure'?"),
    "inner": ("provider: a\nproviders: {a: {type: openai, lm: x}}\n", "'lm' is not a", "'llm'"),
    "variable": (
        "provider: a\nproviders: {a: {type: openai, base_url: '${NO_SUCH_URL}'}}\n",
        "'base_url' needs the environment variable NO_SUCH_URL",
        "export NO_SUCH_URL=",
    ),
    "no date": ("name: 2026-99-99\n", "project.yml", "quotes"),
    "same file": ("ledger: warehouse.duckdb\n", "the same file as the ledger", "a file of its own"),
    "nan": (
        "params: {x: .nan}\n",
        "'params' contains a value that JSON cannot express",
        "quote dates",
    ),
    "huge": ("max_attempts: 99999999999\n", "'max_attempts' must be a whole number", "3"),
    "merge": ("<<: {name: x}\n", "'<<' is not supported here", "write the settings out"),
    "no address": (
        "provider: a\nproviders: {a: {type: openai, base_url: 'http://[::1'}}\n",
        "'base_url' is not a valid URL",
        "https://",
    ),
    "odd key": (
        "provider: a\nproviders: {a: {type: openai, base_url: 'http://127.0.0.1:9', api_key: ü}}\n",
        "a character that HTTP cannot send",
        "copy the key again",
    ),
    "attempts": (
        "max_attempts: many\n",
        "'max_attempts' must be a whole number",
        "max_attempts: 3",
    ),
}


@pytest.mark.parametrize(("text", "sentence", "hint"), SETTINGS.values(), ids=SETTINGS)
def test_bad_settings(
    tmp_path: Path, server: Rehearsal, text: str, sentence: str, hint: str
) -> None:
    """project.yml: which line, which key, and what to write instead."""
    write(plants(tmp_path, server), {"project.yml": text})
    refused(enrich(tmp_path, "run"), sentence, hint)


UNENDED, UNCLOSED = "SELECT id,\nFROM", "SELECT 'x FROM plants"
DEEP = "SELECT " + "(" * 3000 + "1" + ")" * 3000 + " AS id"
MODELS = {
    "empty": ("", "models/kinds.sql: it is empty", "one SELECT"),
    "no sql": (UNENDED, "models/kinds.sql:2: the SELECT cannot be parsed", "DuckDB"),
    "quote": (UNCLOSED, "models/kinds.sql", "unterminated string literal"),
    "two": ("SELECT 1; SELECT 2", "models/kinds.sql: it contains 2 statements", "one SELECT"),
    "drop": ("DROP TABLE plants", "it is not a SELECT but DROP", "one SELECT"),
    "copy": ("COPY plants TO 'x.csv'", "it is not a SELECT but COPY", "one SELECT"),
    "column": ("SELECT id,\n  nam, note\nFROM plants", "models/kinds.sql:2: ", "nam, note"),
    "table": ("SELECT id, name, note\nFROM plant", "models/kinds.sql:2: ", "FROM plant"),
    "cast": ("SELECT id, name::INT AS name, note FROM plants", "models/kinds.sql", "'ash'"),
    "no key": (
        "SELECT id AS ident, name, note FROM plants",
        "the key 'id' is not a column",
        "ident",
    ),
    "null key": (
        "SELECT nullif(id, 2) AS id, name, note FROM plants",
        "the key (id) is NULL in models/kinds.sql: {'id': NULL}",
        "WHERE id IS NOT NULL",
    ),
    "double key": (
        "SELECT id // 2 AS id, name, note FROM plants",
        "the key (id) is not unique in models/kinds.sql: {'id': 1}",
        "DISTINCT",
    ),
    "list key": ("SELECT [id] AS id, name, note FROM plants", "not one plain value", "key"),
    "deep": (DEEP, "models/kinds.sql", "SELECT"),
    "self": ("SELECT id, name, note FROM kinds", "'kinds' reads its own table", "source"),
}


@pytest.mark.parametrize(("text", "sentence", "hint"), MODELS.values(), ids=MODELS)
def test_bad_select(tmp_path: Path, server: Rehearsal, text: str, sentence: str, hint: str) -> None:
    """A model's SELECT: which file, which line, which column or key."""
    if text in (UNENDED, UNCLOSED, DEEP):
        needs_duckdb_2("DuckDB 1.5 says it in other words, or can parse it")
    write(plants(tmp_path, server), {"models/kinds.sql": text})
    refused(enrich(tmp_path, "run", "kinds"), sentence, hint)
    assert not server.batches


ROW_TEXT = "{{ name }}: {{ coalesce(note, 'nothing') }}"
PROMPTS = {
    "unclosed settings": (
        PROMPT.replace("    ---\n    You", "    You"),
        "models/kinds.prompt.md:1: the settings that start here are never closed",
        "a line `---`",
    ),
    "a role in capitals": (
        PROMPT.replace("user:", "User:"),
        ":12: 'User:' does not start a message",
        "write `user:` at the start of the line; as text, write {{ 'User:' }}",
    ),
    "a role further in": (PROMPT.replace("user:", "  user :"), ":12: 'user :'", "`user:`"),
    "a role and its text": (
        PROMPT.replace("user:\n    {{", "user: {{"),
        ":12: 'user:' does not start a message, because text follows it",
        "on a line of its own",
    ),
    "a block of Jinja": (
        PROMPT.replace(ROW_TEXT, "{% if note %}" + ROW_TEXT + "{% endif %}"),
        ":13: {% if note %} is Jinja",
        "{{ CASE WHEN ... END }}; as text, write {{ '{%' }}",
    ),
    "a comment of Jinja": (
        PROMPT.replace("You know", "{# a\n     note #} You"),
        ":10: {# a is",
        "{{ '{#",
    ),
    "another provider": (
        PROMPT.replace("params:", "provider: opnai\n    params:"),
        "models/kinds.prompt.md:8: project.yml has no provider 'opnai'",
        "known here: api",
    ),
    "a test of nothing": (
        PROMPT.replace("params:", "tests: [not_null]\n    params:"),
        ":8: 'tests' needs more than 'not_null'",
        "`not_null: a`",
    ),
    "a budget in words": (
        PROMPT.replace("params:", "budget: five\n    params:"),
        ":8: 'budget' must be an amount in USD",
        "hint: budget: 5.00",
    ),
    "several answers": (
        PROMPT.replace("temperature: 0", "n: 3"),
        ":8: 'params' asks for several answers to each request ('n')",
        "remove 'n'",
    ),
    "no front": (
        "Hello {{ name }}",
        "models/kinds.prompt.md: a prompt must start with its settings",
        "---",
    ),
    "no key": (PROMPT.replace("key: id", ""), "'key' is not set", "key: id"),
    "unknown": (PROMPT.replace("params", "parms"), ":8: 'parms' is not", "did you mean 'params'?"),
    "column": (PROMPT.replace("{{ name }}", "{{ nam }}"), ":13: 'nam' is not a column", "'name'"),
    "bad sql": (
        PROMPT.replace("{{ name }}", "{{ name + }}"),
        ":13: 'name +' is not SQL",
        "coalesce",
    ),
    "type": (PROMPT.replace("{{ name }}", "{{ name + 1 }}"), ":13: {{ name + 1 }}: ", "cast"),
    "aggregate": (
        PROMPT.replace("{{ name }}", "{{ max(name) }}"),
        "not one value of a row",
        "SELECT",
    ),
    "subquery": (
        PROMPT.replace("{{ name }}", "{{ (SELECT 1) }}"),
        "not one value of a row",
        "SELECT",
    ),
    "unclosed": (PROMPT.replace("{{ name }}", "{{ name"), ":13: '{{' is never closed", "}}"),
    "empty": (PROMPT.replace("{{ name }}", "{{ }}"), ":13: '{{ }}' is empty", "column"),
    "constant": (
        PROMPT.replace("{{ name }}: {{ coalesce(note, 'nothing') }}", "hello"),
        "the prompt asks the same for every row",
        "{{ title }}",
    ),
    "ddl": (PROMPT.replace("height DOUBLE", "height of it"), ":6: ", "CREATE TABLE"),
    "ddl type": (
        PROMPT.replace("height DOUBLE", "height BLOB"),
        ":6: the output cannot hold BLOB",
        "VARCHAR",
    ),
    "check": (
        PROMPT.replace("len(tags)", "lenn(tags)"),
        "CHECK (lenn(tags) BETWEEN 1 AND 3)",
        "len",
    ),
    "check elsewhere": (
        PROMPT.replace("len(tags) BETWEEN 1 AND 3", "line IN (SELECT name FROM plants)"),
        "CHECK (line IN (SELECT name FROM plants)) cannot be evaluated",
        "the output's columns",
    ),
    "check no condition": (
        PROMPT.replace("len(tags) BETWEEN 1 AND 3", "len(tags)"),
        "is not a condition on one answer",
        "the output's columns",
    ),
    "check aggregate": (
        PROMPT.replace("len(tags) BETWEEN 1 AND 3", "count(*) > 0"),
        "CHECK (count(*) > 0)",
        "the output's columns",
    ),
    "check random": (
        PROMPT.replace("len(tags) BETWEEN 1 AND 3", "random() >= 0"),
        "CHECK (random() >= 0)",
        "the output's columns",
    ),
    "params date": (
        PROMPT.replace("temperature: 0", "seed: 2024-01-01"),
        "'params' contains a value that JSON cannot express",
        "quote dates",
    ),
    "key in output": (PROMPT.replace("height", "id"), "'output' cannot contain 'id'", "key"),
    "params": (PROMPT.replace("temperature: 0", "model: x"), "cannot contain 'model'", "enrich"),
    "text": (
        PROMPT.replace("key: id", "key: id\n    response_format: text"),
        "'text' needs exactly one VARCHAR",
        "json_schema",
    ),
}


@pytest.mark.parametrize(("text", "sentence", "hint"), PROMPTS.values(), ids=PROMPTS)
def test_bad_prompt(tmp_path: Path, server: Rehearsal, text: str, sentence: str, hint: str) -> None:
    """A prompt: which file, which line, and what to write instead."""
    write(plants(tmp_path, server), {"models/kinds.prompt.md": text})
    refused(enrich(tmp_path, "run", "kinds"), sentence, hint)
    assert not server.batches


@pytest.mark.parametrize(
    "said",
    [
        "You know plants.\n\nuser:\nUser: {{ name }}\nAssistant: what?",
        "{{ 'User:' }}\nYou know {{ '{% x %}' }}.\n\nuser:\n{{ {'user':\n  name}.user }}",
    ],
)
def test_what_is_meant_as_text_stays_text(tmp_path: Path, server: Rehearsal, said: str) -> None:
    """A conversation in a prompt that has roles, and what is in `{{ }}`."""
    text = PROMPT.partition("    You know")[0].replace("\n    ", "\n").lstrip("\n") + said
    root = plants(tmp_path, server)
    (root / "models/kinds.prompt.md").write_text(text)
    assert enrich(root, "plan").exit_code == 0


def test_a_column_with_a_space_is_quoted(tmp_path: Path, server: Rehearsal) -> None:
    root = plants(tmp_path, server)
    write(root, {"models/kinds.sql": 'SELECT id, name AS "Full Name", note FROM plants'})
    write(root, {"models/kinds.prompt.md": PROMPT.replace("{{ name }}", "{{ Full Name }}")})
    refused(enrich(root, "plan"), ":13: ", 'write {{ "Full Name" }}')


@pytest.mark.parametrize("word", ["warehouse", "ledger"])
def test_a_missing_folder_is_not_a_matter_of_permissions(
    tmp_path: Path, server: Rehearsal, word: str
) -> None:
    root = plants(tmp_path, server)
    said = json.loads((root / "project.yml").read_text()) | {word: "my data/x.duckdb"}
    (root / "project.yml").write_text(json.dumps(said))
    refused(enrich(root, "plan"), "my data/x.duckdb does not exist", f"mkdir -p '{root}/my data'")


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("1m.sql", b"SELECT 1 AS a", "because it starts with a digit"),
        ("mod\u00e8le.sql", b"SELECT 1 AS a", "because it contains '\u00e8'"),
        ("m.sql", b"SELECT 1 AS a,\n 'caf\xe9' AS b", "models/m.sql:2: the file is not UTF-8"),
    ],
)
def test_files_that_cannot_be_models(
    tmp_path: Path, server: Rehearsal, name: str, data: bytes, said: str
) -> None:
    root = plants(tmp_path, server)
    (root / "models" / name).write_bytes(data)
    assert said in enrich(root, "list").stderr


def test_unknown_model(tmp_path: Path, server: Rehearsal) -> None:
    """The nearest name is offered."""
    result = enrich(plants(tmp_path, server), "run", "kind")
    refused(result, "there is no model 'kind'", "did you mean 'kinds'?")


def test_circle(tmp_path: Path, server: Rehearsal) -> None:
    """Models that read each other's tables."""
    root = plants(tmp_path, server)
    write(root, {"models/a.sql": "SELECT * FROM b", "models/b.sql": "SELECT * FROM a"})
    refused(enrich(root, "run"), "read each other in a circle: ", "a -> b")


def test_prompt_without_select(tmp_path: Path, server: Rehearsal) -> None:
    """A prompt needs the SELECT beside it."""
    root = plants(tmp_path, server)
    write(root, {"models/lone.prompt.md": PROMPT})
    refused(enrich(root, "run"), "there is no lone.sql", "lone.sql beside it")


def test_two_models_of_one_name(tmp_path: Path, server: Rehearsal) -> None:
    """A name is a table's name, so it is unique."""
    root = plants(tmp_path, server)
    write(root, {"models/more/kinds.sql": "SELECT 1"})
    refused(enrich(root, "run"), "has the same name", "rename")


def test_foreign_table_is_left_alone(tmp_path: Path, server: Rehearsal) -> None:
    """A table that enrich did not make is never replaced."""
    root, before = plants(tmp_path, server), len(server.batches)
    with duckdb.connect(root / "warehouse.duckdb") as own:
        own.execute("CREATE TABLE kinds AS SELECT 42 AS precious")
    refused(enrich(root, "run"), "'kinds': enrich did not create it", "DROP TABLE")
    assert len(server.batches) == before
    with duckdb.connect(root / "warehouse.duckdb") as own:
        assert own.execute("FROM kinds").fetchall() == [(42,)]


def test_no_key(tmp_path: Path, server: Rehearsal) -> None:
    """Without an API key nothing is tried."""
    root = plants(tmp_path, server, api_key="")
    refused(enrich(root, "run"), "provider 'api' has no API key", "OPENAI_API_KEY")


STATUSES = {
    401: ("answered 401", "OPENAI_API_KEY"),
    403: ("answered 403", "permissions"),
    404: ("answered 404", "base_url"),
}


@pytest.mark.parametrize(("status", "expected"), STATUSES.items())
def test_provider_says_no(tmp_path: Path, status: int, expected: tuple[str, str]) -> None:
    """An upload that is refused: the provider's words, a hint, and no batch is left behind."""
    with Rehearsal() as api:
        api.script("POST /v1/files", [status])
        root = plants(tmp_path, api)
        refused(enrich(root, "run"), *expected)
        assert not api.batches
        (state,) = opened(root).run()
        assert (state.ok, len(api.batches)) == (4, 1)


def test_no_quota(tmp_path: Path) -> None:
    """429 for want of money is not tried again."""
    with Rehearsal() as api:
        api.script("POST /v1/files", [(429, "insufficient_quota")] * 5)
        refused(enrich(plants(tmp_path, api), "run"), "answered 429", "billing")


@pytest.mark.parametrize("status", [400, 401])
def test_create_says_no(tmp_path: Path, status: int) -> None:
    """A create that is refused left nothing behind: it is never looked for, and asked anew."""
    with Rehearsal() as api:
        api.script("POST /v1/batches", [status])
        root = plants(tmp_path, api)
        refused_once = enrich(root, "run")
        assert refused_once.exit_code == 1, refused_once.output
        (state,) = opened(root).run()
        assert (state.ok, len(api.batches)) == (4, 1)


def test_no_connection(tmp_path: Path, server: Rehearsal) -> None:
    """Nobody listens at base_url: that may pass, so what was planned stays planned."""
    root = plants(tmp_path, server, base_url="http://127.0.0.1:9/v1")
    result = enrich(root, "run", "--detach")
    assert result.exit_code == 4
    assert "api cannot be reached at http://127.0.0.1:9/v1" in result.output
    assert enrich(root, "status").exit_code == 4


def test_wrong_key_is_not_shown(tmp_path: Path, server: Rehearsal) -> None:
    """A key never reaches an error, even if the provider repeats it."""
    root = plants(tmp_path, server, api_key="sk-wrong-and-secret")
    result = enrich(root, "run")
    refused(result, "answered 401", "OPENAI_API_KEY")
    assert "sk-wrong-and-secret" not in result.output


def test_missing_weights(tmp_path: Path) -> None:
    """A GGUF that is not there."""
    plants(tmp_path, Rehearsal())
    write(tmp_path, {"project.yml": "providers: {local: {path: no/such.gguf}}\n"})
    refused(enrich(tmp_path, "run"), "such.gguf", "path")


def test_locked_warehouse(tmp_path: Path, server: Rehearsal) -> None:
    """Another process holds the warehouse: its PID, and nothing is lost."""
    root = plants(tmp_path, server)
    code = (
        "import duckdb, sys; held = duckdb.connect(sys.argv[1]); print('held', flush=True); "
        "sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(root / "warehouse.duckdb")]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == "held\n"
        result = enrich(root, "run")
        holder.communicate()
    refused(result, f"warehouse.duckdb is held by process {holder.pid}", "nothing is lost")
    assert enrich(root, "run").exit_code == 0


def test_newer_warehouse(tmp_path: Path, server: Rehearsal) -> None:
    """A warehouse that a newer DuckDB wrote is left as it is."""
    root = plants(tmp_path, server)
    path = root / "warehouse.duckdb"
    duckdb.connect(path).close()
    path.write_bytes(from_the_future(bytearray(path.read_bytes())))
    before = path.read_bytes()
    refused(enrich(root, "run"), "was written by a newer DuckDB", "pip install -U duckdb")
    assert path.read_bytes() == before


def from_the_future(file: bytearray) -> bytes:
    """A DuckDB file whose header asks for version 999, as those of DuckDB 2 do for DuckDB 1.5, and
    whose two database headers ask for storage version 999.

    A block's first eight bytes are its checksum: DuckDB's source, checksum.cpp.
    """
    for block, place in ((0, 12), (4096, 56), (8192, 56)):
        struct.pack_into("<Q", file, block + place, 999)
        total = 5381
        for at in range(block + 8, block + 4096, 8):
            (word,) = struct.unpack_from("<Q", file, at)
            total ^= word * 0xBF58476D1CE4E5B9 & 0xFFFFFFFFFFFFFFFF
        struct.pack_into("<Q", file, block, total)
    return bytes(file)


def test_not_a_warehouse(tmp_path: Path, server: Rehearsal) -> None:
    """Some other file where the warehouse should be."""
    root = plants(tmp_path, server)
    write(root, {"warehouse.duckdb": "hello\n" * 1000})
    refused(enrich(root, "run"), "is not a DuckDB database", "project.yml")


def test_bad_seed(tmp_path: Path, server: Rehearsal) -> None:
    """A seed that cannot be read names its file."""
    root = plants(tmp_path, server)
    write(root, {"seeds/more.jsonl": '{"a": 1}\n{"a": \n'})
    refused(enrich(root, "seed"), "seeds/more.jsonl:3: Malformed JSON", "fix the file")


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on file sizes")
@pytest.mark.few(0)
def test_disk_full(tmp_path: Path, server: Rehearsal) -> None:
    """A request file that does not fit: nothing is submitted, and the next run goes on."""
    root = plants(tmp_path, server)
    rows = "".join(f"{number},plant {number},note\n" for number in range(1500))
    write(root, {"seeds/plants.csv": f"id,name,note\n{rows}"})
    write(root, {"models/kinds.prompt.md": PROMPT.replace("You know", "You know " * 800)})
    code = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (5_000_000,) * 2); "
        "from enrich.cli import main; main(sys.argv[1:])"
    )
    command = [sys.executable, "-c", code, "--project", str(root), "run"]
    before = len(server.batches)
    full = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ)
    assert full.returncode == 1, full.stderr
    assert "error: " in full.stderr
    assert "disk is full" in full.stderr
    assert "Traceback" not in full.stderr
    assert len(server.batches) == before
    (state,) = opened(root).run()
    assert state.ok == 1500


def test_missing_image_is_a_row_with_an_error(tmp_path: Path, server: Rehearsal) -> None:
    """A picture that does not exist costs its row an error; the others go on."""
    root = plants(tmp_path, server)
    (root / "leaf.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(40))
    (root / "odd.txt").write_text("no picture")
    write(
        root,
        {
            "models/kinds.sql": "SELECT id, name, "
            "['leaf.png', 'no.png', 'odd.txt', '../up.png'][id] AS photo FROM plants",
            "models/kinds.prompt.md": "---\nkey: id\noutput: line VARCHAR\n---\nuser:\n"
            "What is {{ name }}?\n![{{ name }}]({{ photo }})\n",
        },
    )
    result = enrich(root, "run")
    assert result.exit_code == 3
    rows = opened(root).sql("SELECT id, outcome, error FROM enrich.kinds ORDER BY id").rows
    assert rows == (
        (1, "ok", None),
        (2, "error", "the image 'no.png' does not exist"),
        (3, "error", "the image 'odd.txt' is not a PNG, JPEG, WEBP or GIF"),
        (4, "error", "the image '../up.png' is outside the project"),
    )


def test_settings_are_for_one_folder(tmp_path: Path, server: Rehearsal) -> None:
    """A project.yml that is a folder is a plain error too."""
    (tmp_path / "project.yml").mkdir()
    result = enrich(tmp_path, "run")
    assert result.exit_code == 1
    assert "project.yml cannot be read" in result.stderr
    assert settings(server)


@pytest.mark.parametrize("placeholder", ["id::DATE", "error('no')"])
def test_a_placeholder_that_fails_with_a_row_is_named(tmp_path: Path, placeholder: str) -> None:
    """With the prompt's file and line, not those of the SELECT."""
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        prompt = f"---\nkey: id\noutput: kind VARCHAR\n---\nuser:\n{{{{ {placeholder} }}}}\n"
        write(root, {"models/kinds.prompt.md": prompt})
        with pytest.raises(ModelError, match=r"kinds\.prompt\.md:6: \{\{ "):
            opened(root).plan()
