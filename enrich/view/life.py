"""Life: everything that is known about one row: what was asked, what came back, what it cost."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from enrich.compiler import history
from enrich.pipeline.answer_tables import find_key

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from enrich.db.database import Both

LONGEST_PICTURE = 8_000_000
"""The most characters of a picture inside a request that the page is sent."""


def find_row_life(
    database: Both, model: str, key: Mapping[str, str], fingerprint: str | None
) -> dict[str, Any]:
    """Returns the messages of the row's present request, its raw answer, and its whole history.

    `key` is the values of the row's key as texts. Needs the ledger.
    """
    if not database.call("latest_run", model=model):
        return {"messages": [], "raw": None, "life": []}
    kinds = find_key(database, model)
    life: list[dict[str, Any]] = []
    if all(name in key for name in kinds):
        values = {f"key_{at}": key[name] for at, name in enumerate(kinds)}
        life = database.fetch_dicts(history.render_life(model, kinds), **values)
    body, raw = _find_exchange(database, fingerprint)
    return {
        "messages": list(list_messages(body)),
        "raw": raw,
        "life": [{name: _show(value) for name, value in event.items()} for event in life],
    }


def _find_exchange(database: Both, fingerprint: str | None) -> tuple[str, str | None]:
    """Returns the body of a request, and the raw answer that counts."""
    if not fingerprint:
        return "", None
    body = database.execute(
        "SELECT prefix || tail FROM ledger.requests "
        "JOIN (SELECT batch, prompt FROM ledger.batches) USING (batch) "
        "JOIN (SELECT prompt, prefix FROM ledger.prompts) USING (prompt) "
        "WHERE fingerprint = $fingerprint ORDER BY attempt DESC LIMIT 1",
        fingerprint=fingerprint,
    )
    raw = database.execute(
        "SELECT content FROM ledger.responses WHERE fingerprint = $fingerprint "
        "ORDER BY outcome = 'ok' DESC, attempt DESC, rowid DESC LIMIT 1",
        fingerprint=fingerprint,
    )
    return (str(body[0][0]) if body else ""), (raw[0][0] if raw else None)


def list_messages(body: str) -> Iterator[dict[str, Any]]:
    """Yields the messages of a request, each with its role and its parts: texts and pictures. The
    text of an embedding is one message without a role."""
    try:
        document = json.loads(body)
    except ValueError:
        return
    said = document.get("messages", document.get("input", []))
    for message in [{"content": said}] if isinstance(said, str) else said:
        content = message.get("content")
        parts = content if isinstance(content, list) else [{"type": "text", "text": content}]
        yield {"role": message.get("role"), "parts": [_describe_part(part) for part in parts]}


def _describe_part(part: Mapping[str, Any]) -> dict[str, str]:
    shown = part.get("image_url")
    address = shown.get("url") if isinstance(shown, dict) else shown
    if address is None:
        return {"text": str(part.get("text") or "")}
    if len(address) > LONGEST_PICTURE:
        return {"text": f"a picture of {len(address):,} characters"}
    return {"picture": str(address)}


def _show(value: object) -> object:
    if hasattr(value, "isoformat"):
        return f"{value.isoformat(timespec='seconds')}Z"
    return value
