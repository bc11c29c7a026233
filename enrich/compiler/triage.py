"""Triage as SQL: rows are answered by the labels of the rows nearest to them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from enrich.compiler.exact import render_exact
from enrich.compiler.judge import render_judgement
from enrich.compiler.similar import render_key_text, render_settled
from enrich.db.quote import quote_name, quote_table, quote_text, render_struct

if TYPE_CHECKING:
    from collections.abc import Mapping

    from enrich.manifest.output import Output
    from enrich.manifest.reuse import Triage

TRIAGE_LLM = "triage"
"""What answers of labels have as their llm."""


def _render_usable(length: int) -> str:
    """SQL for whether a vector can be compared: it has a direction."""
    size = "sqrt(list_inner_product(vector, vector))"
    return (
        f"len(vector) = {length} AND list_count(vector) = {length} "
        f"AND {size} > 0 AND isfinite({size})"
    )


def render_labeled(labels: str, output: Output, key: Mapping[str, str], length: int) -> str:
    """Create `temp._enrich_labeled`: the rows of the snapshot that have a vector, and a label that
    is a valid answer: line, vector, answer (JSON)."""
    cells = {
        c.name: render_exact(f"try_cast(label.{quote_name(c.name)} AS {c.type.sql})", c.type.sql)
        for c in output.columns
    }
    same = " AND ".join(
        f"try_cast(label.{quote_name(column)} AS {kind}) = snapshot.key.{quote_name(column)}"
        for column, kind in key.items()
    )
    source = f"""SELECT snapshot.rowid AS line, CAST(vector AS FLOAT[{length}]) AS vector,
        CAST(to_json({render_struct(cells)}) AS VARCHAR) AS content
    FROM temp._enrich_snapshot AS snapshot JOIN {quote_table(labels)} AS label ON {same}
    WHERE {_render_usable(length)}"""
    return f"""CREATE OR REPLACE TEMP TABLE _enrich_labeled AS
SELECT line, vector, content AS answer FROM (
{render_judgement(source, output, "json_schema")}
) WHERE fault IS NULL"""


def render_triaged(triage: Triage, length: int) -> str:
    """Create `temp._enrich_triaged`: for each row of the snapshot that would be asked, and for each
    labeled one, the answer that its nearest labels give, whether that is `clear`, and whether it
    `agrees` with the own label of the row (NULL without one). `nearest` is the line of the nearest
    label that gives this answer. A row's own label is none of its neighbors.

    Rows one of whose requests, of which $digests are the constants, has an answer that was read
    after the $since-th batch, or is in flight, are left out. If the version is $repeated, those
    that labels answer so far are not: such an answer may be older, from before a full refresh.
    """
    return f"""CREATE OR REPLACE TEMP TABLE _enrich_triaged AS
WITH present AS (
    SELECT rowid AS line, fingerprint, tail, vector, was FROM temp._enrich_snapshot
    WHERE fingerprint IS NOT NULL AND prompt IS NULL AND {_render_usable(length)}
), {render_settled("present")}, asking AS (
    SELECT line, CAST(vector AS FLOAT[{length}]) AS vector FROM present
    WHERE line NOT IN (SELECT line FROM settled)
        OR line IN (SELECT line FROM temp._enrich_labeled)
        OR ($repeated AND was IN (
            SELECT fingerprint FROM ledger.responses WHERE llm = {quote_text(TRIAGE_LLM)}
        ))
), compared AS (
    SELECT asking.line AS line, labeled.line AS label, answer,
        array_cosine_similarity(asking.vector, labeled.vector) AS similarity
    FROM asking JOIN temp._enrich_labeled AS labeled ON labeled.line <> asking.line
), near AS (
    SELECT line, unnest(arg_max(
        {{'label': label, 'answer': answer, 'similarity': similarity}},
        (similarity, -label), {triage.neighbors}
    ), recursive := true) FROM compared GROUP BY line
), votes AS (
    SELECT line, answer, sum(greatest(similarity, 0)) AS weight, max(similarity) AS best,
        arg_max(label, similarity) AS nearest
    FROM near GROUP BY ALL
), won AS (
    SELECT line, arg_max(answer, (weight, answer)) AS answer,
        arg_max(nearest, (weight, answer)) AS nearest, max(best) AS best,
        sum(weight) AS total, max(weight) AS most,
        coalesce(list_sort(list(weight), 'DESC')[2], 0) AS next
    FROM votes GROUP BY line
)
SELECT won.line, won.answer, nearest,
    best >= {triage.at} AND total > 0 AND (most - next) / total >= {triage.margin} AS clear,
    won.answer = own.answer AS agrees
FROM won LEFT JOIN temp._enrich_labeled AS own ON own.line = won.line"""


def render_applied(key: Mapping[str, str]) -> str:
    """Let the rows without a label of their own that are clear stand for the answer of their
    neighbors: a request that is never sent."""
    return f"""UPDATE temp._enrich_snapshot AS snapshot
SET fingerprint = left(sha256(concat_ws(chr(10), 'triage', answer, snapshot.fingerprint)), 32),
    reuse = 'triaged', copied_from = {render_key_text("lead", key)}
FROM temp._enrich_triaged AS triaged
    JOIN temp._enrich_snapshot AS lead ON lead.rowid = triaged.nearest
WHERE snapshot.rowid = triaged.line AND clear AND agrees IS NULL"""
