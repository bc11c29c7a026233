"""What SQL hides: the tables behind the user's own macros and views in the warehouse.

A model that calls a macro, or reads a view that enrich did not create, reads what they read.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from enrich.db.ownership import MARK_START
from enrich.manifest import model, tree

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from enrich.db.database import Warehouse
    from enrich.manifest.graph import Graph
    from enrich.manifest.model import Model


class Named(NamedTuple):
    """What SQL names: tables, which may be views, and functions, which may be macros."""

    tables: frozenset[str]
    calls: frozenset[str]


def may_hide(graph: Graph) -> bool:
    """Whether a model names anything that may be a macro or a view of the user's.

    If not, commands need not open the warehouse to know the graph.
    """
    known = {name.lower() for name in (*graph.models, *graph.leaves)}
    return any(
        each.reads - known or each.calls - tree.list_builtins() for each in graph.models.values()
    )


def resolve_reads(database: Warehouse, models: Mapping[str, Model]) -> dict[str, Model]:
    """Returns the models with everything that they read, directly or through macros and views of
    the warehouse, which must be attached."""
    behind = {
        str(name): _list_names(str(sql))
        for name, sql in database.call("hidden", mark=f"%{MARK_START}%")
    }
    if not behind:
        return dict(models)
    return {
        name: replace(each, reads=each.reads | _find_behind({*each.reads, *each.calls}, behind))
        for name, each in models.items()
    }


def _list_names(sql: str) -> Named:
    """Returns what the SQL of a macro or a view names."""
    for text in (sql, f"SELECT {sql}"):  # the SQL of a scalar macro is only an expression
        try:
            found = tree.parse_tree(text)
        except RecursionError:
            break
        if found is not None:
            tables = (model.name_table(path) for path in found.tables)
            return Named(frozenset(filter(None, tables)), frozenset(found.calls))
    return Named(frozenset(), frozenset())


def _find_behind(names: Iterable[str], behind: Mapping[str, Named]) -> frozenset[str]:
    """Returns the tables and views that can be reached from these names through macros and
    views."""
    found: set[str] = set()
    left, seen = [name for name in names if name in behind], set[str]()
    while left:
        name = left.pop()
        if name not in seen:  # they may lead in a circle
            seen.add(name)
            found |= behind[name].tables
            left += (behind[name].tables | behind[name].calls) & behind.keys()
    return frozenset(found)
