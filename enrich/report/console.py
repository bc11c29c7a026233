"""The console: rich's, but nothing that is shown can move the cursor or reverse the text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich import console
from rich.segment import Segment

from enrich.report.safe import clean_text

if TYPE_CHECKING:
    from collections.abc import Iterable


class Console(console.Console):
    """Rich's console with clean text: each cell passes through here before rich adds colors."""

    def render(
        self,
        renderable: console.RenderableType,
        options: console.ConsoleOptions | None = None,
    ) -> Iterable[Segment]:
        # Rich's own control codes, such as those that redraw a progress bar, are in segments of
        # their own, so text can be cleaned without breaking them.
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(clean_text(segment.text), segment.style)
