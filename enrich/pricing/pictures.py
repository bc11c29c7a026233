"""Pictures: how many input tokens an llm counts for one, by its size and detail.

The figures are those of OpenAI's guide "Images and vision", section "Calculating costs", and where
the guide is silent, those that people have measured. Some llms cover a picture with tiles of 512
pixels, others with patches of 32. An llm of an unknown family gets a wide range.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from enrich.manifest.template import Image

USUAL_SIZE = (1024, 1024)
"""The width and height that are assumed for a picture of unknown size."""
TILE_PIXELS, SQUARE_PIXELS, SHORT_SIDE_PIXELS = 512, 2048, 768
PATCH_PIXELS = 32
LOW_DETAIL_PIXELS = 512
"""The pixels that the longer side is scaled down to if the detail is low."""


@dataclass(frozen=True)
class TokenRange:
    """Tokens that are not known for sure: the most likely number, and the limits around it."""

    likely: float
    low: float
    high: float

    def __add__(self, other: TokenRange) -> TokenRange:
        return TokenRange(self.likely + other.likely, self.low + other.low, self.high + other.high)

    def multiply(self, factor: float) -> TokenRange:
        """The tokens of `factor` as many pictures."""
        return TokenRange(self.likely * factor, self.low * factor, self.high * factor)


NO_TOKENS = TokenRange(0, 0, 0)


@dataclass(frozen=True)
class Tiles:
    """How an llm counts that covers pictures with tiles.

    A picture is scaled down to fit a square of 2,048 pixels, then to 768 on its shorter side. It
    costs `base`, and `tile` for each tile of 512 pixels; with low detail, `base` alone.

    >>> Tiles(85, 170).count_tokens((1024, 1024), "high").likely
    765
    >>> Tiles(85, 170).count_tokens((2048, 4096), "auto").likely
    1105
    >>> Tiles(85, 170).count_tokens((4096, 8192), "low").likely
    85
    """

    base: int
    tile: int

    def count_tokens(self, size: tuple[int, int], detail: str) -> TokenRange:
        if detail == "low":
            return TokenRange(self.base, self.base, self.base)
        width, height = size
        factor = min(1.0, SQUARE_PIXELS / max(size))
        factor *= min(1.0, SHORT_SIDE_PIXELS / (min(size) * factor))
        tiles = ceil(width * factor / TILE_PIXELS) * ceil(height * factor / TILE_PIXELS)
        tokens = self.base + self.tile * tiles
        return TokenRange(tokens, self.base if detail != "high" else tokens, tokens)

    def count_unmeasured(self, detail: str) -> TokenRange:
        """The tokens of a picture of unknown size."""
        # However large it is, it is scaled down to at most 2,048 by 768 pixels.
        most = (
            ceil(SQUARE_PIXELS / TILE_PIXELS) * ceil(SHORT_SIDE_PIXELS / TILE_PIXELS)
            if detail != "low"
            else 0
        )
        likely = self.count_tokens(USUAL_SIZE, detail).likely
        return TokenRange(likely, self.base, self.base + self.tile * most)


@dataclass(frozen=True)
class Patches:
    """How an llm counts that covers pictures with patches.

    A picture costs `factor` for each patch of 32 pixels. It is scaled down to `most` patches or,
    with the detail `original` and where `auto` means the same, to `original` patches.

    >>> Patches(1.62).count_tokens((1024, 1024), "high").likely
    1658.88
    >>> Patches(1.0).count_tokens((1800, 2400), "high").high
    1536.0
    """

    factor: float
    most: int = 1536
    original: int = 0

    def count_tokens(self, size: tuple[int, int], detail: str) -> TokenRange:
        width, height = size
        if detail == "low":
            factor = min(1.0, LOW_DETAIL_PIXELS / max(size))
            low = (
                ceil(width * factor / PATCH_PIXELS)
                * ceil(height * factor / PATCH_PIXELS)
                * self.factor
            )
            return TokenRange(low, low, self._count_patches(size, self.most))
        most = self.original if self.original and detail != "high" else self.most
        tokens = self._count_patches(size, most)
        # A picture that is scaled down to the limit may cover fewer patches than the limit allows,
        # for its sides need not be multiples of 32.
        least = 0.85 if tokens == most * self.factor else 1.0
        return TokenRange(tokens, tokens * least, tokens)

    def count_unmeasured(self, detail: str) -> TokenRange:
        """The tokens of a picture of unknown size."""
        most = self.original if self.original and detail not in ("high", "low") else self.most
        return TokenRange(
            self.count_tokens(USUAL_SIZE, detail).likely, self.factor, most * self.factor
        )

    def _count_patches(self, size: tuple[int, int], most: int) -> float:
        width, height = size
        return min(most, ceil(width / PATCH_PIXELS) * ceil(height / PATCH_PIXELS)) * self.factor


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
"""How llms count, by how their names begin; the first match decides, so that a special case comes
before its family."""

UNKNOWN_FAMILY = TokenRange(1000, 64, 40_000)
"""The tokens of a picture for an llm of an unknown family."""


def find_counter(llm: str) -> Counter | None:
    """Returns how an llm of this name counts pictures, or None if that is unknown."""
    # Gateways put the maker before the name: `openai/gpt-5`.
    name = llm.lower().rpartition("/")[2]
    return next((how for family, how in PICTURE_COUNTERS if re.match(family, name)), None)


def count_picture_tokens(llm: str, size: tuple[int, int] | None, detail: str) -> TokenRange:
    """Returns the tokens of one picture of `size` pixels, or of unknown size."""
    how = find_counter(llm)
    if how is None:
        return UNKNOWN_FAMILY
    if size is None:
        return how.count_unmeasured(detail or "auto")
    return how.count_tokens((max(1, size[0]), max(1, size[1])), detail or "auto")


@dataclass(frozen=True, kw_only=True)
class Content:
    """The average content of one request: bytes of text, and tokens of pictures."""

    text: float
    pictures: TokenRange


def guess_content(llm: str, images: Sequence[Image], text: int) -> Content:
    """Returns the content of a request before any row is known: `text` bytes, and pictures of
    unknown size."""
    return Content(
        text=text,
        pictures=sum_tokens([count_picture_tokens(llm, None, image.detail) for image in images]),
    )


def sum_tokens(tokens: Sequence[TokenRange]) -> TokenRange:
    """Returns the tokens of several pictures together."""
    found = NO_TOKENS
    for each in tokens:
        found += each
    return found
