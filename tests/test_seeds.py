"""Seeds: every kind of file, read as project.yml says; a bad one stops only what reads it."""

from __future__ import annotations

import gzip
import json
import os
import random
import socket
import sys
from typing import TYPE_CHECKING, Any

import duckdb
import pytest
from click.testing import CliRunner
from folders import Ears, needs_duckdb_2, opened, plants, write

from enrich.cli import main
from enrich.errors import EnrichError, InputError, ProjectError
from enrich.project import Project
from enrich.rehearsal import Rehearsal

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result

ROWS = ((1, "ash"), (2, "bïrch"))
TEXT = "id,name\n1,ash\n2,bïrch\n"
LINES = '{"id":1,"name":"ash"}\n{"id":2,"name":"bïrch"}\n'


def enrich(root: Path, *words: str) -> Result:
    return CliRunner().invoke(main, ["--project", str(root), *words])


def project(root: Path, **seeds: Any) -> Path:
    write(root, {"project.yml": json.dumps({"seeds": seeds} if seeds else {"name": "trees"})})
    (root / "seeds").mkdir(exist_ok=True)
    return root


FILES: dict[str, bytes] = {
    "trees.csv": TEXT.encode(),
    "trees.CSV": TEXT.encode(),
    "trees.tsv": TEXT.replace(",", "\t").encode(),
    "trees.csv.gz": gzip.compress(TEXT.encode()),
    "trees.tsv.gz": gzip.compress(TEXT.replace(",", "\t").encode()),
    "trees.json": b"[" + LINES.strip().replace("\n", ",").encode() + b"]",
    "trees.ndjson": LINES.encode(),
    "trees.jsonl": LINES.encode(),
    "trees.JSONL.GZ": gzip.compress(LINES.encode()),
    "trees.json.gz": gzip.compress(LINES.encode()),
}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.few(4)
def test_every_kind_of_file_becomes_a_table(tmp_path: Path, name: str) -> None:
    root = project(tmp_path)
    (root / "seeds" / name).write_bytes(FILES[name])
    assert opened(root).seed() == ("trees",)
    assert opened(root).sql("SELECT id, name FROM trees ORDER BY id").rows == ROWS
    assert opened(root).seed() == ()


def test_parquet_and_marks_and_line_ends(tmp_path: Path) -> None:
    root = project(tmp_path)
    with duckdb.connect() as connection:
        path = root / "seeds/trees.PARQUET"
        connection.execute(f"COPY (SELECT 1 AS id, 'ash' AS name) TO '{path}' (FORMAT parquet)")
    (root / "seeds/marked.csv").write_bytes(b"\xef\xbb\xbf" + TEXT.replace("\n", "\r\n").encode())
    (root / "seeds/head.csv").write_text("id,name\n")
    assert set(opened(root).seed()) == {"trees", "marked", "head"}
    assert opened(root).sql("SELECT id, name FROM marked ORDER BY id").rows == ROWS
    assert opened(root).sql("SELECT count(*) FROM head").rows == ((0,),)


@pytest.mark.parametrize(
    ("encoding", "codec"),
    [
        ("latin-1", "latin-1"),
        ("windows-1252", "cp1252"),
        ("cp1252", "cp1252"),
        ("utf-16", "utf-16"),
        ("iso-8859-15", "iso-8859-15"),
        ("mac_roman", "mac_roman"),
    ],
)
def test_a_file_may_be_in_another_encoding(tmp_path: Path, encoding: str, codec: str) -> None:
    """Without being told it is refused, with the line and the way out; no copy stays."""
    root = project(tmp_path, tables={"trees": {"encoding": encoding}})
    (root / "seeds/trees.csv").write_bytes(TEXT.encode(codec))
    opened(root).seed()
    assert opened(root).sql("SELECT id, name FROM trees ORDER BY id").rows == ROWS
    assert list(root.glob(".enrich/seeds/*")) == []


