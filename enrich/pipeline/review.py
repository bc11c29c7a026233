"""Reviews: load what people said about answers, and summarize it.

Files in reviews/ are loaded as seeds are: again when they have changed, and a bad one stops only
what reads it.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from enrich.compiler import reviews as statements
from enrich.db.ownership import (
    MARK_START,
    check_name_free,
    clear_name,
    is_ours,
    mark_table,
    render_comment,
)
from enrich.db.quote import quote_name
from enrich.errors import Damaged, DiskError, InputError, ProjectError
from enrich.manifest.digits import dump_exact
from enrich.manifest.reviews import (
    REVIEW_ENDING,
    REVIEWS_FOLDER,
    find_review_file,
    list_reviewed,
    list_sampled,
    list_standing,
    read_verdicts,
)
from enrich.pipeline import likelihood
from enrich.pipeline.answer_tables import PUBLISHED_SCHEMAS, find_key
from enrich.results import Likely, ReviewerPair, ReviewSummary

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from enrich.db.database import Both, Database, Warehouse
    from enrich.errors import EnrichError
    from enrich.manifest.model import Model
    from enrich.manifest.output import Column, Output
    from enrich.manifest.reviews import Verdict
    from enrich.pipeline.flow import Flow

REVIEWS_MARK = "the reviews"
"""What follows `MARK_START` in the comments on the tables of reviews."""
JSON_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?")


def load_reviews(flow: Flow) -> tuple[tuple[str, ...], dict[str, EnrichError]]:
    """Load the reviews of each model as NAME_review and enrich.NAME_review, unless neither they nor
    the model's columns have changed. Returns the names of the tables that were loaded, and the
    problems by table.

    Tables that cannot be loaded are added to the command's `spoiled`, for what reads them.
    """
    picked = _pick_models(flow)
    if not picked:
        return (), {}
    loaded: list[str] = []
    problems: dict[str, EnrichError] = {}
    with flow.files.open_both(ledger="read") as database:
        for model in picked:
            table = f"{model.name}{REVIEW_ENDING}"
            try:
                if not database.call("latest_run", model=model.name):
                    # Not said: after a checkout that is so until the model's first run.
                    flow.found.spoiled[table.lower()] = _explain_unrun(model)
                elif _load_one(database, flow.config.root, model):
                    loaded.append(table)
            except Damaged:  # of the warehouse, not of the reviews
                raise
            except (InputError, DiskError, ProjectError) as problem:
                problems[table] = problem
    flow.found.spoiled.update({name.lower(): problem for name, problem in problems.items()})
    return tuple(loaded), problems


def _pick_models(flow: Flow) -> list[Model]:
    """Returns the models with reviews that can be loaded, and says which files cannot."""
    picked = []
    for name in list_reviewed(flow.config.root):
        model, source = flow.graph.models.get(name), f"{REVIEWS_FOLDER}/{name}.jsonl"
        taken = _find_owner(flow, f"{name}{REVIEW_ENDING}")
        if taken:
            flow.workspace.say_once(
                f"{source} is not loaded: {taken} is already called '{name}{REVIEW_ENDING}'"
            )
            _drop_tables(flow, name)
        elif model is not None and model.asks:
            picked.append(model)
        elif name not in flow.graph.broken:  # whose own problem is reported
            flow.workspace.say_once(f"{source} is not loaded: no model with a prompt is '{name}'")
    return picked


def _find_owner(flow: Flow, name: str) -> str:
    """Returns which of the project's files or sources makes a table of this name, "" if none."""
    models = dict.fromkeys((*flow.graph.models, *flow.graph.broken), "model")
    known = {each.lower(): kind for each, kind in (models | dict(flow.graph.leaves)).items()}
    return f"a {known[name.lower()]}" if name.lower() in known else ""


