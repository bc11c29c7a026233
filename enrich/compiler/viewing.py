"""The page's questions as SQL: a model's rows beside its answers, filtered, sorted and counted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from enrich.compiler.comparison import render_agree
from enrich.compiler.exact import render_exact
from enrich.compiler.input_rows import name_inputs_table
from enrich.compiler.inputs import WHOLE_TYPES, render_custom_id
from enrich.compiler.judge import render_answer
from enrich.compiler.reader import render_vector_summary
from enrich.compiler.similar import VECTOR_TYPE
from enrich.compiler.tables import RESPONSE_COST
from enrich.db.quote import quote_name, quote_text, render_struct, wrap_expression
from enrich.manifest.model import HISTORY_ENDING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from enrich.manifest.output import Output
    from enrich.manifest.prompt import ResponseFormat

ColumnRole = Literal["key", "input", "output"]
ROWS = "shown.main.rows"
"""The table of a model's rows that the page reads."""
PAIRS = "paired.main.pairs"
"""The table of rows that two versions have both answered."""
CELL_CHARACTERS = 2_000
"""The most characters of a cell that a page of rows contains; a single row has all of them."""
ROW_DETAILS = (
    "outcome",
    "error",
    "llm",
    "fingerprint",
    "prompt",
    "cost",
    "input_tokens",
    "output_tokens",
    "answered_at",
    "stale",
)
"""The columns of `enrich.NAME` that the page shows of each row."""
SORTABLE_DETAILS = ("outcome", "prompt", "cost", "output_tokens", "answered_at")


@dataclass(frozen=True, kw_only=True)
class ShownColumn:
    """A column of the page: `place` is its name in ROWS, because the user's own names may clash.

    `labels` are the values that it can have, if these are few.
    """

    place: str
    name: str
    type: str
    role: ColumnRole
    labels: tuple[str, ...] = ()

    @property
    def is_list(self) -> bool:
        return self.type.endswith("[]")

    @property
    def is_blob(self) -> bool:
        return self.type == "BLOB"

    @property
    def is_vector(self) -> bool:
        return bool(VECTOR_TYPE.fullmatch(self.type))

    @property
    def is_nested(self) -> bool:
        """Whether a value is neither plain nor a list of plain values."""
        if self.is_vector:
            return False
        item = self.type.removesuffix("[]")
        return item.startswith(("STRUCT", "MAP", "UNION", "JSON")) or item.endswith("]")


def render_shown_rows(
    model: str,
    query: str,
    columns: Sequence[ShownColumn],
    *,
    key: Mapping[str, str],
    pictures: Sequence[str] = (),
    provenance: bool = False,
    published: bool = False,
) -> str:
    """Create ROWS: n (from 0, in the order of the key), the columns, what the SQL expressions
    `pictures` give (p0, p1, ...), custom_id, and ROW_DETAILS.

    `query` gives the rows; `provenance` and `published` say whether the warehouse has
    `enrich.NAME` and `NAME`.
    """
    shown = [
        f"{wrap_expression(picture)} AS _enrich_picture_{number}"
        for number, picture in enumerate(pictures)
    ]
    cells = [
        *(_render_side(column, provenance=provenance) for column in columns),
        *(f"asked._enrich_picture_{number} AS p{number}" for number in range(len(pictures))),
        *_render_details(key, provenance=provenance),
    ]
    # A FULL JOIN, because a row that has left the SELECT stays in the table until the next run.
    joins, known = "", "asked"
    if provenance:
        table, known = quote_name("warehouse", "enrich", model), "known"
        joins += f"\n    FULL JOIN {table} AS known ON {_render_same('asked', 'known', key)}"
    if published:
        same = _render_same(known, "answered", key)
        joins += f"\n    LEFT JOIN {name_published_table(model)} AS answered ON {same}"
    places = [column.place for column in columns if column.role == "key"]
    order = f"ORDER BY {', '.join(places)}" if places else ""
    struct = render_struct(dict(zip(key, places, strict=True))) if places else "NULL"
    ident = render_custom_id(key) if places else "NULL::VARCHAR"
    return f"""CREATE OR REPLACE TABLE {ROWS} AS
SELECT row_number() OVER ({order}) - 1 AS n, * EXCLUDE (key), {ident} AS custom_id FROM (
    SELECT *, {struct} AS key FROM (
        SELECT {", ".join(cells)}
        FROM (SELECT {", ".join(["inputs.*", *shown])} FROM (
{query}
        ) AS inputs) AS asked{joins}
    )
)
ORDER BY n"""


