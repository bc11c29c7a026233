"""Evaluate: score published answers against labels, with every figure computed in SQL.

Figures are kept for each version of the prompt in `ledger.evaluations`, so that progress shows.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

from enrich.compiler import scores
from enrich.db.database import read_statement
from enrich.db.quote import quote_name, quote_table, quote_text, quote_texts
from enrich.errors import DatabaseError, InputError, ModelError, ProjectError, nearest
from enrich.manifest.output import Output
from enrich.manifest.reviews import REVIEW_ENDING, read_verdicts
from enrich.pipeline.answer_tables import find_key
from enrich.pipeline.lock import hold_project
from enrich.pipeline.lookup import fetch_rows, find_run_model
from enrich.pipeline.publish import write_books
from enrich.pipeline.review import is_review_table, summarize_verdicts
from enrich.pipeline.seed import load_seeds
from enrich.results import Evaluation

if TYPE_CHECKING:
    from collections.abc import Mapping

    from enrich.db.database import Both
    from enrich.manifest.column_type import Measure
    from enrich.manifest.model import Model
    from enrich.manifest.output import Column
    from enrich.pipeline.flow import Flow


MOST_DISTINCT = 200
"""How many different texts a column of a plain model may have whose texts count as labels."""
SQL_LLM = "sql"
"""What the figures of a plain model have as their llm."""


@dataclass(frozen=True, kw_only=True)
class Scored:
    """What is scored: the columns of a model, its key with the types, and SQL for a table that says
    which version of the model has answered which row."""

    name: str
    columns: tuple[Column, ...]
    key: Mapping[str, str]
    told: str


def score_answers(
    database: Both, scored: Scored, labels: str, columns: Mapping[str, str]
) -> list[str]:
    """Score a model's published columns against the table `labels`, and store the figures. Returns
    the names of the columns.

    The table needs the model's key and a label column for each output column to score: one of the
    same name, or the one that `columns` maps the output column to. Needs warehouse and ledger.
    Raises InputError if the table does not fit, and ProjectError if `columns` does not.
    """
    model, key = scored.name, scored.key
    table = quote_table(labels)
    given = _describe_labels(database, labels)
    _check_label_key(scored, labels, given)
    pairs = _pair_columns(scored, labels, given, columns)
    _check_unique(database, labels, key)
    rows = 0
    for column, label in pairs:
        database.execute(
            scores.render_scores(
                model,
                table,
                key=key,
                column=column.name,
                kind=column.type,
                expected=label,
                given=given[label],
                told=scored.told,
            )
        )
        with database.transaction():
            named = {"model": model, "labels": labels, "column": column.name}
            # Replaced, so that scoring a version twice does not count it twice.
            database.call("scores_dropped", **named)
            _score_column(database, column.type.family.choose_measure(column.type), named)
        rows += database.fetch_one("SELECT count(*) FROM temp._enrich_scored")[0]
    # Figures of no rows would look like a result.
    if not rows:
        hint = f"check that the keys ({', '.join(key)}) match and that the labels are not NULL"
        raise InputError(f"no row of '{model}' has a label in '{labels}'", hint=hint)
    return [column.name for column, _ in pairs]


def _describe_labels(database: Both, labels: str) -> dict[str, str]:
    """Returns the columns of the labels with their types; raises InputError if they are
    unreadable."""
    try:
        return database.describe(f"FROM {quote_table(labels)}")
    except DatabaseError as problem:
        hint = "use a seed, a model, a source or any other table of the warehouse"
        raise InputError(f"the labels '{labels}' cannot be read", hint=hint) from problem


def _check_unique(database: Both, labels: str, key: Mapping[str, str]) -> None:
    """Raises InputError if the labels have more than one row for a key."""
    double = database.execute(scores.render_duplicate_key(quote_table(labels), key))
    if double:
        what = f"'{labels}' has more than one row for the key {double[0][0]}"
        raise InputError(what, hint="labels need one row per key: write a model that combines them")


def _score_column(database: Both, measure: Measure, named: Mapping[str, str]) -> None:
    if measure == "labels":
        database.call("score_labels", **named)
    elif measure == "text":
        database.call("score_text", **named)
    else:
        database.call("score_value", **named)


def _check_label_key(scored: Scored, labels: str, given: Mapping[str, str]) -> None:
    """Raises InputError unless the labels have all columns of the model's key."""
    known = {column.lower(): column for column in given}
    for column in scored.key:
        if column.lower() not in known:
            whose = f"which is part of the key of '{scored.name}'"
            message = f"'{labels}' has no column '{column}', {whose}"
            raise InputError(message, hint=nearest(column, given))


def describe_answers(database: Both, model: Model) -> Scored:
    """Returns what is scored of an enrichment model. Raises InputError if it is not published."""
    name = model.name
    if not database.call("exists", schema="main", name=name):
        raise InputError(f"'{name}' has not been published yet", hint=f"enrich run {name}")
    return Scored(
        name=name,
        columns=model.own_prompt.output.columns,
        key=find_key(database, name),
        told=quote_name("warehouse", "enrich", name),
    )


