"""Images: those of the web are fetched, for the engine takes data URLs."""

from __future__ import annotations

import base64
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from http.client import HTTPResponse

MOST_IMAGE_BYTES = 20_000_000
MOST_IMAGE_SECONDS = 60
SILENT_SECONDS = 20
"""For how long an image's server may say nothing."""
WEB_SCHEMES = ("http://", "https://")


class RejectedRequest(Exception):
    """A request that the engine cannot answer; the text says why, and its row gets a 400."""


def inline_images(message: object) -> object:
    """A message whose images of the web are data URLs. Raises RejectedRequest for one that cannot
    be fetched."""
    if not isinstance(message, dict) or not isinstance(message.get("content"), list):
        return message
    return {**message, "content": [_inline_part(part) for part in message["content"]]}


def _inline_part(part: object) -> object:
    """A part of a message, with its image fetched if it has one of the web."""
    if not isinstance(part, dict) or part.get("type") != "image_url":
        return part
    image = part.get("image_url")
    if not isinstance(image, dict) or not str(image.get("url")).lower().startswith(WEB_SCHEMES):
        return part
    return {**part, "image_url": {**image, "url": fetch_image(str(image["url"]))}}


def fetch_image(url: str) -> str:
    """The image at `url` as a data URL. Raises RejectedRequest when there is none."""
    from http.client import HTTPException
    from urllib.request import Request, urlopen

    try:
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
    """All there is, or a little more than an image may have."""
    data = bytearray()
    while len(data) <= MOST_IMAGE_BYTES and (some := source.read1(1 << 20)):
        data += some
        if time.monotonic() > deadline:
            raise TimeoutError(f"not here after {MOST_IMAGE_SECONDS} seconds")
    return bytes(data)
