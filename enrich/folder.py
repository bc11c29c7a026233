"""The project's folder: its models, its seeds and its SQL tests, as files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from enrich import datatest, model, variables
from enrich.config import NAME, READABLE
from enrich.errors import DiskError, ProjectError
from enrich.graph import Graph

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from enrich.config import Config
    from enrich.datatest import DataTest

READERS = {".csv": "read_csv", ".parquet": "read_parquet", ".jsonl": "read_ndjson"}
"""The files of seeds/ that become tables, and DuckDB's function for each."""
TESTS = ("severity", "description")
"""What comments at the top of a SQL test may set."""


def graph(config: Config, values: Mapping[str, Any]) -> Graph:
    """The models, and the seeds and sources they may read; `values` are those of variables."""
    models = model.load(config.models, root=config.root, values=values)
    leaves = dict.fromkeys(seeds(config), "seed")
    lowered = {name.lower(): name for name in leaves}
    for source in config.sources:
        if source.name.lower() in lowered:
            message = f"project.yml: the source '{source.name}' is called like a seed"
            raise ProjectError(message, hint="rename one of them")
    leaves |= {source.name: "source" for source in config.sources}
    lowered |= {source.name.lower(): source.name for source in config.sources}
    for name, each in models.items():
        same = lowered.get(name.lower())
        if same:
            message = f"{each.source}: the {leaves[same]} '{same}' has its name"
            raise ProjectError(message, hint="rename one of them")
    return Graph(models, leaves)


def seeds(config: Config) -> dict[str, Path]:
    """The files of seeds/ by the table they become."""
    found: dict[str, Path] = {}
    for path in sorted(config.seeds.glob("*")):
        if path.suffix not in READERS:
            continue
        if not NAME.fullmatch(path.stem):
            hint = "a seed's name is a table's name: letters, digits and _"
            raise ProjectError(f"seeds/{path.name} cannot name a table", hint=hint)
        if path.stem in found:
            message = f"seeds/ has two files for the table '{path.stem}'"
            raise ProjectError(message, hint="rename or remove one of them")
        found[path.stem] = path
    return found


def tests(config: Config, values: Mapping[str, Any]) -> tuple[DataTest, ...]:
    """The SQL files in the test folders, each a test; `values` are those of variables."""
    found: dict[str, DataTest] = {}
    for path in sorted(path for each in config.tests for path in each.rglob("*.sql")):
        source = model.shown(path, config.root)
        try:
            text = path.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as problem:
            raise DiskError(f"{source} cannot be read: {problem}", hint=READABLE) from problem
        if not NAME.fullmatch(path.stem) or path.stem in found:
            hint = "each test has a name of its own: letters, digits and _"
            raise ProjectError(f"{source}: '{path.stem}' cannot name a test", hint=hint)
        said = model.header(text, TESTS, source=source)
        select = model.select(variables.filled(text, values, source=source), source)
        severity = said.get("severity", "error")
        found[path.stem] = datatest.from_file(
            select.query, severity, name=path.stem, source=source, reads=select.reads
        )
    return tuple(found.values())
