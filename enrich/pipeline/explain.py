"""Explain: what a model becomes, to be inspected before anything is sent."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from enrich.compiler import pack
from enrich.compiler.compilation import describe_select
from enrich.pipeline.draft import compile_for
from enrich.pipeline.seed import load_seeds
from enrich.pipeline.select import select_rows

if TYPE_CHECKING:
    from enrich.compiler.compilation import CompiledModel
    from enrich.pipeline.flow import Flow


def explain_model(flow: Flow, name: str, provider: str | None) -> dict[str, Any]:
    """Returns the SQL that a model becomes and, unless it is a plain one, the JSON Schema, which is
    None for an embedding, and the first request, which is None if no row can be asked. Sends
    nothing."""
    model = flow.graph.find_model(name)
    load_seeds(flow, readers=[model])
    flow.check_upstream(model)
    chosen = flow.open_provider(model, provider) if model.asks else None
    with flow.files.open_warehouse("read", attached=model.texts) as database:
        if chosen is None:
            describe_select(database, model)
            return {"sql": model.query}
        work = compile_for(database, flow.config, chosen, model, identity="")
        select_rows(database, work, config=flow.config, most_bytes=chosen.limits.bytes)
        # The fingerprint is not shown, so the provider's identity is not needed above.
        rows = database.execute(_render_first_line(work))
    first = None
    for custom_id, tail in rows:
        body = json.loads(work.body.prefix + tail)
        first = {
            "custom_id": custom_id,
            "method": "POST",
            "url": work.body.endpoint,
            "body": body,
        }
    return {
        "sql": work.render_snapshot(),
        "schema": _render_schema(work),
        "request": first,
    }


def _render_first_line(work: CompiledModel) -> str:
    """SQL for the custom_id of the first request, and the part of it that follows the prefix."""
    if not work.body.pack:
        return "SELECT custom_id, tail FROM temp._enrich_asked LIMIT 1"
    tail = pack.render_line_tail("number", "tail", work.params)
    return f"""SELECT '{pack.LINE_NAME}1', {tail} FROM (
    SELECT tail, row_number() OVER () AS number FROM temp._enrich_asked LIMIT {work.body.pack}
) HAVING count(*) > 0"""


def _render_schema(work: CompiledModel) -> dict[str, Any] | None:
    """Returns the JSON Schema of an answer; None for an embedding."""
    if work.prompt.embeds:
        return None
    schema = work.prompt.output.render_schema()
    return pack.pack_schema(schema) if work.body.pack else schema