def describe_plain(database: Both, model: Model) -> Scored:
    """Returns what is scored of a plain model, and keeps this version of its SQL.

    Its texts count as labels if there are few different ones. Raises InputError without a key.
    """
    table = quote_name("warehouse", "main", model.name)
    kinds = database.describe(f"FROM {table}")
    named = {column.lower(): column for column in kinds}
    missing = [column for column in model.key if column.lower() not in named]
    if missing or not model.key:
        what = f"has no column '{missing[0]}'" if missing else "has no key"
        hint = f"write `-- key: id` at the top of {model.source}, with the column of the table"
        raise InputError(f"'{model.name}' {what}, by which labels are matched", hint=hint)
    key = {named[column.lower()]: kinds[named[column.lower()]] for column in model.key}
    columns: list[Column] = []
    for name, kind in kinds.items():
        if name not in key:
            columns += _describe_column(database, table, name, kind)
    digest = sha256(f"{model.name}\n{model.query}".encode()).hexdigest()[:12]
    database.call(
        "prompt_kept",
        prompt=digest,
        model=model.name,
        identity=SQL_LLM,
        llm=SQL_LLM,
        endpoint="",
        response_format="json_schema",
        output=", ".join(f"{quote_name(each.name)} {each.type.sql}" for each in columns),
        prefix="",
        text=model.query,
        query=model.query,
        params=None,
        variables=None,
        pack=0,
    )
    names = ", ".join(map(quote_name, key))
    told = f"(SELECT {names}, {quote_text(digest)} AS prompt FROM {table})"
    return Scored(name=model.name, columns=tuple(columns), key=key, told=told)


def _describe_column(database: Both, table: str, name: str, kind: str) -> list[Column]:
    """Returns a column of a table as one of an output; none if an output cannot hold its type."""
    if kind == "VARCHAR":
        column = quote_name(name)
        found = database.execute(
            f"SELECT DISTINCT {column} FROM {table} WHERE {column} IS NOT NULL "
            f"ORDER BY 1 LIMIT {MOST_DISTINCT + 1}"
        )
        labels = [str(label) for (label,) in found]
        if 0 < len(labels) <= MOST_DISTINCT:
            kind = f"ENUM({quote_texts(labels)})"
    try:
        return list(Output.parse(f"{quote_name(name)} {kind}", source=name).columns)
    except ModelError:
        return []


def _pair_columns(
    scored: Scored, labels: str, given: Mapping[str, str], columns: Mapping[str, str]
) -> list[tuple[Column, str]]:
    """Returns the output columns to score, each with its label column."""
    # DuckDB compares the names of columns without regard to case.
    outputs = {column.name.lower(): column for column in scored.columns}
    known = {column.lower(): column for column in given}
    wanted = {name.lower(): name for name in outputs if name in known and name not in columns}
    for name, label in columns.items():
        if name.lower() not in outputs:
            hint = nearest(name, (column.name for column in scored.columns))
            raise ProjectError(f"the output has no column '{name}'", hint=hint)
        if label.lower() not in known:
            raise InputError(f"'{labels}' has no column '{label}'", hint=nearest(label, given))
        wanted[name.lower()] = label.lower()
    if not wanted:
        first = scored.columns[0].name if scored.columns else "COLUMN"
        hint = f"say which column holds the labels: --column {first}=ONE OF {', '.join(given)}"
        raise InputError(f"no column of '{labels}' has the name of an output column", hint=hint)
    return [(outputs[name], known[label]) for name, label in wanted.items()]


def evaluate_model(flow: Flow, name: str, labels: str, columns: Mapping[str, str]) -> Evaluation:
    """Score a model's published columns. Returns the figures of every version scored so far."""
    model = flow.graph.find_model(name)
    if model.asks:
        find_run_model(flow, name)
    else:
        flow.check_built(name)
    if labels in flow.graph.models:
        flow.check_built(labels)
    with hold_project(flow.files):
        load_seeds(flow)  # the labels are a seed, as a rule
        reviewed = _names_reviews(flow, name, labels)
        with flow.files.open_both(attached=(*model.texts, labels)) as database:
            describe = describe_answers if model.asks else describe_plain
            names = score_answers(database, describe(database, model), labels, columns)
            write_books(database)
            # The ledger also has those of columns that the output had once.
            named = {"model": name, "labels": labels, "columns": names}
            figures = fetch_rows(database, read_statement("scores"), **named)
            latest = database.call("latest_scored", **named)[0][0]
            found = fetch_rows(database, read_statement("scores_by_label"), **named, prompt=latest)
            reviews = None
            if reviewed and is_review_table(database, f"{name}{REVIEW_ENDING}"):
                verdicts = read_verdicts(flow.config.root, name)
                # Without the file the table stays, as that of a seed does.
                reviews = summarize_verdicts(database, model, verdicts) if verdicts else None
    return Evaluation(figures=figures, labels=found, prompt=latest, reviews=reviews)


def _names_reviews(flow: Flow, name: str, labels: str) -> bool:
    """Whether `labels` is the name of a model's own reviews. Raises EnrichError if these could not
    be loaded."""
    table = f"{name}{REVIEW_ENDING}"
    places = ((table,), ("main", table), ("warehouse", "main", table))
    if quote_table(labels).lower() not in {quote_name(*place).lower() for place in places}:
        return False
    problem = flow.found.spoiled.get(table.lower())
    if problem is not None:
        raise problem
    return True
