"""Pictures: their size is read, their tokens are those of published tables, and the range holds."""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING

import duckdb
import pytest
from folders import opened, settings, write
from hypothesis import given
from hypothesis import strategies as st

from enrich.compiler import inputs
from enrich.pricing import pictures
from enrich.rehearsal import Rehearsal

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def png(width: int, height: int) -> bytes:
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    crc = struct.pack(">I", zlib.crc32(b"IHDR" + head))
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + b"IHDR" + head + crc + bytes(20)


def gif(width: int, height: int) -> bytes:
    return b"GIF89a" + struct.pack("<HH", width, height) + bytes(40)


def frame(width: int, height: int, marker: int = 0xC0) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">HBHHB", 17, 8, height, width, 3) + bytes(9)


def jpeg(width: int, height: int) -> bytes:
    """With a thumbnail of its own in its first segment, and a progressive frame."""
    inner = b"Exif\0\0\xff\xd8" + frame(160, 120) + b"\xff\xd9"
    first = b"\xff\xe1" + struct.pack(">H", len(inner) + 2) + inner
    return b"\xff\xd8" + first + frame(max(width, 200), max(height, 200), 0xC2) + bytes(30)


def webp(kind: bytes) -> Callable[[int, int], bytes]:
    def make(width: int, height: int) -> bytes:
        if kind == b"VP8X":
            sides = (struct.pack("<I", side - 1)[:3] for side in (width, height))
            data = bytes(4) + b"".join(sides)
        elif kind == b"VP8L":
            data = b"\x2f" + struct.pack("<I", (width - 1) | (height - 1) << 14)
        else:
            data = bytes(3) + b"\x9d\x01\x2a" + struct.pack("<HH", width, height)
        return b"RIFF" + bytes(4) + b"WEBP" + kind + bytes(4) + data + bytes(20)

    return make


MAKERS = {
    "png": png,
    "gif": gif,
    "jpeg": jpeg,
    "webp": webp(b"VP8X"),
    "lossy": webp(b"VP8 "),
    "lossless": webp(b"VP8L"),
}


@pytest.mark.parametrize("kind", MAKERS)
def test_sizes_are_read_from_headers(kind: str) -> None:
    """Of every format, also behind a thumbnail; what is no picture has none."""
    connection = duckdb.connect()
    for width, height in ((200, 300), (1024, 768), (4000, 201), (16_000, 9_001)):
        if kind != "lossy" or max(width, height) < 16_384:
            query = f"SELECT {inputs.render_picture_size()} FROM (SELECT $content::BLOB AS content)"
            (found,) = connection.execute(
                query, {"content": MAKERS[kind](width, height)}
            ).fetchall()
            assert found[0] == {"width": width, "height": height}
    (none,) = connection.execute(query, {"content": b"\xff\xd8\xff" + bytes(40)}).fetchall()
    assert none == (None,)


SIDES = st.integers(1, 16_384)


@given(width=SIDES, height=SIDES, detail=st.sampled_from(["low", "high", "auto", "original", ""]))
def test_an_unknown_size_is_within_its_range(width: int, height: int, detail: str) -> None:
    """Whatever the picture is, a range for one of an unknown size holds its tokens."""
    for llm in ("gpt-4o", "gpt-4o-mini", "gpt-4.1-mini", "o3", "gpt-5", "gpt-5-nano", "gpt-5.6"):
        known = pictures.count_picture_tokens(llm, (width, height), detail)
        unknown = pictures.count_picture_tokens(llm, None, detail)
        assert unknown.low <= known.low <= known.likely <= known.high <= unknown.high


PROMPT = """
    ---
    key: id
    llm: {llm}
    output: caption VARCHAR NOT NULL
    ---
    user:
    Look at {{{{ name }}}}.
    ![]({{{{ picture }}}} "{detail}")
"""


@pytest.mark.parametrize(
    "llm", ["gpt-4o", "gpt-4o-mini", "gpt-4.1-mini", "gpt-5", "gpt-5-nano", "o3"]
)
@pytest.mark.parametrize("detail", ["low", "high"])
@pytest.mark.parametrize("source", ["files", "blobs", "addresses"])
@pytest.mark.few(4)
def test_the_range_holds_what_pictures_are_billed(
    tmp_path: Path, llm: str, detail: str, source: str
) -> None:
    """Small and huge ones, beside a row whose picture cannot be read."""
    sides = ((32, 32), (600, 800), (1024, 1024), (4000, 300), (5000, 5000))
    for number, (width, height) in enumerate(sides):
        (tmp_path / "pictures").mkdir(exist_ok=True)
        (tmp_path / f"pictures/{number}.png").write_bytes(png(width, height))
    query = {
        "files": "SELECT range AS id, 'it' AS name, 'pictures/' || range || '.png' AS picture "
        "FROM range(6)",
        "blobs": "SELECT filename AS id, 'it' AS name, content AS picture "
        f"FROM read_blob('{tmp_path}/pictures/*.png')",
        "addresses": "SELECT range AS id, 'it' AS name, 'https://example.org/' || range AS picture "
        "FROM range(6)",
    }[source]
    with Rehearsal() as server:
        write(
            tmp_path,
            {
                "project.yml": settings(server),
                "models/captions.sql": query,
                "models/captions.prompt.md": PROMPT.format(llm=llm, detail=detail),
            },
        )
        project = opened(tmp_path)
        (plan,) = project.plan()
        assert plan.estimate
        project.run()
        billed = server.bill.usage
        assert plan.estimate.input.low <= billed.input <= plan.estimate.input.high
        if source != "addresses" and detail == "high":  # only the text is guessed
            assert plan.estimate.input.high - plan.estimate.input.low < 0.2 * billed.input + 1000


def test_one_file_may_be_spelled_in_several_ways(tmp_path: Path) -> None:
    """Each row shows it once."""
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures/a.png").write_bytes(png(8, 8))
    cells = ("pictures/a.png", "./pictures/a.png", "pictures//a.png", f"{tmp_path}/pictures/a.png")
    listed = ", ".join(f"({number}, '{cell}')" for number, cell in enumerate(cells))
    with Rehearsal() as server:
        write(
            tmp_path,
            {
                "project.yml": settings(server),
                "models/captions.sql": f"FROM (VALUES {listed}) AS t(id, picture)\n",
                "models/captions.prompt.md": "---\nkey: id\noutput: caption VARCHAR\n---\n"
                "user:\nDescribe it.\n\n![]({{ picture }})\n",
            },
        )
        (state,) = opened(tmp_path).run()
        assert (state.ok, state.rows) == (4, 4)
