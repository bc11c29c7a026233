"""The document: all requests of a batch, as the one JSON document that creates it.

It is made from the request file while it is sent, so neither the memory nor the disk holds it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from enrich.errors import ProviderError
from enrich.providers.anthropic.marks import TAG_LENGTH, fits, mark_id
from enrich.providers.anthropic.request import Untranslatable, translate_body

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

CHAT_ENDPOINT = "/v1/chat/completions"
START, END = b'{"requests":[', b"]}"
PIECE_BYTES = 1 << 18
LARGEST_DOCUMENT = 256_000_000
"""Bytes (the guide to batch processing says 256 MB)."""


@dataclass(frozen=True, kw_only=True)
class Survey:
    """What a request file will be as a document: its requests, its bytes, and by the number of its
    request each custom_id that does not fit."""

    total: int
    size: int
    replaced: Mapping[str, str]


def survey_requests(path: Path, *, sampling: bool) -> Survey:
    """Returns what a request file will be. Raises ProviderError if Anthropic cannot be asked one
    of its requests; `sampling` is as in `translate_body`."""
    size, replaced, number = len(START) + len(END), {}, -1
    with path.open("rb") as lines:
        for number, line in enumerate(lines):
            try:
                custom_id, entry = _translate_request(
                    line, number=number, tag="0" * TAG_LENGTH, sampling=sampling
                )
            except Untranslatable as problem:
                raise ProviderError(str(problem), hint=problem.hint) from None
            size += len(entry) + (number > 0)
            if not fits(custom_id):
                replaced[str(number)] = custom_id
    if number < 0:
        raise ProviderError("the request file is empty", hint="a batch needs a request")
    if size > LARGEST_DOCUMENT:
        what = f"a batch of {size:,} bytes is larger than the {LARGEST_DOCUMENT:,} of Anthropic"
        raise ProviderError(what, hint="set a smaller max_bytes under providers: in project.yml")
    return Survey(total=number + 1, size=size, replaced=replaced)


def stream_document(path: Path, tag: str) -> Iterator[bytes]:
    """Yields the document of a file that has been surveyed, piece by piece. Raises Late if the
    call that sends it was abandoned: half of a document creates nothing."""
    from enrich.providers.bounds import check_wanted

    piece = bytearray(START)
    with path.open("rb") as lines:
        for number, line in enumerate(lines):
            piece += b"," if number else b""
            piece += _translate_request(line, number=number, tag=tag, sampling=True)[1]
            if len(piece) >= PIECE_BYTES:
                check_wanted()
                yield bytes(piece)
                piece.clear()
    check_wanted()
    yield bytes(piece + END)


def _translate_request(line: bytes, *, number: int, tag: str, sampling: bool) -> tuple[str, bytes]:
    """Returns the custom_id of a request line, and its entry in a document. Raises
    Untranslatable."""
    request: dict[str, Any] = json.loads(line)
    if request["url"] != CHAT_ENDPOINT:
        what = f"Anthropic has no endpoint {request['url']}"
        raise Untranslatable(what, f"leave out endpoint: in the prompt; {CHAT_ENDPOINT} fits")
    custom_id = str(request["custom_id"])
    params = translate_body(request["body"], sampling=sampling)
    entry = {"custom_id": mark_id(tag, number, custom_id), "params": params}
    text = json.dumps(entry, ensure_ascii=False, separators=(",", ":"))
    # A surrogate that stands alone has no UTF-8, but JSON can escape it.
    return custom_id, text.encode("utf-8", "backslashreplace")
