"""Pictures: how many input tokens an llm counts for one, by its size and detail.

The figures are those of OpenAI's guide "Images and vision", section "Calculating costs", with what
people measured where the guide is silent: llms of one kind cover a picture with tiles of 512
pixels, those of another with patches of 32. An llm of an unknown family gets a wide range.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from enrich.manifest.template import Image

USUAL = (1024, 1024)
"""The pixels that a picture of an unknown size is taken to have."""
TILE, SQUARE, SHORT = 512, 2048, 768
PATCH = 32
SMALL = 512
"""What the longer side is scaled to where the detail is low."""


@dataclass(frozen=True)
class Tokens:
    """Tokens that are not known for sure: the likeliest, and what they lie between."""

    likely: float
    low: float
    high: float

    def __add__(self, other: Tokens) -> Tokens:
        return Tokens(self.likely + other.likely, self.low + other.low, self.high + other.high)

    def times(self, factor: float) -> Tokens:
        return Tokens(self.likely * factor, self.low * factor, self.high * factor)


NO_TOKENS = Tokens(0, 0, 0)


@dataclass(frozen=True)
class Tiles:
    """A picture is scaled into a square of 2,048 pixels, then to 768 on its shorter side, and costs
    `base` and `tile` for each tile of 512; with low detail `base` alone.

    >>> Tiles(85, 170).of((1024, 1024), "high").likely
    765
    >>> Tiles(85, 170).of((2048, 4096), "auto").likely
    1105
    >>> Tiles(85, 170).of((4096, 8192), "low").likely
    85
    """

    base: int
    tile: int

    def of(self, size: tuple[int, int], detail: str) -> Tokens:
        if detail == "low":
            return Tokens(self.base, self.base, self.base)
        width, height = size
        factor = min(1.0, SQUARE / max(size))
        factor *= min(1.0, SHORT / (min(size) * factor))
        tiles = ceil(width * factor / TILE) * ceil(height * factor / TILE)
        tokens = self.base + self.tile * tiles
        return Tokens(tokens, self.base if detail != "high" else tokens, tokens)

    def unknown(self, detail: str) -> Tokens:
        """For a picture of any size: at the most it is 2,048 pixels by 768."""
        most = ceil(SQUARE / TILE) * ceil(SHORT / TILE) if detail != "low" else 0
        likely = self.of(USUAL, detail).likely
        return Tokens(likely, self.base, self.base + self.tile * most)


@dataclass(frozen=True)
class Patches:
    """A picture costs `factor` for each patch of 32 pixels. It is scaled down to `most` patches, or
    with the detail `original`, and `auto` where that means the same, to as many as `original`.

    >>> Patches(1.62).of((1024, 1024), "high").likely
    1658.88
    >>> Patches(1.0).of((1800, 2400), "high").high
    1536.0
    """

    factor: float
    most: int = 1536
    original: int = 0

    def of(self, size: tuple[int, int], detail: str) -> Tokens:
        width, height = size
        if detail == "low":
            factor = min(1.0, SMALL / max(size))
            low = ceil(width * factor / PATCH) * ceil(height * factor / PATCH) * self.factor
            return Tokens(low, low, self._patches(size, self.most))
        most = self.original if self.original and detail != "high" else self.most
        tokens = self._patches(size, most)
        # Scaled down, a picture may cover fewer patches than it may have.
        least = 0.85 if tokens == most * self.factor else 1.0
        return Tokens(tokens, tokens * least, tokens)

    def unknown(self, detail: str) -> Tokens:
        """For a picture of any size."""
        most = self.original if self.original and detail not in ("high", "low") else self.most
        return Tokens(self.of(USUAL, detail).likely, self.factor, most * self.factor)

    def _patches(self, size: tuple[int, int], most: int) -> float:
        width, height = size
        return min(most, ceil(width / PATCH) * ceil(height / PATCH)) * self.factor


Counter = Tiles | Patches

PICTURE_COUNTERS: tuple[tuple[str, Counter], ...] = (
    (r"gpt-4o-mini", Tiles(2833, 5667)),
    (r"(gpt-4\.1|gpt-5)-mini", Patches(1.62)),
    (r"(gpt-4\.1|gpt-5)-nano", Patches(2.46)),
    (r"o4-mini", Patches(1.72)),
    (r"(o1|o3)", Tiles(75, 150)),
    (r"computer-use", Tiles(65, 129)),
    (r"gpt-5\.\d+-(mini|nano)", Patches(1.62)),
    (r"gpt-5\.[0-3](?!\d)", Patches(1.2)),
    (r"gpt-5\.\d+", Patches(1.2, most=2500, original=10_000)),
    (r"gpt-5", Tiles(70, 140)),
    (r"(chatgpt-4o|gpt-4)", Tiles(85, 170)),
)
"""How the llms whose names begin so count; the first that fits decides."""

UNKNOWN = Tokens(1000, 64, 40_000)
"""A picture for an llm of an unknown family."""


def counter(llm: str) -> Counter | None:
    """How an llm of this name counts pictures; None where nobody tells."""
    name = llm.lower().rpartition("/")[2]
    return next((how for family, how in PICTURE_COUNTERS if re.match(family, name)), None)


def of(llm: str, size: tuple[int, int] | None, detail: str) -> Tokens:
    """The tokens of one picture of so many pixels, or of an unknown size."""
    how = counter(llm)
    if how is None:
        return UNKNOWN
    if size is None:
        return how.unknown(detail or "auto")
    return how.of((max(1, size[0]), max(1, size[1])), detail or "auto")


@dataclass(frozen=True, kw_only=True)
class Content:
    """What one request holds on average: bytes of text, and tokens of pictures."""

    text: float
    pictures: Tokens


def unmeasured(llm: str, images: Sequence[Image], text: int) -> Content:
    """The same where no row is at hand: pictures of an unknown size, beside the prompt's text."""
    return Content(text=text, pictures=total([of(llm, None, image.detail) for image in images]))


def total(tokens: Sequence[Tokens]) -> Tokens:
    """Those of several pictures together."""
    found = NO_TOKENS
    for each in tokens:
        found += each
    return found
