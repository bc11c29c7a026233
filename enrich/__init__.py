"""enrich: a SELECT and a prompt become a DuckDB table.

import enrich

project = enrich.Project("path/to/project")
project.run("movies_categories")
project.status()
project.sql("SELECT * FROM movies JOIN movies_categories USING (movie_id)")
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from enrich.errors import EnrichError
    from enrich.ledger.batch import Batch
    from enrich.ledger.compaction import Saving
    from enrich.ledger.export import Export
    from enrich.ledger.integrity import Part
    from enrich.ledger.state import State
    from enrich.manifest.model import Model
    from enrich.pipeline.compare import Comparison
    from enrich.pipeline.finding import Finding
    from enrich.pipeline.plan import Plan
    from enrich.pipeline.preview import Preview
    from enrich.pipeline.test import Result
    from enrich.project import Project
    from enrich.results import CommandResult, Evaluation, Failures, Listed, Rows
    from enrich.view.shown import Shown
    from enrich.view.viewer import Viewer

__all__ = [
    "Batch",
    "CommandResult",
    "Comparison",
    "EnrichError",
    "Evaluation",
    "Export",
    "Failures",
    "Finding",
    "Listed",
    "Model",
    "Part",
    "Plan",
    "Preview",
    "Project",
    "Result",
    "Rows",
    "Saving",
    "Shown",
    "State",
    "Viewer",
]

# Where each public name is defined. A second list beside the imports above, because those are for
# the type checker alone and are never executed.
_HOMES = {
    "Batch": "enrich.ledger.batch",
    "CommandResult": "enrich.results",
    "Comparison": "enrich.pipeline.compare",
    "EnrichError": "enrich.errors",
    "Evaluation": "enrich.results",
    "Export": "enrich.ledger.export",
    "Failures": "enrich.results",
    "Finding": "enrich.pipeline.finding",
    "Listed": "enrich.results",
    "Model": "enrich.manifest.model",
    "Part": "enrich.ledger.integrity",
    "Plan": "enrich.pipeline.plan",
    "Preview": "enrich.pipeline.preview",
    "Project": "enrich.project",
    "Result": "enrich.pipeline.test",
    "Rows": "enrich.results",
    "Saving": "enrich.ledger.compaction",
    "Shown": "enrich.view.shown",
    "State": "enrich.ledger.state",
    "Viewer": "enrich.view.viewer",
}


def __getattr__(name: str) -> object:
    """Import a public name when it is first used, so that `enrich --help` is quick."""
    if name not in _HOMES:
        raise AttributeError(f"module 'enrich' has no attribute '{name}'")
    # `enrich --help` must start without duckdb and sqlglot, which these modules import.
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    # `rehearsal` is a subpackage, so `__all__` does not name it, but notebooks should complete it.
    return [*__all__, "rehearsal"]
