"""How many SELECTs that DuckDB takes are taken as models: of any folder of SQL, drawn at random.

    uv run python benchmarks/accepts.py PATH_TO_DUCKDB/test/sql -n 1500 --seed 1
    uv run python benchmarks/accepts.py --examples

Files are DuckDB's sqllogictests (`.test`, `.test_slow`: the SQL after `query` or `statement ok`)
and plain `.sql`; `--examples` takes what `duckdb_functions()` gives for each function.
A SELECT counts if DuckDB parses it as exactly one.
"""

from __future__ import annotations

import argparse
import re
from collections import Counter
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import duckdb

from enrich.errors import ModelError
from enrich.manifest.model import parse_select

if TYPE_CHECKING:
    from collections.abc import Iterator

BLOCK = re.compile(
    r"^(?:query|statement ok)[^\n]*\n(.*?)(?=\n----|\n\s*\n|\Z)", re.MULTILINE | re.DOTALL
)
BY_DESIGN = re.compile(r"\(\) |it holds |a parameter|DuckDB reads 0")
"""What refusals by design say: a function that does more than read, a WITH that writes."""


def statements(folder: Path) -> Iterator[str]:
    """All SQL in the files below a folder."""
    for path in sorted(folder.rglob("*")):
        if path.suffix in (".test", ".test_slow"):
            yield from (m[1].strip() for m in BLOCK.finditer(path.read_text(errors="replace")))
        elif path.suffix == ".sql":
            yield from (part.strip() for part in path.read_text(errors="replace").split(";\n"))


def examples() -> Iterator[str]:
    """A SELECT of each example that DuckDB gives for its functions."""
    query = "SELECT DISTINCT unnest(examples) FROM duckdb_functions()"
    yield from (f"SELECT {text}" for (text,) in duckdb.execute(query).fetchall() if text)


def is_select(parser: duckdb.DuckDBPyConnection, sql: str) -> bool:
    try:
        found = parser.extract_statements(sql)
        return len(found) == 1 and found[0].type.name in ("SELECT", "MULTI")
    except (duckdb.Error, ValueError):  # the client has no word for some kinds of statements
        return False


def main() -> None:
    options = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    options.add_argument("folder", nargs="?", type=Path)
    options.add_argument("--examples", action="store_true")
    options.add_argument("-n", type=int, default=1500)
    options.add_argument("--seed", type=int, default=1)
    args = options.parse_args()
    found = [
        *(statements(args.folder) if args.folder else ()),
        *(examples() if args.examples else ()),
    ]
    parser = duckdb.connect()
    pool = sorted({sql for sql in found if sql and is_select(parser, sql)})
    drawn = Random(args.seed).sample(pool, min(args.n, len(pool)))
    refused: Counter[str] = Counter()
    designed = 0
    for sql in drawn:
        try:
            parse_select(sql, "drawn.sql")
        except ModelError as problem:
            designed += bool(BY_DESIGN.search(problem.message))
            if not BY_DESIGN.search(problem.message):
                refused[f"{problem.message}  <-  {' '.join(sql.split())[:120]}"] += 1
    left = len(drawn) - designed
    taken = left - sum(refused.values())
    print(f"{len(pool):,} SELECTs, {len(drawn):,} drawn: {designed:,} refused by design")
    print(f"of the other {left:,}: {taken:,} accepted, {taken / max(1, left):.1%}")
    for message, many in refused.most_common(20):
        print(f"  {many}  {message}")


if __name__ == "__main__":
    main()