def test_options_say_how_a_file_is_read(tmp_path: Path) -> None:
    """Another way to read it loads it anew."""
    root = project(tmp_path, tables={"trees": {"delim": ";", "types": {"id": "VARCHAR"}}})
    (root / "seeds/trees.csv").write_text("id;name\n01;ash\n")
    opened(root).seed()
    assert opened(root).sql("FROM trees").rows == (("01", "ash"),)
    project(tmp_path, tables={"trees": {"delim": ";", "header": False, "all_varchar": True}})
    assert opened(root).seed() == ("trees",)
    assert opened(root).sql("SELECT count(*) FROM trees").rows == ((2,),)


def test_the_folder_of_seeds_may_be_named(tmp_path: Path) -> None:
    root = project(tmp_path, path="data", tables={"trees": {"delim": ";"}})
    write(root, {"data/trees.csv": "id;name\n1;ash\n"})
    opened(root).seed()
    assert opened(root).sql("FROM trees").rows == ((1, "ash"),)


@pytest.mark.parametrize(
    ("seeds", "words"),
    [
        ({"tables": {"trees": {"delimeter": ";"}}}, "did you mean 'delim"),
        ({"tables": {"tree": {"delim": ";"}}}, "did you mean 'trees'?"),
        ({"tabels": {}}, "did you mean 'tables'?"),
        ({"tables": {"trees": ";"}}, "options by table"),
        ({"tables": {"trees": {"encoding": "klingon"}}}, "unknown encoding"),
    ],
)
def test_options_are_checked(tmp_path: Path, seeds: dict[str, Any], words: str) -> None:
    root = project(tmp_path, **seeds)
    write(root, {"seeds/trees.csv": "id;name\n1;ash\n"})
    with pytest.raises(EnrichError) as refused:
        opened(root).seed()
    assert words in f"{refused.value.message} {refused.value.hint}"


CUT_OFF = "DuckDB 1.5 takes a .gz file that has been cut off for a shorter one"
BAD: dict[str, tuple[bytes, str]] = {
    "bad.csv": (b"id,name\n1,ash\n2,b\xefrch\n", "seeds/bad.csv:"),
    "ragged.csv": (b"id,name\n1,ash\n2,birch,white\n3,cedar\n", "seeds/ragged.csv:3"),
    "quote.csv": (b'id,name\n1,"ash\n2,birch\n', "seeds/quote.csv:"),
    "typed.csv": (b"id\n" + b"1\n" * 40_000 + b"x\n", "seeds/typed.csv:40002"),
    "empty.csv": (b"", "seeds/empty.csv is empty"),
    "empty.parquet": (b"", "seeds/empty.parquet is empty"),
    "short.parquet": (b"PAR1", "seeds/short.parquet: "),
    "broken.json": (b'{"id":1}\n{"id":\n', "seeds/broken.json:"),
    "cut.csv.gz": (gzip.compress(TEXT.encode() * 9999)[:-40], "seeds/cut.csv.gz: "),
    "plain.csv.gz": (b"id,name\n1,ash\n", "seeds/plain.csv.gz: "),
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.few(4)
def test_a_bad_seed_stops_only_what_reads_it(tmp_path: Path, name: str) -> None:
    """Other models are run; the error is that of the seed, with file, line and way out."""
    if name == "cut.csv.gz":
        needs_duckdb_2(CUT_OFF)
    content, words = BAD[name]
    table = name.split(".", maxsplit=1)[0]
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        write(
            root,
            {
                "models/direct.sql": f"SELECT * FROM {table}\n",
                "models/behind.sql": "SELECT * FROM direct\n",
            },
        )
        (root / "seeds" / name).write_bytes(content)
        found = enrich(root, "run")
        assert found.exit_code == 1, found.output
        assert words in found.output
        assert "Traceback" not in found.output
        assert opened(root).sql("SELECT count(*) FROM kinds").rows == ((4,),)
        for command in (
            ["seed"],
            ["plan", "direct"],
            ["plan", "+behind"],
            ["run", "direct"],
            ["run", "+behind"],
            ["compile", "direct"],
        ):
            again = enrich(root, *command)
            assert (again.exit_code, words in again.output) == (1, True), again.output
        for command in (
            ["plan", "kinds"],
            ["preview", "kinds", "-n", "1"],
            ["run", "kinds"],
            ["status"],
        ):
            assert enrich(root, *command).exit_code == 0


def test_an_old_table_is_not_used_for_a_bad_seed(tmp_path: Path) -> None:
    """The file was good once: its table stays, and nothing is asked of it."""
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        opened(root).run()
        (root / "seeds/plants.csv").write_bytes(b"id,name,note\n1,\xff,\n")
        with pytest.raises(InputError, match=r"seeds/plants\.csv:2"):
            opened(root).run()
        assert len(server.batches) == 1


def test_what_is_no_file_does_not_hang(tmp_path: Path) -> None:
    """Pipes, sockets, devices, folders and links to nowhere are named, and nothing is opened."""
    if sys.platform == "win32":
        pytest.skip("needs special files")
    root = project(tmp_path)
    seeds = root / "seeds"
    os.mkfifo(seeds / "pipe.csv")
    (seeds / "folder.csv").mkdir()
    (seeds / "lost.csv").symlink_to(seeds / "nowhere.csv")
    (seeds / "loop.csv").symlink_to(seeds / "loop.csv")
    (seeds / "zero.csv").symlink_to("/dev/zero")
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(seeds / "sock.csv"))
    (seeds / "good.csv").write_text(TEXT)
    try:
        found = enrich(root, "seed")
    finally:
        server.close()
    assert found.exit_code == 1
    for name, words in {
        "pipe": "is a pipe",
        "folder": "is a folder",
        "lost": "No such file",
        "loop": "symbolic links",
        "zero": "is a device",
        "sock": "is a socket",
    }.items():
        assert f"seeds/{name}.csv" in found.output, found.output
        assert words in found.output
    assert opened(root).sql("SELECT count(*) FROM good").rows == ((2,),)


