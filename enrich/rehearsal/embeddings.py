"""Embeddings: what `/v1/embeddings` refuses, and what it answers.

The limits and the words of errors are those of OpenAI's API reference and of its servers. Only its
own llms have limits of tokens; of others, such as those of compatible servers, nothing is known.
"""

from __future__ import annotations

import math
from base64 import b64encode
from struct import pack
from typing import TYPE_CHECKING, Any

from enrich.rehearsal.bill import Usage
from enrich.rehearsal.replies import ApiError
from enrich.rehearsal.vectors import embed_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

EMBEDDINGS_PATH = "/v1/embeddings"
PARAMETERS = ("model", "input", "dimensions", "encoding_format", "user")
ENCODINGS = ("float", "base64")
OPENAI_DIMENSIONS = {
    "text-embedding-3-small": 1536,
    "text-embedding-3-large": 3072,
    "text-embedding-ada-002": 1536,
}
MISTRAL_DIMENSIONS = {"mistral-embed": 1024, "codestral-embed": 1536}
FIXED_LLMS = ("text-embedding-ada-002", "mistral-embed")
"""Those whose vectors have one length only."""
USUAL_DIMENSIONS = 384
MOST_DIMENSIONS = 4096
"""The longest vector of an llm that is not OpenAI's."""
MOST_TEXTS = 2048
MOST_TOKENS = 8192
"""The tokens of one text."""
MOST_TOKENS_IN_ALL = 300_000


def list_texts(body: Mapping[str, Any]) -> list[Any]:
    """Returns the inputs of a request: the items of a list, or the one text."""
    given = body.get("input")
    return given if isinstance(given, list) else [given]


def object_to_embedding(body: Mapping[str, Any]) -> None:
    """Raise ApiError if OpenAI would refuse this body."""
    for name in body:
        if name not in PARAMETERS:
            raise ApiError(400, f"Unrecognized request argument supplied: {name}")
    llm = body.get("model")
    if not isinstance(llm, str) or not llm:
        raise ApiError(400, "you must provide a model parameter")
    if llm.startswith("gpt-"):
        raise ApiError(403, "You are not allowed to generate embeddings from this model")
    _check_options(body)
    _check_dimensions(llm, body.get("dimensions"))
    _check_texts(list_texts(body))
    if llm in OPENAI_DIMENSIONS:
        _check_tokens(list_texts(body))


def _check_options(body: Mapping[str, Any]) -> None:
    encoding = body.get("encoding_format", "float")
    if encoding not in ENCODINGS:
        message = f"Invalid value: '{encoding}'. Supported values are: 'float' and 'base64'."
        raise ApiError(400, message, code="invalid_value", param="encoding_format")
    if not isinstance(body.get("user", ""), str):
        raise _make_invalid_error("user")


def _check_dimensions(llm: str, asked: object) -> None:
    if asked is None:
        return
    if isinstance(asked, bool) or not isinstance(asked, int):
        raise _make_invalid_error("dimensions")
    if llm in FIXED_LLMS:
        raise ApiError(400, "This model does not support specifying dimensions.")
    if asked < 1:
        message = f"{asked} is less than the minimum of 1 - 'dimensions'"
        raise ApiError(400, message, param="dimensions")
    most = OPENAI_DIMENSIONS.get(llm, MOST_DIMENSIONS)
    if asked > most:
        message = f"Invalid value for 'dimensions' = {asked}. Must be less than or equal to {most}."
        raise ApiError(400, message, param="dimensions")


def _check_texts(texts: Sequence[object]) -> None:
    if len(texts) > MOST_TEXTS:
        message = "Invalid 'input': array too long. Expected an array with maximum length "
        message += f"{MOST_TEXTS}, but got an array with length {len(texts)} instead."
        raise ApiError(400, message, code="array_above_max_length", param="input")
    if not texts or not all(isinstance(text, str) and text for text in texts):
        raise _make_invalid_error("input")


def _check_tokens(texts: Sequence[str]) -> None:
    counts = [count_tokens(text) for text in texts]
    longest, total = max(counts), sum(counts)
    if longest > MOST_TOKENS:
        message = f"This model's maximum context length is {MOST_TOKENS} tokens, however you "
        message += f"requested {longest} tokens ({longest} in your prompt; 0 for the completion). "
        raise ApiError(400, message + "Please reduce your prompt; or completion length.")
    if total > MOST_TOKENS_IN_ALL:
        message = f"Requested {total} tokens, max {MOST_TOKENS_IN_ALL} tokens per request"
        limit = "max_tokens_per_request"
        raise ApiError(400, message, code=limit, kind=limit)


def _make_invalid_error(name: str) -> ApiError:
    """Returns OpenAI's refusal of a value that is missing, empty or of another type."""
    reference = "https://platform.openai.com/docs/api-reference."
    return ApiError(400, f"'$.{name}' is invalid. Please check the API reference: {reference}")


def count_tokens(text: str) -> int:
    """Returns an estimate: four characters make a token."""
    return math.ceil(len(text) / 4)


def count_dimensions(body: Mapping[str, Any]) -> int:
    """Returns how long the vectors are that a body asks for."""
    usual = OPENAI_DIMENSIONS | MISTRAL_DIMENSIONS
    return body.get("dimensions") or usual.get(body["model"], USUAL_DIMENSIONS)


def embed_input(body: Mapping[str, Any], fault: str) -> tuple[dict[str, Any], Usage]:
    """Returns the response to a body that nothing objects to, and its tokens.

    A fault damages each vector, if it can: `malformed` cuts its text off, `off_schema` halves its
    length, `off_check` makes it zero; with `no_content` there is none.
    """
    texts = list_texts(body)
    tokens = sum([count_tokens(text) for text in texts])
    items = [
        {"object": "embedding", "index": index, "embedding": _embed(text, body, fault)}
        for index, text in enumerate(texts if fault != "no_content" else [])
    ]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    document = {"object": "list", "data": items, "model": body.get("model"), "usage": usage}
    return document, Usage(tokens)


def _embed(text: str, body: Mapping[str, Any], fault: str) -> list[float] | str:
    dimensions = count_dimensions(body)
    if fault == "off_schema":
        dimensions = dimensions // 2 or 2  # a vector of one number has no half
    vector: Sequence[float] = embed_text(text, dimensions)
    if fault == "off_check":
        vector = [0.0] * dimensions
    if body.get("encoding_format") == "base64":
        encoded = b64encode(pack(f"<{dimensions}f", *vector)).decode()
        # No number of bytes has a code of an odd length.
        return encoded[: len(encoded) // 2 | 1] if fault == "malformed" else encoded
    # Nine digits are enough for any 32-bit float, and all are written at once for speed.
    digits = ",".join(["%.9g"] * dimensions) % tuple(vector)
    if fault == "malformed":
        return f"[{digits[: len(digits) // 2]}"
    return list(map(float, digits.split(",")))