def _render_side(column: ShownColumn, *, provenance: bool) -> str:
    """SQL for a column of ROWS, from the side that has it."""
    name = quote_name(column.name)
    cell = f"{'answered' if column.role == 'output' else 'asked'}.{name}"
    if column.role == "key" and provenance:
        cell = f"coalesce({cell}, known.{name})"
    if column.is_blob and column.role != "key":
        cell = f"format('{{:,}} bytes', octet_length({cell}))"
    if column.is_vector and column.role != "key":
        cell = render_vector_summary(f"CAST({cell} AS FLOAT[])")
    return f"{cell} AS {column.place}"


def _render_details(key: Mapping[str, str], *, provenance: bool) -> Iterator[str]:
    """Yields SQL for ROW_DETAILS. A row that was never asked is `new`, one without an answer
    `pending`; a plain model has none of these."""
    if provenance:
        asked = f"known.{quote_name(next(iter(key)))} IS NOT NULL"
        yield f"coalesce(known.outcome, CASE WHEN {asked} THEN 'pending' ELSE 'new' END) AS outcome"
        yield from (f"known.{name} AS {name}" for name in ROW_DETAILS[1:])
        return
    yield f"{quote_text('new') if key else 'NULL::VARCHAR'} AS outcome"
    yield from (f"NULL::VARCHAR AS {name}" for name in ROW_DETAILS[1:])


def _render_same(one: str, other: str, key: Mapping[str, str]) -> str:
    """SQL for whether two rows have the same key."""
    # Equality, not IS NOT DISTINCT FROM, which cannot be hashed: a key is never NULL.
    return " AND ".join(
        f"{one}.{quote_name(column)} = {other}.{quote_name(column)}" for column in key
    )


def render_shown_cell(column: ShownColumn, *, whole: bool = False) -> str:
    """SQL for a cell as the page shows it: a text, or a list of texts."""
    if column.is_nested and column.type != "JSON":
        text = f"CAST(to_json({render_exact(column.place, column.type)}) AS VARCHAR)"
    elif column.is_list:
        return f"CAST({column.place} AS VARCHAR[])"
    else:
        text = f"CAST({column.place} AS VARCHAR)"
    return text if whole else f"left({text}, {CELL_CHARACTERS})"


def render_said_cell(column: ShownColumn) -> str:
    """SQL for a cell as a verdict says it. A key is a whole number or a text, so that it can be
    told from any other; and JSON is a text, at any depth, which keeps its digits and may hold
    NaN."""
    if column.role == "key" and column.type not in WHOLE_TYPES:
        return f"CAST({column.place} AS VARCHAR)"
    return column.place if column.role == "key" else render_exact(column.place, column.type)


def render_search(columns: Sequence[ShownColumn]) -> str:
    """SQL for whether any cell of a row contains $search, in any case."""
    cells = (f"contains(lower(CAST({column.place} AS VARCHAR)), $search)" for column in columns)
    return f"({' OR '.join(cells)})"


def render_has_label(column: ShownColumn) -> str:
    """SQL for whether a cell is, or contains, the label $label; NULL is the label `NULL`."""
    if column.is_list:
        return f"coalesce(list_contains(CAST({column.place} AS VARCHAR[]), $label), false)"
    return f"coalesce(CAST({column.place} AS VARCHAR), 'NULL') = $label"