def test_what_is_not_loaded_is_said(tmp_path: Path) -> None:
    """But for notes and hidden files; the nearest ending is offered."""
    root = project(tmp_path)
    for name in (
        "trees.csvv",
        "trees.xlsx",
        "my-trees.csv",
        "README.md",
        ".hidden.csv",
        "trees.csv~",
        "data",
    ):
        (root / "seeds" / name).write_text(TEXT)
    write(root, {"seeds/old/trees.csv": TEXT, "seeds/pictures/ash.png": "x"})
    ears = Ears()
    opened(root, ears).seed()
    said = "\n".join(ears.said)
    for words in (
        "seeds/trees.csvv is not loaded",
        "did you mean '.csv'?",
        "seeds/trees.xlsx is not",
        "'my-trees' cannot name a table",
        "seeds/data is not loaded",
        "seeds/old is not loaded",
    ):
        assert words in said
    for words in ("README", ".hidden", "csv~", "pictures"):
        assert words not in said


@pytest.mark.parametrize("other", ["trees.tsv", "TREES.csv", "trees.csv.gz"])
def test_two_files_are_not_one_table(tmp_path: Path, other: str) -> None:
    root = project(tmp_path)
    for name in ("trees.csv", other):
        (root / "seeds" / name).write_bytes(FILES.get(name, TEXT.encode()))
    with pytest.raises(InputError, match="would both be the table"):
        opened(root).seed()


def test_a_bad_source_stops_only_what_reads_it(tmp_path: Path) -> None:
    """Files under `sources:` are seeds' siblings."""
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        text = (root / "project.yml").read_text()[:-1] + ', "sources": {"more": "data/more.csv"}}'
        write(root, {"project.yml": text, "models/direct.sql": "SELECT * FROM more\n"})
        found = enrich(root, "run")
        assert found.exit_code == 1
        assert "the source 'more' cannot be read" in found.output
        assert opened(root).sql("SELECT count(*) FROM kinds").rows == ((4,),)


def test_an_unknown_seed_is_an_error(tmp_path: Path) -> None:
    root = project(tmp_path)
    (root / "seeds/trees.csv").write_text(TEXT)
    with pytest.raises(ProjectError, match="there is no seed 'tree'"):
        opened(root).seed("tree")


def loaded_from(root: Path, files: dict[str, bytes]) -> Project:
    project(root)
    for name, data in files.items():
        (root / "seeds" / name).write_bytes(data)
    return Project(root)


