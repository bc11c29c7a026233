"""Shown: a model's rows in a notebook."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from enrich.errors import InputError
from enrich.page import Page
from enrich.view.export import ExportBounds, build_export

if TYPE_CHECKING:
    from collections.abc import Mapping

    from enrich.view.viewer import Viewer

FRAME_HEIGHT = 560
"""The height of a notebook's frame, in pixels."""
FRAME_BYTES = 5_000_000
"""How large a notebook may grow with each view."""


@dataclass(frozen=True, kw_only=True)
class Shown:
    """The page with the rows of one model. A notebook shows it in a sandbox."""

    model: str
    data: Mapping[str, Any] = field(repr=False)

    def _repr_html_(self) -> str:
        return Page().render_frame(self.data, title=self.model, height=FRAME_HEIGHT)

    @property
    def html(self) -> str:
        """The same as one HTML file."""
        return Page().render_whole(self.data, title=self.model)


def show_model(viewer: Viewer, name: str, *, rows: int) -> Shown:
    """Returns the rows of a model. Raises InputError if there are none yet."""
    viewer.find_rows(name)  # raises what is wrong with it
    data = build_export(viewer, ExportBounds(rows=rows, size=FRAME_BYTES), only=name)
    if name not in data["models"]:
        hint = f"enrich run {name}"
        raise InputError(f"'{name}' has nothing to show yet", hint=hint)
    return Shown(model=name, data=data)
