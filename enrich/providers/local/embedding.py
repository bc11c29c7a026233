"""Embeddings: a body of the embeddings API becomes the vector of its text, as a reply."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from enrich.providers.executor.reply import EngineReply
from enrich.providers.local.rejection import RejectedRequest, make_rejection

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

FINEST = 10**8
"""The parts of 1 that a number in a reply is a multiple of: about as exact as the engines, which
compute with 32 bits, and half as long as Python writes such a number."""


class Embedded(NamedTuple):
    """The vector of a text, of any length, and how many tokens the text has."""

    vector: Sequence[float]
    tokens: int


class Embedder(Protocol):
    """What turns texts into vectors; only loaded in a worker."""

    @property
    def dimensions(self) -> tuple[int, ...]:
        """To how many numbers its vectors may be cut; empty if that is not known."""

    def embed(self, text: str) -> Embedded:
        """Returns the vector of a text. Raises RejectedRequest."""


def answer_embedding(embedder: Embedder, llm: str, body: Mapping[str, Any]) -> EngineReply:
    """Returns the reply to a request; its vector has the length 1. An error is a reply, too."""
    try:
        text = _read_text(body)
        wanted = _read_dimensions(body, embedder.dimensions)
        found = embedder.embed(text)
        vector = _fit_vector(found.vector, wanted)
    except (RejectedRequest, ValueError, RuntimeError) as error:
        return make_rejection(error)
    data = [{"object": "embedding", "index": 0, "embedding": vector}]
    usage = {"prompt_tokens": found.tokens, "total_tokens": found.tokens}
    return EngineReply(200, {"object": "list", "data": data, "model": llm, "usage": usage})


def _read_text(body: Mapping[str, Any]) -> str:
    """Returns the text of a request. Raises RejectedRequest."""
    text = body.get("input")
    if not isinstance(text, str):
        raise RejectedRequest("`input` is not a text: a local llm takes one text for each request")
    if not text.strip():
        raise RejectedRequest("`input` is empty: a text without a word has no embedding")
    if body.get("encoding_format") not in (None, "float"):
        raise RejectedRequest("`encoding_format` is not float, the only one that a local llm has")
    # JSON can hold half a surrogate pair, which neither engine reads.
    return text.encode("utf-8", "replace").decode("utf-8")


def _read_dimensions(body: Mapping[str, Any], known: tuple[int, ...]) -> int | None:
    """Returns how many numbers a request wants; None for all. Raises RejectedRequest."""
    wanted = body.get("dimensions")
    if wanted is None:
        return None
    if not isinstance(wanted, int) or isinstance(wanted, bool) or wanted < 1:
        raise RejectedRequest(f"`dimensions` is {wanted!r}, not a positive whole number")
    if known and wanted not in known:
        several = f"{', '.join(map(str, known[:-1]))} or {known[-1]}"
        raise RejectedRequest(f"`dimensions` is {wanted}; this llm has vectors of {several}")
    return wanted


def _fit_vector(vector: Sequence[float], wanted: int | None) -> list[float]:
    """Returns the first `wanted` numbers of a vector, or all, scaled to the length 1. Raises
    RejectedRequest.
    >>> _fit_vector([3.0, 4.0, 12.0], 2)
    [0.6, 0.8]
    """
    if wanted and wanted > len(vector):
        raise RejectedRequest(
            f"`dimensions` is {wanted}; the vectors of this llm have only {len(vector)}"
        )
    cut = vector[:wanted]
    length = math.hypot(*cut)
    if not length or not math.isfinite(length):
        raise RejectedRequest("the vector of this text has no direction: it is zero, or no number")
    scale = FINEST / length
    return [round(number * scale) / FINEST for number in cut]  # half the time of `round(x, 8)`
