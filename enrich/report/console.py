"""The console: rich's, but nothing that is shown can move the cursor or turn the writing round."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich import console
from rich.segment import Segment

from enrich.report.safe import clean

if TYPE_CHECKING:
    from collections.abc import Iterable


class Console(console.Console):
    """Rich's console. Whatever is printed passes here, cell by cell, before colors are added."""

    def render(
        self,
        renderable: console.RenderableType,
        options: console.ConsoleOptions | None = None,
    ) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(clean(segment.text), segment.style)