WHOLE: dict[str, tuple[bytes, list[tuple[object]]]] = {
    "hash.csv": (b"id,t\n1,x\n#2,y\n3,z\n", [("1",), ("#2",), ("3",)]),
    "marked.json": (b'\xef\xbb\xbf[{"id": 1}, {"id": 2}]', [(1,), (2,)]),
    "lines.jsonl": (b'[{"id": 1}, {"id": 2}]', [(1,), (2,)]),
    "wide.csv": ("id,t\n1,x\n".encode("utf-16"), [(1,)]),
    "wider.csv": ("id,t\n1,x\n".encode("utf-32"), [(1,)]),
    "mac.csv": (b"id,t\r1,x\r2,y\r", [(1,), (2,)]),
}


@pytest.mark.parametrize("name", WHOLE)
def test_every_row_of_a_file_is_loaded(tmp_path: Path, name: str) -> None:
    data, rows = WHOLE[name]
    trees = loaded_from(tmp_path, {name: data})
    trees.seed()
    assert trees.sql(f"SELECT id FROM {name.partition('.')[0]}").rows == tuple(rows)


BROKEN = {
    "note.csv": (b"a note\nid,t\n1,x\n2,y\n", "skip: 1"),
    "ragged.csv": (b"id,t\n1,x\n2,y,z\n3,z\n", "delim"),
    "open.csv": (b'id,t\n1,"x\n2,y\n3,z\n', "close it"),
    "short.csv": (b"id,t\n1,x\n2\n3,z\n", "delim"),
    "long.csv": (b"id,t\n1," + b"x" * 3_000_000 + b"\n", "max_line_size"),
    "cut.csv.gz": (gzip.compress(random.Random(1).randbytes(9999).hex().encode())[:-99], ""),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_file_that_does_not_fit_loses_no_row_in_silence(tmp_path: Path, name: str) -> None:
    if name == "cut.csv.gz":
        needs_duckdb_2(CUT_OFF)
    data, hint = BROKEN[name]
    with pytest.raises(InputError) as refused:
        loaded_from(tmp_path, {name: data}).seed()
    assert name in refused.value.message
    assert hint in refused.value.hint


QUOTED = {
    "never closed": (b'id,t,u\n1,"x,y\n2,z,w\n', ":2: a quote opens a value here"),
    "closed by the next": (b'id,t,u\n1,x,y\n2,"x,y\n3,"z",w\n', ":3: a quote opens a value here"),
    "over lines": (b'id,t,u\n1,"x\n""y""",y\n3,"z,w\n', ":4: a quote opens a value here"),
    "inside": (b'id,t\n1,"5" disk"\n2,z\n', ":2: a value goes on after its closing quote"),
}


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("name", QUOTED)
def test_a_quote_that_is_not_closed_is_found(tmp_path: Path, name: str, *, packed: bool) -> None:
    """With the line on which it opens, and no advice about separators."""
    data, said = QUOTED[name]
    with Rehearsal() as server:
        root = plants(tmp_path, server)
    file = "t.csv.gz" if packed else "t.csv"
    (root / "seeds" / file).write_bytes(gzip.compress(data) if packed else data)
    with pytest.raises(InputError) as refused:
        opened(root).seed("t")
    assert f"seeds/{file}{said}" in refused.value.message
    assert "delim" not in refused.value.hint


def test_a_cut_zstandard_file_is_not_taken_for_a_shorter_one(tmp_path: Path) -> None:
    with duckdb.connect() as other:
        other.execute(
            "COPY (SELECT range AS id, hash(range) AS h FROM range(100000)) "
            f"TO '{tmp_path / 'a.csv.zst'}'"
        )
    whole = (tmp_path / "a.csv.zst").read_bytes()
    trees = loaded_from(tmp_path / "p", {"a.csv.zst": whole})
    trees.seed()
    assert trees.sql("SELECT count(*) FROM a").rows == ((100_000,),)
    for size in (len(whole) // 2, len(whole) - 1, 20):
        (trees.config.seeds / "a.csv.zst").write_bytes(whole[:size])
        with pytest.raises(InputError, match="truncated"):
            trees.seed()