def _drop_tables(flow: Flow, name: str) -> None:
    """Drop the tables of a model's reviews, whose name is now that of something else."""
    table = f"{name}{REVIEW_ENDING}"
    with flow.files.open_warehouse() as database:
        for schema in PUBLISHED_SCHEMAS:
            if is_review_table(database, table, schema=schema):
                database.execute(f"DROP TABLE {quote_name('warehouse', schema, table)}")


def is_review_table(database: Warehouse, name: str, *, schema: str = "main") -> bool:
    """Whether a table of this name was created from this project's reviews."""
    found = database.call("exists", schema=schema, name=name)
    said = str(found[0][1]) if found else ""
    return said.startswith(MARK_START + REVIEWS_MARK) and is_ours(database, said)


def _explain_unrun(model: Model) -> EnrichError:
    what = f"the reviews of '{model.name}' cannot be loaded: it has not been run yet"
    return InputError(what, hint=f"enrich run {model.name}")


def _load_one(database: Both, root: Path, model: Model) -> bool:
    """Load the reviews of a model, unless they are loaded already. Returns whether it did."""
    table, key = f"{model.name}{REVIEW_ENDING}", find_key(database, model.name)
    version = f"{REVIEWS_MARK}: {_describe_version(root, model, key)}"
    known = render_comment(database, version)
    found = [database.call("exists", schema=schema, name=table) for schema in PUBLISHED_SCHEMAS]
    if all(each and each[0][1] == known for each in found):
        return False
    stage_verdicts(database, model.own_prompt.output, key, read_verdicts(root, model.name))
    with database.transaction():
        clear_name(database, table, REVIEWS_MARK)
        check_name_free(database, table, REVIEWS_MARK, schema="enrich")
        database.execute(statements.render_review_table(model.name))
        database.execute(statements.render_review_provenance(model.name))
        for schema in PUBLISHED_SCHEMAS:
            mark_table(database, "TABLE", schema, table, version)
    return True


def _describe_version(root: Path, model: Model, key: Mapping[str, str]) -> str:
    """Returns a text that changes with the file and with the columns of the model."""
    path = find_review_file(root, model.name)
    try:
        known = path.stat()
    except OSError as problem:
        what = f"{REVIEWS_FOLDER}/{path.name} cannot be read: {problem.strerror}"
        raise DiskError(what, hint="check the file and its permissions") from problem
    columns = sha256(f"{key}\n{model.own_prompt.output.ddl}".encode()).hexdigest()[:8]
    return f"{path.name}, {known.st_size} bytes, {known.st_mtime_ns}, columns {columns}"


def stage_verdicts(
    database: Database, output: Output, key: Mapping[str, str], verdicts: Sequence[Verdict]
) -> None:
    """Create `temp._enrich_verdicts` from the verdicts that stand; see `render_verdicts`. `key`
    maps the key's columns to their types."""
    standing = list_standing(verdicts)
    sampled = {_dump_key(each) for each in list_sampled(verdicts)}
    lists: dict[str, list[Any]] = {
        "verdict": [each.verdict for each in standing],
        "fingerprint": [each.fingerprint for each in standing],
        "queue": [each.queue for each in standing],
        "blind": [each.blind for each in standing],
        "reviewer": [each.by for each in standing],
        "at": [each.at for each in standing],
        "sampled": [_dump_key(each.key) in sampled for each in standing],
    }
    keys = [{name.lower(): value for name, value in each.key.items()} for each in standing]
    for number, name in enumerate(key):
        lists[f"key_{number}"] = [_dump_plain(each.get(name.lower())) for each in keys]
    for number, column in enumerate(output.columns):
        lists[f"value_{number}"] = [_dump_cell(each, column) for each in standing]
    database.execute(statements.render_verdicts(output, key), **lists)


def _dump_key(key: Mapping[str, Any]) -> str:
    return dump_exact(dict(sorted(key.items())))


def _dump_plain(value: Any) -> str | None:  # noqa: ANN401  # any JSON value
    """Returns a JSON value as the text that DuckDB casts to the type of a key."""
    return value if isinstance(value, str | None) else dump_exact(value)


