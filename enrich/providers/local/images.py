"""Images: those on the web are fetched, because the engine takes data URLs."""

from __future__ import annotations

import base64
import time
from typing import TYPE_CHECKING

from enrich.providers.local.rejection import RejectedRequest

if TYPE_CHECKING:
    from http.client import HTTPResponse

MOST_IMAGE_BYTES = 20_000_000
MOST_IMAGE_SECONDS = 60
SILENT_SECONDS = 20
"""Seconds for which the server of an image may send nothing."""
WEB_SCHEMES = ("http://", "https://")


def inline_images(message: object) -> object:
    """Returns a message with its images on the web as data URLs. Raises RejectedRequest if one
    cannot be fetched."""
    if not isinstance(message, dict) or not isinstance(message.get("content"), list):
        return message
    return {**message, "content": [_inline_part(part) for part in message["content"]]}


def _inline_part(part: object) -> object:
    """Returns a part of a message, with its image as a data URL if it is on the web."""
    if not isinstance(part, dict) or part.get("type") != "image_url":
        return part
    image = part.get("image_url")
    if not isinstance(image, dict) or not str(image.get("url")).lower().startswith(WEB_SCHEMES):
        return part
    return {**part, "image_url": {**image, "url": fetch_image(str(image["url"]))}}


def fetch_image(url: str) -> str:
    """Returns the image at `url` as a data URL. Raises RejectedRequest if it cannot be fetched."""
    from http.client import HTTPException
    from urllib.request import Request, urlopen

    try:
        # Some servers refuse the default user agent of urllib.
        request = Request(url, headers={"User-Agent": "enrich"})  # noqa: S310
        with urlopen(request, timeout=SILENT_SECONDS) as source:  # noqa: S310
            media = source.headers.get_content_type()
            data = _read_all(source, time.monotonic() + MOST_IMAGE_SECONDS)
    except (OSError, ValueError, HTTPException) as error:
        raise RejectedRequest(f"the image {url} cannot be fetched: {error}") from error
    if len(data) > MOST_IMAGE_BYTES:
        most = MOST_IMAGE_BYTES // 1_000_000
        raise RejectedRequest(f"the image {url} is larger than {most} MB")
    return f"data:{media};base64,{base64.b64encode(data).decode()}"


def _read_all(source: HTTPResponse, deadline: float) -> bytes:
    """Returns all bytes of an image, or a few more than an image may have. Raises TimeoutError."""
    # `read1` returns what has arrived. `read` would wait for a whole chunk, and the deadline with
    # it.
    data = bytearray()
    while len(data) <= MOST_IMAGE_BYTES and (some := source.read1(1 << 20)):
        data += some
        if time.monotonic() > deadline:
            raise TimeoutError(f"not here after {MOST_IMAGE_SECONDS} seconds")
    return bytes(data)
