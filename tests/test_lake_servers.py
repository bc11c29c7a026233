"""Lakes on real servers, where there are any: Postgres, and moto, which speaks S3's protocol."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING
from urllib.request import Request, urlopen

import pytest
from folders import Ears, opened, write
from test_lakes import SEED, copying, look, needs_extension, publishing, read_one

import enrich
from enrich.db.outside import open_outside, prepare_storage
from enrich.pipeline.bucket_copy import REMOVE
from enrich.rehearsal import Rehearsal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from enrich.project import Project


PLACES_OF_ROWS = "FROM postgres_query('pg', 'SELECT id, ctid::text FROM films.kinds')"
"""A row that is written again gets another place in its file."""


def find_free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.fixture
def postgres() -> Iterator[str]:
    """The address of an empty Postgres of its own."""
    if sys.platform == "win32":
        pytest.skip("a server is started in another way there")
    needs_extension("postgres_scanner")
    homes = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    found = shutil.which("initdb") or next((str(p / "initdb") for p in homes[-1:]), "")
    if not found:
        pytest.skip("there is no Postgres server on this machine")
    binaries, port = Path(found).parent, find_free_port()
    user = "postgres" if os.geteuid() == 0 else None  # a server refuses to be run by root
    folder = Path(mkdtemp(prefix="enrich-"))
    if user:
        shutil.chown(folder, user)

    def call(*words: str) -> None:
        subprocess.run(words, user=user, cwd=folder, check=True, capture_output=True, timeout=60)

    data = str(folder / "data")
    options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"
    call(str(binaries / "initdb"), "-D", data, "-A", "trust", "-U", "enrich")
    call(str(binaries / "pg_ctl"), "-D", data, "-o", options, "-l", f"{folder}/log", "-w", "start")
    yield f"host=127.0.0.1 port={port} user=enrich dbname=postgres"
    call(str(binaries / "pg_ctl"), "-D", data, "-m", "immediate", "stop")
    shutil.rmtree(folder)


@pytest.mark.few(0)
def test_a_table_is_kept_in_postgres(tmp_path: Path, postgres: str) -> None:
    """With lists, which Postgres has, and structs as JSON; only rows that differ are written."""
    known = {"type": "postgres", "path": "${WAREHOUSE_DSN}"}
    with Rehearsal() as server:
        root = publishing(tmp_path / "p", server, "pg.films.kinds", attach={"pg": known})
        prompt = root / "models/kinds.prompt.md"
        odd = "size STRUCT(low INTEGER, high INTEGER) NOT NULL,\n  height DOUBLE"
        prompt.write_text(prompt.read_text().replace("height DOUBLE", odd))
        ears = Ears()
        project = enrich.Project(root, talk=ears, environment={"WAREHOUSE_DSN": postgres})
        assert not project.run().problems, ears.said
        place = read_one(known | {"path": postgres}, name="pg")
        rows = look(place, PLACES_OF_ROWS)
        write(root, {"seeds/plants.csv": SEED.replace("4,dogwood,", "4,dogwood,red\n5,elm,")})
        assert not project.run().problems, ears.said
    again = look(place, PLACES_OF_ROWS)
    assert [row for row in again if row[0] < 4] == [row for row in rows if row[0] < 4]
    assert len(again) == 5
    shown = "SELECT tags, size::JSON->>'low' IS NOT NULL FROM pg.films.kinds WHERE id = 1"
    ((tags, has_size),) = look(place, shown)
    assert isinstance(tags, list)
    assert has_size


KEYS = {"AWS_ACCESS_KEY_ID": "AKIATESTTESTTEST", "AWS_SECRET_ACCESS_KEY": "hush-hush-1234"}


@pytest.fixture
def bucket() -> Iterator[str]:
    """The address of a server with an empty bucket, `lake`."""
    needs_extension("httpfs")
    if find_spec("moto") is None:
        pytest.skip("there is no S3 server here: pip install 'moto[server]'")
    address = f"http://127.0.0.1:{(port := find_free_port())}"
    words = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as server:
        assert server.stderr is not None
        for line in server.stderr:
            if b"Running on" in line:
                break
        urlopen(Request(f"{address}/lake", method="PUT"), timeout=30).close()
        yield address
        server.terminate()


def test_a_table_is_kept_in_a_bucket(tmp_path: Path, bucket: str) -> None:
    """Only the partitions that have changed are written again; those that are gone are removed."""
    environment = {**KEYS, "AWS_ENDPOINT_URL": bucket}
    with Rehearsal() as server:
        root = publishing(tmp_path, server, {"to": "s3://lake/kinds", "partition_by": ["id"]})
        ears = Ears()
        project = enrich.Project(root, talk=ears, environment=environment)
        assert not project.run().problems, ears.said
        before = list_parts(project, environment)
        write(root, {"seeds/plants.csv": SEED.replace("4,dogwood,", "5,elm,")})
        assert not project.run().problems, ears.said
        after = list_parts(project, environment)
        assert after[1] == before[1]
        assert {name: rows for name, (_, rows) in after.items()} == {1: 1, 2: 1, 3: 1, 5: 1}
        environment["AWS_ENDPOINT_URL"] = "http://127.0.0.1:1"
        write(root, {"seeds/plants.csv": SEED})
        problems = enrich.Project(root, talk=ears, environment=environment).run().problems
    assert problems
    assert "hush-hush" not in " ".join(map(str, (*problems, *ears.said)))
    assert opened(root).sql("SELECT count(*) FROM kinds").rows == ((4,),)


def list_parts(project: Project, environment: dict[str, str]) -> dict[int, tuple[Any, int]]:
    """When each partition was written, and how many rows it has, by id."""
    with open_outside(project.files) as database:
        prepare_storage(database, "s3://lake", environment)
        times = database.execute(
            "SELECT parse_path(filename)[-2], last_modified FROM read_blob('s3://lake/kinds/*/*')"
        )
        query = "SELECT count(*) FROM read_parquet('s3://lake/kinds/{}/data_0.parquet')"
        return {
            int(name.removeprefix("id=")): (moment, database.fetch_one(query.format(name))[0])
            for name, moment in sorted(times)
        }


READERS = {
    "parquet": "read_parquet('s3://lake/trees/**/*.parquet', hive_partitioning = true)",
    "csv": "read_csv('s3://lake/trees/**/*.csv', hive_partitioning = true)",
    "json": "read_json_auto('s3://lake/trees/**/data_*.json')",
}
"""How others read a copy, whatever else may be there."""


def test_a_bucket_can_be_read_as_a_whole(tmp_path: Path, bucket: str) -> None:
    """However the table was divided or written before, and whatever columns it had."""
    environment = {**KEYS, "AWS_ENDPOINT_URL": bucket}
    root = copying(tmp_path, {"to": "s3://lake/trees"})
    path, ears = root / "models/trees.sql", Ears()
    head, rows = SEED.split("\n", 1)
    for select, said, seed in (
        ("id, name", {"format": "csv"}, rows),
        ("id, name", {"format": "json"}, rows),
        ("id, name", {}, rows),
        ("id, name, note", {"partition_by": ["id"]}, ""),
        ("id, name, note", {"partition_by": ["id"]}, rows),
        ("id, name, note", {"partition_by": ["name"]}, rows),
        ("id, name, id + 1 AS more", {"partition_by": ["name"]}, rows.replace("4,dogwood,", "")),
    ):
        place = json.dumps({"to": "s3://lake/trees", **said})
        path.write_text(f"-- materialized: table\n-- publish: {place}\nSELECT {select} FROM plants")
        write(root, {"seeds/plants.csv": f"{head}\n{seed}"})
        project = enrich.Project(root, talk=ears, environment=environment)
        assert not project.run().problems, ears.said
        found = read_bucket(project, environment, str(said.get("format", "parquet")))
        wanted = opened(root).sql("FROM trees")
        assert [{name: row[name] for name in wanted.columns} for row in found] == sorted(
            (dict(zip(wanted.columns, row, strict=True)) for row in wanted.rows), key=repr
        )


def test_objects_that_somebody_has_changed_are_written_again(tmp_path: Path, bucket: str) -> None:
    """And what somebody else has put there stays."""
    environment = {**KEYS, "AWS_ENDPOINT_URL": bucket}
    root = copying(tmp_path, {"to": "s3://lake/trees", "partition_by": ["id"]})
    project = enrich.Project(root, talk=(ears := Ears()), environment=environment)
    assert not project.run().problems, ears.said
    before = read_bucket(project, environment, "parquet")
    with open_outside(project.files) as database:
        prepare_storage(database, "s3://lake", environment)
        database.execute(REMOVE, url="s3://lake/trees/id=1")
        for name in ("id=2/data_0.parquet", "notes.txt"):
            query = "COPY (SELECT encode('mine')) TO $url (FORMAT blob)"
            database.execute(query, url=f"s3://lake/trees/{name}")
    assert not project.run().problems, ears.said
    assert read_bucket(project, environment, "parquet") == before
    path = root / "models/trees.sql"
    path.write_text(path.read_text().replace('["id"]', '["name"]'))
    (problem,) = enrich.Project(root, talk=ears, environment=environment).run().problems
    assert "s3://lake/trees holds notes.txt, which enrich did not write" in problem.message
    assert read_bucket(project, environment, "parquet") == before


def read_bucket(project: Project, environment: dict[str, str], form: str) -> list[dict[str, Any]]:
    """The rows of a copy, in the order of their texts."""
    with open_outside(project.files) as database:
        prepare_storage(database, "s3://lake", environment)
        rows = database.fetch_dicts(f"FROM {READERS[form]}")
        return sorted(rows, key=repr)