def _dump_cell(verdict: Verdict, column: Column) -> str | None:
    """Returns a JSON object of this column alone, empty if the verdict lacks it; None if the
    verdict has no values."""
    if not verdict.holds_values:
        return None
    text = render_json_value(verdict, column)
    return "{}" if text is None else f"{{{json.dumps(column.name)}: {text}}}"


def render_json_value(verdict: Verdict, column: Column) -> str | None:
    """Returns what a reviewer said that a cell should be, as JSON; None if nothing."""
    values = {name.lower(): value for name, value in verdict.values.items()}
    if column.name.lower() not in values:
        return None
    value = values[column.name.lower()]
    # Numbers that a browser cannot hold exactly come as texts.
    exact = column.type.family.schema["type"] in ("integer", "number")
    if exact and isinstance(value, str) and JSON_NUMBER.fullmatch(value):
        return value
    return dump_exact(value)


def summarize_reviews(flow: Flow, name: str) -> ReviewSummary:
    """Returns what the reviews of a model say about all of its rows, and how well its reviewers
    agree. Raises ProjectError if the model has not been run, and InputError for a bad file."""
    model = flow.find_enrichment_model(name)
    verdicts = read_verdicts(flow.config.root, name)
    with flow.files.open_both(warehouse="read", ledger="read") as database:
        if not database.call("latest_run", model=name):
            raise ProjectError(f"'{name}' has not been run yet", hint=f"enrich run {name}")
        return summarize_verdicts(database, model, verdicts)


def summarize_verdicts(database: Both, model: Model, verdicts: Sequence[Verdict]) -> ReviewSummary:
    """Returns what these verdicts say about the published table of a model. Needs warehouse and
    ledger."""
    standing, output = list_standing(verdicts), model.own_prompt.output
    key = find_key(database, model.name)
    stage_verdicts(database, output, key, verdicts)
    listed = [(column.name, column.type.is_list) for column in output.columns]
    rows, likely = 0, list[Likely]()
    if database.call("exists", schema="main", name=model.name):
        there = database.describe(f"FROM {quote_name('warehouse', 'main', model.name)}")
        known = {column.lower() for column in there}
        # The output may have columns that the next run will publish.
        present = [(column, is_list) for column, is_list in listed if column.lower() in known]
        rows, likely = _estimate_cells(database, model.name, tuple(key), present)
    return ReviewSummary(
        model=model.name,
        rows=rows,
        verdicts=dict(Counter(each.verdict for each in standing)),
        reviewers=dict(Counter(each.by for each in standing)),
        likely=tuple(likely),
        pairs=tuple(
            ReviewerPair(
                column=column,
                reviewer=reviewer,
                other=other,
                rows=many,
                agreement=agreed / many,
                kappa=likelihood.compute_kappa(many, agreed, chance),
            )
            for column, reviewer, other, many, agreed, chance in database.execute(
                statements.render_pair_counts(listed)
            )
        ),
    )


def _estimate_cells(
    database: Warehouse, model: str, key: Sequence[str], columns: Sequence[tuple[str, bool]]
) -> tuple[int, list[Likely]]:
    """Returns the number of published rows, and how many of them are likely to be right: in each
    column, and in all of them."""
    table = quote_name("warehouse", "main", model)
    (rows,) = database.fetch_one(f"SELECT count(*) FROM {table}")
    if not columns:
        return rows, []
    counts = database.fetch_one(statements.render_sampled_counts(model, key, columns))
    found = []
    for column, reviewed, right in zip(
        (*(name for name, _ in columns), None), counts[::2], counts[1::2], strict=True
    ):
        if not reviewed:
            continue
        low, high = likelihood.estimate_share(right, reviewed, rows)
        found.append(
            Likely(
                column=column,
                reviewed=reviewed,
                right=right,
                share=right / reviewed,
                low=low,
                high=high,
                more=likelihood.count_more(right, reviewed, rows),
            )
        )
    return rows, found
