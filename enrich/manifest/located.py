"""Located: relative paths in the user's SQL start in the project's folder.

For DuckDB they start in the working directory, so a model would read other files in a notebook than
on the command line. A path that the SELECT spells out is therefore replaced by the full path. A
path that SQL computes is looked up by DuckDB: first in the working directory, then in the project's
folder.
"""

from __future__ import annotations

import re
from glob import escape
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from enrich.db import alias
from enrich.db.quote import quote_name, quote_text
from enrich.manifest import tree
from enrich.manifest.variables import render_literal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

READER_NAME = re.compile(r"read_\w+|parquet_\w+|sniff_csv|glob|\w+_scan")
"""Table functions whose first argument is the path of a file, or a list of paths."""
FILE_NAME = re.compile(r"\.(csv|tsv|txt|parquet|json|jsonl|ndjson|xlsx|db|duckdb)(\.\w+)?$", re.I)
"""How a table's name ends if DuckDB may read a file of that name."""
# A protocol has at least two letters: a single one is a drive of Windows.
OUTSIDE_PATH = re.compile(r"[a-z0-9]{2,}:|~", re.I)
"""How a path starts that is not relative to a folder: with a protocol, or with the home folder."""
PathValue = str | list[str]
UNWRITABLE_PATTERN = re.compile(r"[\\{}=]")
"""Characters of a folder's name that must not occur in a pattern: DuckDB reads a backslash as a
slash, braces as alternatives, and `name=value` as a column of Hive partitioning."""
NO_LOCATION = 2**64 - 1
"""What DuckDB writes for the location of a node that has none: the greatest of its unsigned
integers."""


def locate_paths(sql: str, root: Path) -> str:
    """Returns a valid SELECT in which relative paths are replaced by full paths below `root`."""
    raw = sql.encode()
    found = tree.parse_tree(sql)
    if found is None:  # a PIVOT whose columns are not listed
        return sql
    # From the end, so that the places that are still to come stay valid. They are in bytes, which
    # is how DuckDB counts.
    for start, end, value in sorted(_find_paths(tree.parse_statements(sql), raw), reverse=True):
        if isinstance(value, str) and not _is_file(raw[start:end], value, found, root):
            continue
        whole = _join_root(root, value)
        if whole != value:
            raw = raw[:start] + render_literal(whole).encode() + raw[end:]
    return raw.decode()


def _is_file(written: bytes, name: str, found: tree.Tree, root: Path) -> bool:
    """Whether a name means a file. In double quotes, it may also be a table or a query in WITH."""
    if not written.startswith(b'"'):
        return True
    return (name.lower(),) in found.tables and (root / name).exists()


def _join_root(root: Path, path: PathValue) -> PathValue:
    if isinstance(path, list):
        return [str(_join_root(root, each)) for each in path]
    if not path or PurePath(path).is_absolute() or OUTSIDE_PATH.match(path):
        return path
    # DuckDB takes the path as a pattern, so what is special in the folder's own name is escaped. If
    # that is not possible, a link stands in for the folder; only then, because views keep the path
    # and may outlive a link.
    written = escape(str(root))
    if UNWRITABLE_PATTERN.search(written):
        written = alias.SHARED_ALIASES.alias_folder(root)
    return f"{written}/{path}"


def _find_paths(node: Any, raw: bytes) -> Iterator[tuple[int, int, PathValue]]:  # noqa: ANN401  # JSON
    """Yields the paths that a tree of `raw` names: where each starts and ends in it, in bytes, and
    its value."""
    if isinstance(node, list):
        for item in node:
            yield from _find_paths(item, raw)
        return
    if not isinstance(node, dict):
        return
    name = str(node.get("table_name", ""))
    alone = not node.get("schema_name") and not node.get("catalog_name")
    if node.get("type") == "BASE_TABLE" and alone and FILE_NAME.search(name):
        place = _search_name(raw, name, node.get("query_location", NO_LOCATION))
        if place:
            yield *place, name
    function = node.get("function") if node.get("type") == "TABLE_FUNCTION" else None
    if function and READER_NAME.fullmatch(str(function.get("function_name", "")).lower()):
        first = function.get("arguments", [])[:1]
        span = None if _has_query(first) else _find_span(first)
        found: Any = tree.evaluate_constant(raw[slice(*span)].decode()) if span else None
        texts = found if isinstance(found, list) else [found]
        if span and found and all(isinstance(text, str) for text in texts):
            yield *span, found
    for value in node.values():
        yield from _find_paths(value, raw)


def _find_span(node: Any) -> tuple[int, int] | None:  # noqa: ANN401  # JSON
    """Returns where a node starts and ends, including everything below it."""
    if isinstance(node, list):
        inner = [_find_span(item) for item in node]
    elif isinstance(node, dict):
        start = int(node.get("query_location", NO_LOCATION))
        here = (start, start + int(node.get("query_location_length", 0)))
        below = [_find_span(item) for item in node.values()]
        inner = [here if start != NO_LOCATION else None, *below]
    else:
        return None
    spans = [span for span in inner if span]
    return (min(a for a, _ in spans), max(b for _, b in spans)) if spans else None


def _has_query(node: Any) -> bool:  # noqa: ANN401  # JSON
    """Whether an argument contains a query, which must not run before the model does."""
    if isinstance(node, list):
        return any(_has_query(item) for item in node)
    if not isinstance(node, dict):
        return False
    return node.get("class") == "SUBQUERY" or any(_has_query(item) for item in node.values())


def _search_name(raw: bytes, name: str, place: int) -> tuple[int, int] | None:
    """Returns where the name of a table at `place` is written, without its alias, which DuckDB
    counts in. It has no location for some, as in `DESCRIBE 'films.csv'`."""
    for text in (quote_text(name).encode(), quote_name(name).encode()):
        start = raw.find(text, 0 if place == NO_LOCATION else place)
        if start >= 0:
            return start, start + len(text)
    return None
