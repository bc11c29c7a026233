"""Graphs: the models, a line each, as a tree and as a diagram."""

from __future__ import annotations

from typing import TYPE_CHECKING

from enrich.report.safe import as_json, clean, to_stdout
from enrich.report.text import tabulate, terminal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.text import Text

    from enrich.manifest.graph import Graph
    from enrich.manifest.model import Model


def models(found: Sequence[Model], whole: Graph) -> None:
    """The models, a line each, in the order they run."""
    columns = ["model", "kind", "reads", "tags", "file", "description"]
    cells = [
        [
            model.name,
            model.kind,
            ", ".join((*sorted(whole.parents[model.name]), *whole.list_tables(model.name))),
            ", ".join(model.tags),
            model.source,
            clean(model.description),
        ]
        for model in found
    ]
    tabulate(columns, cells, right=set(), dull=(3, 5), spare=(4, 3))


def models_json(found: Sequence[Model], whole: Graph) -> None:
    """The same for machines: one JSON array."""
    listed = [
        {
            "model": model.name,
            "kind": model.kind,
            "models": sorted(whole.parents[model.name]),
            "tables": list(whole.list_tables(model.name)),
            "tags": list(model.tags),
            "file": model.source,
            "description": model.description,
        }
        for model in found
    ]
    to_stdout(as_json(listed, indent=2) + "\n")


def graph(found: Sequence[Model], whole: Graph) -> None:
    """Who reads whom, as trees from the tables down; what stands twice is unfolded once."""
    from rich.text import Text
    from rich.tree import Tree

    names = {model.name: model for model in found}
    children: dict[str, list[str]] = {}
    for model in found:
        parents = [name for name in whole.parents[model.name] if name in names]
        for parent in (*sorted(parents), *whole.list_tables(model.name)):
            children.setdefault(parent, []).append(model.name)
    below = {name for listed in children.values() for name in listed}
    roots = [*dict.fromkeys(name for name in children if name not in names)]
    roots += [name for name in names if name not in below]
    shown: set[str] = set()

    def label(name: str) -> Text:
        kind = names[name].kind if name in names else whole.leaves.get(name, "table")
        return Text.assemble((name, "bold" if name in names else ""), (f"  {kind}", "dim"))

    def grow(tree: Tree, name: str) -> None:
        for child in children.get(name, []):
            again = child in shown and bool(children.get(child))
            shown.add(child)
            branch = tree.add(label(child) + Text("  (above)", "dim") if again else label(child))
            if not again:
                grow(branch, child)

    console = terminal(stderr=False)
    for root in roots:
        tree = Tree(label(root), guide_style="dim")
        grow(tree, root)
        console.print(tree)


SHAPES = {"enrichment": "[[{}]]", "view": "({})", "table": "[{}]"}
"""How Mermaid draws what a model becomes; seeds, sources and other tables are cylinders."""


def mermaid(found: Sequence[Model], whole: Graph) -> None:
    """The same as a Mermaid flowchart."""
    names = {model.name for model in found}
    lines = ["flowchart LR"]
    tables = dict.fromkeys(table for model in found for table in whole.list_tables(model.name))
    ids = {table: f"t{number}" for number, table in enumerate(tables)}
    lines += [f'    {ids[table]}[("{_quoted(table)}")]' for table in tables]
    for model in found:
        shape = SHAPES[model.kind].format(f'"{model.name}"')
        lines.append(f"    {_node(model.name)}{shape}")
    for model in found:
        parents = sorted(whole.parents[model.name] & names)
        starts = [*map(_node, parents), *(ids[table] for table in whole.list_tables(model.name))]
        lines += [f"    {start} --> {_node(model.name)}" for start in starts]
    to_stdout("\n".join(lines) + "\n")


def _node(name: str) -> str:
    """A model's id: a word of Mermaid's own, such as `end`, cannot be one."""
    return f"m_{name}"


def _quoted(text: str) -> str:
    """Text in Mermaid's quotes."""
    return clean(text).replace('"', "#quot;")