def render_label_counts(
    model: str, column: str, *, is_list: bool, key: Mapping[str, str], history: bool
) -> str:
    """How many published rows have each label of a column, now and before $started, when the
    model's last run started. The most frequent 40 labels; `history`: `enrich.NAME_history`
    exists."""
    # Names of its own, because the output's columns may be called `now` or `answered_at`.
    cell = quote_name(column)
    labels = (
        "unnest(list_distinct(CAST(_enrich_cell AS VARCHAR[])))"
        if is_list
        else "CAST(_enrich_cell AS VARCHAR)"
    )
    known = quote_name("warehouse", "enrich", model)
    earlier = quote_name("warehouse", "enrich", f"{model}{HISTORY_ENDING}")
    gone = f"""
    UNION ALL
    SELECT {cell}, false, true FROM {earlier} WHERE from_at <= $started AND until_at > $started"""
    return f"""SELECT coalesce(label, 'NULL') AS label, count(*) FILTER (_enrich_now) AS now,
    count(*) FILTER (_enrich_before) AS before
FROM (
    SELECT {labels} AS label, _enrich_now, _enrich_before FROM (
        SELECT answered.{cell} AS _enrich_cell, true AS _enrich_now,
            coalesce(known.answered_at <= $started, false) AS _enrich_before
        FROM {quote_name("warehouse", "main", model)} AS answered
            LEFT JOIN {known} AS known ON {_render_same("answered", "known", key)}{
        gone if history else ""
    }
    )
)
GROUP BY label ORDER BY now DESC, before DESC, label LIMIT 40"""


def render_version_answers(model: str, side: str, output: Output, form: ResponseFormat) -> str:
    """Create `temp._enrich_version_SIDE`: for each row of ROWS that it has answered, n and the
    answer of the version $version, a STRUCT. Needs the ledger, and ROWS."""
    answer = render_answer("content", output, form, strict=False)
    # A row's request is known from the runs in which it asked it and, for the samples of
    # `enrich compare`, which belong to no run, from its custom_id.
    inputs = name_inputs_table(model)
    return f"""CREATE OR REPLACE TEMP TABLE _enrich_version_{side} AS
WITH asked AS (
    SELECT DISTINCT n, place.fingerprint AS fingerprint
    FROM {inputs} AS place JOIN ledger.runs AS run ON run.run = from_run
        JOIN {ROWS} AS shown USING (custom_id)
    WHERE coalesce(place.prompt, run.prompt) = $version
    UNION
    SELECT n, request.fingerprint FROM ledger.requests AS request
        JOIN {ROWS} AS shown USING (custom_id)
    WHERE request.batch IN (SELECT batch FROM ledger.batches WHERE prompt = $version)
), best AS (
    SELECT n, arg_max(response.rowid, (attempt, response.rowid)) AS line
    FROM asked JOIN ledger.responses AS response USING (fingerprint)
    WHERE outcome = 'ok'
        AND response.batch IN (SELECT batch FROM ledger.batches WHERE prompt = $version)
    GROUP BY n
)
SELECT n, {answer} AS answer
FROM best JOIN ledger.responses AS response ON response.rowid = line"""


def render_version_pairs(columns: Sequence[tuple[str, bool]], key: Sequence[ShownColumn]) -> str:
    """Create PAIRS: for each row that both versions have answered, n, the key as
    texts, the cells of each side as texts, and which of them differ.

    `columns` says of each column of the output whether it is a list.
    """

    def render_cells(side: str) -> str:
        cells = (
            f"left(CAST({side}.answer.{quote_name(name)} AS VARCHAR), {CELL_CHARACTERS})"
            for name, _ in columns
        )
        return f"[{', '.join(cells)}]"

    differs = (f"NOT {render_agree(name, listed)}" for name, listed in columns)
    keys = ", ".join(f"CAST({column.place} AS VARCHAR)" for column in key)
    return f"""CREATE TABLE {PAIRS} AS
SELECT n, [{keys}] AS key, {render_cells("was")} AS was, {render_cells("now")} AS now,
    [{", ".join(differs)}] AS differs
FROM temp._enrich_version_was AS was JOIN temp._enrich_version_now AS now USING (n)
    JOIN {ROWS} USING (n)
ORDER BY n"""


def render_pair_totals(columns: int) -> str:
    """How many pairs there are, how many differ in any column, and how many in each."""
    each = ", ".join(f"count(*) FILTER (differs[{at + 1}])" for at in range(columns))
    return f"""SELECT count(*), count(*) FILTER (list_bool_or(differs)), {each}
FROM {PAIRS}"""


