"""Pictures in requests: their tokens by OpenAI's guide "Images and vision".

Sizes are read from `data:` URLs. A picture that the server would have to fetch gets a size that
follows from its address.
"""

from __future__ import annotations

import math
from base64 import b64decode
from binascii import Error
from typing import TYPE_CHECKING, Any

from enrich.rehearsal.faults import draw_chance

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# Llms that are billed by tiles of 512 pixels: the base, and the tokens of a tile. A name takes the
# first prefix that fits, so longer ones come first.
TILE_TOKENS = {
    "gpt-4o-mini": (2833, 5667),
    "o1": (75, 150),
    "o3": (75, 150),
    "gpt-5": (70, 140),
    "gpt-4": (85, 170),
}
# Llms that are billed by patches of 32 pixels, and the factor on their number.
PATCH_FACTORS = {
    "gpt-4.1-mini": 1.62,
    "gpt-5-mini": 1.62,
    "gpt-4.1-nano": 2.46,
    "gpt-5-nano": 2.46,
    "o4-mini": 1.72,
}
MAX_PATCHES = 1536
"""The patches to which a larger picture is scaled down."""
FETCHED_SIDES = (64, 4096)
"""The shortest and the longest side of a fetched picture, in pixels."""


def bill_pictures(body: Mapping[str, Any]) -> int:
    """Returns the input tokens of all pictures in a request."""
    llm = str(body.get("model") or "")
    return sum(
        _count_tokens(llm, _measure_picture(url), detail) for url, detail in list_images(body)
    )


def list_images(body: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yields the address and the detail of each picture."""
    said = body.get("messages") or body.get("input")
    for message in said if isinstance(said, list) else []:
        content = message.get("content") if isinstance(message, dict) else None
        for part in content if isinstance(content, list) else []:
            shown = part.get("image_url") if isinstance(part, dict) else None
            if isinstance(shown, dict):
                yield str(shown.get("url")), str(shown.get("detail") or "auto")
            elif isinstance(shown, str):
                yield shown, str(part.get("detail") or "auto")


def _count_tokens(llm: str, size: tuple[int, int], detail: str) -> int:
    for family, factor in PATCH_FACTORS.items():
        if llm.startswith(family):
            return math.ceil(_count_patches(*size) * factor)
    for family, (base, tile) in TILE_TOKENS.items():
        if llm.startswith(family):
            return base if detail == "low" else base + tile * _count_tiles(*size)
    return 1000


def _count_tiles(width: float, height: float) -> int:
    # Scaled to fit a square of 2,048 pixels, then to a shorter side of 768 (the same guide).
    if max(width, height) > 2048:
        width, height = (side * 2048 / max(width, height) for side in (width, height))
    if min(width, height) > 768:
        width, height = (side * 768 / min(width, height) for side in (width, height))
    return math.ceil(round(width, 6) / 512) * math.ceil(round(height, 6) / 512)


def _count_patches(width: int, height: int) -> int:
    """Returns the patches after scaling down to the budget, whole in one direction."""
    across, down = math.ceil(width / 32), math.ceil(height / 32)
    if across * down <= MAX_PATCHES:
        return across * down
    shrink = math.sqrt(32 * 32 * MAX_PATCHES / (width * height))
    wide, high = width * shrink / 32, height * shrink / 32
    shrink *= min(math.floor(wide) / wide, math.floor(high) / high) if wide > 1 and high > 1 else 1
    return min(MAX_PATCHES, math.ceil(width * shrink / 32) * math.ceil(height * shrink / 32))


def _measure_picture(url: str) -> tuple[int, int]:
    if url.startswith("data:"):
        try:
            return _read_header(b64decode(url.partition(",")[2]))
        except (Error, ValueError, IndexError):
            return 1024, 1024
    low, high = FETCHED_SIDES
    return (
        int(low + draw_chance("width", url) * (high - low)),
        int(low + draw_chance("height", url) * (high - low)),
    )


def _read_header(data: bytes) -> tuple[int, int]:
    """Returns the size in the header of a PNG, GIF, WEBP or JPEG."""
    if data.startswith(b"\x89PNG"):
        return int.from_bytes(data[16:20]), int.from_bytes(data[20:24])
    if data.startswith(b"GIF"):
        return int.from_bytes(data[6:8], "little"), int.from_bytes(data[8:10], "little")
    if data[8:15] == b"WEBPVP8":
        kind = data[15:16]
        if kind == b"X":
            wide, high = (int.from_bytes(data[at : at + 3], "little") for at in (24, 27))
            return wide + 1, high + 1
        if kind == b"L":
            bits = int.from_bytes(data[21:25], "little")
            return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        wide, high = (int.from_bytes(data[at : at + 2], "little") & 0x3FFF for at in (26, 28))
        return wide, high
    place = 2
    # A JPEG's size is in its start-of-frame segment, behind others of any length.
    while data[place + 1] not in (0xC0, 0xC1, 0xC2):
        place += 2 + int.from_bytes(data[place + 2 : place + 4])
    height, width = (int.from_bytes(data[at : at + 2]) for at in (place + 5, place + 7))
    return width, height
