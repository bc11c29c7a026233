"""Loading: the models and the SQL tests in the project's folder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from enrich.errors import ProjectError
from enrich.manifest import declared_tests, model, seed_file, strays, variables
from enrich.manifest.graph import Graph
from enrich.manifest.located import locate_paths
from enrich.manifest.sources import NAME_RULE, TABLE_NAME, explain_name
from enrich.manifest.texts import read_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from enrich.manifest.config import Config
    from enrich.manifest.data_test import DataTest

TEST_SETTINGS = ("severity", "description")
"""What comments at the top of a SQL test can set."""


def load_graph(config: Config, values: Mapping[str, Any]) -> Graph:
    """Returns the graph of the project's models, seeds and sources.

    `values` are the values of variables. Models that cannot be read are listed as broken in the
    graph; raises ProjectError or ModelError for names that occur twice.
    """
    models, broken = model.load_models(config.models, root=config.root, values=values)
    misnamed = strays.find_misnamed_prompts(config.models, config.root, models)
    broken |= misnamed
    models = {name: each for name, each in models.items() if name not in misnamed}
    brought = seed_file.find_seed_files(config)
    leaves = dict.fromkeys((*brought.files, *brought.problems), "seed")
    lowered = {name.lower(): name for name in leaves}
    for source in config.sources:
        if source.name.lower() in lowered:
            message = f"project.yml: the source '{source.name}' has the same name as a seed"
            raise ProjectError(message, hint="rename one of them")
    leaves |= {source.name: "source" for source in config.sources}
    lowered |= {source.name.lower(): source.name for source in config.sources}
    for name, each in models.items():
        same = lowered.get(name.lower())
        if same:
            message = f"{each.source}: the {leaves[same]} '{same}' has the same name"
            raise ProjectError(message, hint="rename one of them")
    unread = (
        *strays.describe_stray_models(config.models, config.root, models),
        *strays.describe_stray_tests(config.tests, config.root),
    )
    return Graph(models, leaves, broken, unread)


def load_tests(config: Config, values: Mapping[str, Any]) -> tuple[DataTest, ...]:
    """Returns the tests in the SQL files of the test folders. `values` are the values of variables.

    Raises ProjectError, ModelError or DiskError.
    """
    found: dict[str, DataTest] = {}
    for path in sorted(path for each in config.tests for path in each.rglob("*.sql")):
        source = model.show_path(path, config.root)
        text = read_text(path, source=source)
        if path.stem in found:
            what = f"{source}: {found[path.stem].source} is a test of the same name"
            raise ProjectError(what, hint="rename one of them")
        if not TABLE_NAME.fullmatch(path.stem):
            what = f"'{path.stem}' cannot name a test, because it {explain_name(path.stem)}"
            raise ProjectError(f"{source}: {what}", hint=f"rename the file: {NAME_RULE}")
        said = model.read_header(text, TEST_SETTINGS, source=source)
        select = model.parse_select(variables.fill_variables(text, values, source=source), source)
        severity = said.get("severity", "error")
        found[path.stem] = declared_tests.read_test_file(
            locate_paths(select.query, config.root),
            severity,
            name=path.stem,
            source=source,
            reads=select.reads,
        )
    return tuple(found.values())