def name_published_table(model: str) -> str:
    """The quoted name of the model's table."""
    return quote_name("warehouse", "main", model)


def render_failure_groups(model: str) -> str:
    """The rows of `enrich.NAME` that are not ok, by outcome and by reason without its numbers and
    quotations: outcome, pattern, an error of the group, and how many rows it has."""
    table = quote_name("warehouse", "enrich", model)
    # A reason quotes the answer, so hardly two of them are equal.
    quoted, number = quote_text("'[^']*'"), quote_text("[0-9]+")
    masked = f"regexp_replace(regexp_replace(error, {quoted}, '…', 'g'), {number}, '#', 'g')"
    return f"""SELECT outcome, coalesce({masked}, '') AS pattern, any_value(error) AS error,
    count(*) AS many
FROM {table} WHERE outcome <> 'ok' GROUP BY ALL ORDER BY many DESC, outcome, pattern LIMIT 100"""


def render_confusion(model: str, column: str, labels: str, *, key: Mapping[str, str]) -> str:
    """How often each label of a table of labels met each published value of a column: expected,
    said, how many; the 200 most frequent pairs. Both tables have a column of this name."""
    cell = quote_name(column)
    return f"""SELECT CAST(label.{cell} AS VARCHAR) AS expected,
    coalesce(CAST(answered.{cell} AS VARCHAR), 'NULL') AS said, count(*) AS many
FROM {labels} AS label
    JOIN {name_published_table(model)} AS answered ON {_render_same("label", "answered", key)}
WHERE label.{cell} IS NOT NULL GROUP BY ALL ORDER BY many DESC, expected, said LIMIT 200"""


def render_exchanges() -> str:
    """For the rows $numbers of ROWS: n, the body of its request, its raw answer, and when it came.
    Needs the ledger."""
    return f"""WITH shown AS (
    SELECT n, fingerprint, llm, answered_at, cost FROM {ROWS}
    WHERE fingerprint IS NOT NULL AND rowid IN (SELECT unnest($numbers::BIGINT[]))
), sent AS (
    SELECT fingerprint, arg_max(request.rowid, attempt) AS line
    FROM ledger.requests AS request SEMI JOIN shown USING (fingerprint) GROUP BY fingerprint
), came AS (
    SELECT fingerprint, arg_max(response.rowid, (outcome = 'ok', attempt, response.rowid)) AS line
    FROM ledger.responses AS response SEMI JOIN shown USING (fingerprint) GROUP BY fingerprint
)
SELECT n, prefix || tail AS body, content AS raw, shown.fingerprint, shown.llm,
    CAST(answered_at AS VARCHAR) AS answered_at, cost
FROM shown LEFT JOIN sent USING (fingerprint)
    LEFT JOIN ledger.requests AS request ON request.rowid = sent.line
    LEFT JOIN (
        SELECT batch, prefix FROM ledger.batches JOIN ledger.prompts USING (prompt)
    ) AS batch ON batch.batch = request.batch
    LEFT JOIN came ON came.fingerprint = shown.fingerprint
    LEFT JOIN ledger.responses AS response ON response.rowid = came.line
ORDER BY n"""


def render_lives(model: str) -> str:
    """For the rows $numbers of ROWS: n, and each response to a request that the row has asked, in
    order, as `history.render_life` has them. Needs the ledger."""
    return f"""WITH asked AS (
    SELECT DISTINCT n, place.fingerprint AS fingerprint
    FROM {ROWS} AS shown JOIN {name_inputs_table(model)} AS place USING (custom_id)
    WHERE shown.rowid IN (SELECT unnest($numbers::BIGINT[]))
)
SELECT n, CAST(received_at AS VARCHAR) AS happened_at, outcome, reason AS error,
    batch.prompt AS prompt, llm, attempt, input_tokens, output_tokens,
    {RESPONSE_COST} AS cost, content AS answer
FROM asked JOIN ledger.responses AS response USING (fingerprint) JOIN (
    SELECT batch, prompt, input_price, cached_price, output_price FROM ledger.batches
) AS batch ON batch.batch = response.batch
ORDER BY n, received_at, attempt"""
