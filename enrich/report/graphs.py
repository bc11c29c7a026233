"""Graphs: the models as a list, as a tree and as a diagram."""

from __future__ import annotations

from typing import TYPE_CHECKING

from enrich.report.safe import clean_text, format_json, write_stdout
from enrich.report.text import open_console, print_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.text import Text

    from enrich.manifest.graph import Graph
    from enrich.manifest.model import Model


def print_models(models: Sequence[Model], graph: Graph) -> None:
    """Print a line for each model, in the order they run."""
    columns = ["model", "kind", "reads", "tags", "file", "description"]
    cells = [
        [
            model.name,
            model.kind,
            ", ".join((*sorted(graph.parents[model.name]), *graph.list_tables(model.name))),
            ", ".join(model.tags),
            model.source,
            clean_text(model.description),
        ]
        for model in models
    ]
    print_table(columns, cells, right=set(), dull=(3, 5), spare=(4, 3))


def print_models_json(models: Sequence[Model], graph: Graph) -> None:
    """Print one JSON array."""
    listed = [
        {
            "model": model.name,
            "kind": model.kind,
            "models": sorted(graph.parents[model.name]),
            "tables": list(graph.list_tables(model.name)),
            "tags": list(model.tags),
            "file": model.source,
            "description": model.description,
        }
        for model in models
    ]
    write_stdout(format_json(listed, indent=2) + "\n")


def print_graph(models: Sequence[Model], graph: Graph) -> None:
    """Print which model reads which, as trees from the tables down.

    A model with several parents is in several trees, but its children are shown only once.
    """
    from rich.text import Text
    from rich.tree import Tree

    names = {model.name: model for model in models}
    children: dict[str, list[str]] = {}
    for model in models:
        parents = [name for name in graph.parents[model.name] if name in names]
        for parent in (*sorted(parents), *graph.list_tables(model.name)):
            children.setdefault(parent, []).append(model.name)
    below = {name for listed in children.values() for name in listed}
    roots = [*dict.fromkeys(name for name in children if name not in names)]
    roots += [name for name in names if name not in below]
    shown: set[str] = set()

    def make_label(name: str) -> Text:
        kind = names[name].kind if name in names else graph.leaves.get(name, "table")
        return Text.assemble((name, "bold" if name in names else ""), (f"  {kind}", "dim"))

    def grow(tree: Tree, name: str) -> None:
        for child in children.get(name, []):
            again = child in shown and bool(children.get(child))
            shown.add(child)
            branch = tree.add(
                make_label(child) + Text("  (above)", "dim") if again else make_label(child)
            )
            if not again:
                grow(branch, child)

    console = open_console(stderr=False)
    for root in roots:
        tree = Tree(make_label(root), guide_style="dim")
        grow(tree, root)
        console.print(tree)


MERMAID_SHAPES = {"enrichment": "[[{}]]", "view": "({})", "table": "[{}]"}
"""Mermaid's brackets around a model of each kind. Seeds, sources and other tables are cylinders."""


def print_mermaid(models: Sequence[Model], graph: Graph) -> None:
    """Print the same as a Mermaid flowchart."""
    names = {model.name for model in models}
    lines = ["flowchart LR"]
    tables = dict.fromkeys(table for model in models for table in graph.list_tables(model.name))
    # Tables are numbered: a source's name may hold letters that Mermaid does not take in an id.
    ids = {table: f"t{number}" for number, table in enumerate(tables)}
    lines += [f'    {ids[table]}[("{_escape_label(table)}")]' for table in tables]
    for model in models:
        shape = MERMAID_SHAPES[model.kind].format(f'"{model.name}"')
        lines.append(f"    {_render_node_id(model.name)}{shape}")
    for model in models:
        parents = sorted(graph.parents[model.name] & names)
        starts = [
            *map(_render_node_id, parents),
            *(ids[table] for table in graph.list_tables(model.name)),
        ]
        lines += [f"    {start} --> {_render_node_id(model.name)}" for start in starts]
    write_stdout("\n".join(lines) + "\n")


def _render_node_id(name: str) -> str:
    """Returns an id for a model. It has a prefix because Mermaid reserves words such as `end`."""
    return f"m_{name}"


def _escape_label(text: str) -> str:
    """Returns text as Mermaid takes it between quotes."""
    return clean_text(text).replace('"', "#quot;")
