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
    from enrich.ledger.state import State
    from enrich.pipeline.plan import Plan
    from enrich.pipeline.preview import Preview
    from enrich.project import Project
    from enrich.results import Rows

__all__ = ["EnrichError", "Plan", "Preview", "Project", "Rows", "State"]

_HOMES = {
    "EnrichError": "enrich.errors",
    "Plan": "enrich.pipeline.plan",
    "Preview": "enrich.pipeline.preview",
    "Project": "enrich.project",
    "Rows": "enrich.results",
    "State": "enrich.ledger.state",
}


def __getattr__(name: str) -> object:
    """Import a public name when it is first used, so that `enrich --help` is quick."""
    if name not in _HOMES:
        raise AttributeError(f"module 'enrich' has no attribute '{name}'")
    return getattr(import_module(_HOMES[name]), name)
