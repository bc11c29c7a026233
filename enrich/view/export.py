"""Export: the page as one file, with as much of the project as its bounds allow."""

from __future__ import annotations

import base64
import math
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from enrich.compiler import viewing
from enrich.errors import EnrichError, ProjectError
from enrich.page import Page, dump_json, find_media_type
from enrich.view.life import list_messages
from enrich.view.viewer import describe_columns

if TYPE_CHECKING:
    from collections.abc import Iterator

    from enrich.view.rows import ShownRows
    from enrich.view.viewer import Viewer

LARGEST_PICTURE = 400_000
"""The most bytes of a picture in an export."""


@dataclass(frozen=True, kw_only=True)
class ExportBounds:
    """How much an export holds: `rows` of each model, `size` bytes in all, and with `raw`, requests
    and answers as they were sent and came."""

    rows: int = 2_000
    size: int = 25_000_000
    raw: bool = True


def render_export(viewer: Viewer, bounds: ExportBounds) -> str:
    """Returns the page with the whole project. What the bounds leave out is said in it.

    Raises ProjectError if the page is too large without a single row.
    """
    data = build_export(viewer, bounds)
    text = Page().render_whole(data, title=viewer.site()["project"])
    size = len(text.encode())
    if size > bounds.size and not any(model["rows"] for model in data["models"].values()):
        what = f"the page alone takes {math.ceil(size / 1000):,} kB, more than --max-size allows"
        raise ProjectError(what, hint="--max-size 25MB, the default, leaves room for rows")
    return text


def build_export(viewer: Viewer, bounds: ExportBounds, *, only: str = "") -> dict[str, Any]:
    """Returns the answers to the page's questions, as far as the bounds allow: the site, and the
    rows of every model or of the one that is named.

    If it is too large, pictures are left out first, then requests, then rows.
    """
    site = viewer.site()
    named = [each["name"] for each in site["models"] if not only or each["name"] == only]
    if only:
        site = {
            **site,
            "solo": "model",
            "models": [each for each in site["models"] if each["name"] == only],
        }
    models: dict[str, dict[str, Any]] = {}
    said: list[str] = []
    for name in named:
        try:
            models[name] = _export_model(viewer, name, bounds)
        except EnrichError as problem:  # it has not been run, or its SELECT fails
            said.append(problem.message)
    data = {"live": False, "site": site, "models": models}
    said += _fit(data, bounds.size - len(Page().render_whole({}, title="")))
    for name, model in models.items():
        if len(model["rows"]) < model["all"]:
            held = f"{len(model['rows']):,} of {model['all']:,} rows of {name}"
            said.append(f"This file holds {held}, those that are not ok first")
    site["bounds"] = said
    return data


def _fit(data: dict[str, Any], size: int) -> Iterator[str]:
    """Leave out what does not fit into `size` bytes. Yields sentences on what is left out."""
    models = data["models"].values()
    if len(dump_json(data)) > size and any(
        each for model in models for row in model["pictures"] for each in row
    ):
        for model in models:
            model["pictures"] = [
                [word if word and not word.startswith("data:") else None for word in row]
                for row in model["pictures"]
            ]
        yield "Pictures are left out, because the file would be too large"
    if len(dump_json(data)) > size and any(model.get("details") for model in models):
        for model in models:
            model["details"] = {}
        yield "Requests and raw answers are left out, because the file would be too large"
    if len(dump_json(data)) > size and any(model.get("pairs") for model in models):
        for model in models:
            model.pop("pairs", None)
        yield "Versions side by side are left out, because the file would be too large"
    while len(dump_json(data)) > size and any(model["rows"] for model in models):
        largest = max(models, key=lambda model: len(model["rows"]))
        half = len(largest["rows"]) // 2
        largest["rows"], largest["pictures"] = largest["rows"][:half], largest["pictures"][:half]


def _export_model(viewer: Viewer, name: str, bounds: ExportBounds) -> dict[str, Any]:
    shown = viewer.find_rows(name)
    numbers = shown.find_failed_first(bounds.rows)
    page = shown.read_numbers(numbers)
    found: dict[str, Any] = {
        **describe_columns(shown),
        "rows": page["rows"],
        "pictures": [
            [_embed(viewer, name, n, at, word) for at, word in enumerate(each)]
            for n, each in zip(numbers, page["pictures"], strict=True)
        ],
    }
    if shown.key and bounds.raw:
        found["details"] = _list_details(viewer, shown, numbers)
    versions = viewer.list_answered_versions(name)
    # Two versions may be impossible to compare: one is text, and the other JSON.
    with suppress(EnrichError):
        if len(versions) > 1:
            pair = versions[-2], versions[-1]
            pairs = viewer.find_pairs(name, pair).find_page(
                offset=0, limit=bounds.rows, differing=False
            )
            found["pairs"] = {**pairs, "versions": list(pair)}
    return found


def _embed(viewer: Viewer, name: str, number: int, place: int, word: str | None) -> str | None:
    """Returns a picture as a `data:` URL; the address of one that is elsewhere stays."""
    if word != "file":
        return word
    content = viewer.picture(name, number, place) or b""
    kind = find_media_type(content)
    if not kind or len(content) > LARGEST_PICTURE:
        return None
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def _list_details(viewer: Viewer, shown: ShownRows, numbers: list[int]) -> dict[int, Any]:
    """Returns, by row number, what was sent and what came back."""
    found: dict[int, Any] = {}
    with viewer.open_with_rows(shown) as database:
        rows = database.fetch_dicts(viewing.render_exchanges(), numbers=numbers)
        lives = database.fetch_dicts(viewing.render_lives(shown.model), numbers=numbers)
    for row in rows:
        number, body = row.pop("n"), row.pop("body")
        row["messages"] = list(list_messages(body or ""))
        found[number] = {**row, "life": []}
    for event in lives:
        found.setdefault(event.pop("n"), {"messages": [], "life": []})["life"].append(event)
    return found
