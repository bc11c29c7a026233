"""Validation: why an input file is refused. As at OpenAI, the first bad line decides.

Codes and parameters are those of the Batch API's `errors.data` entries.
"""

from __future__ import annotations

import json
from array import array
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from enrich.rehearsal.embeddings import EMBEDDINGS_PATH, list_texts

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from enrich.rehearsal.settings import RehearsalSettings

ValueT = TypeVar("ValueT")


class BatchError(Exception):
    """A batch fails at validation; `entry` is what its `errors.data` says."""

    def __init__(
        self, code: str, message: str, *, param: str | None = None, line: int | None = None
    ) -> None:
        super().__init__(message)
        self.entry = {"code": code, "message": message, "param": param, "line": line}


@dataclass(frozen=True)
class AcceptedFile:
    """A valid input file: the offset of each line, its llm and its estimated tokens. `read` turns a
    line into a request with `custom_id`, `url` and `body`."""

    offsets: array[int]
    llm: str
    tokens: int
    read: Callable[[bytes], dict[str, Any]] = field(default_factory=lambda: parse_object)


def accept_file(path: Path, *, endpoint: str, settings: RehearsalSettings) -> AcceptedFile:
    """Read an input file once, line by line. Raises BatchError at the first bad line."""
    offsets, seen, llm, place = array("Q"), set[str](), "", 0
    inputs = 0
    with path.open("rb") as file:
        for number, raw in enumerate(file, 1):
            if number > settings.max_requests:
                message = f"The batch has more than {settings.max_requests} requests."
                raise BatchError("too_many_tasks", message)
            line = _Line(number, raw)
            line.check_envelope(endpoint, seen)
            llm = line.check_body(llm, settings.unknown_llms)
            if endpoint == EMBEDDINGS_PATH:
                inputs += len(list_texts(line.request["body"]))
            if inputs > settings.max_inputs:
                message = f"The batch has more than {settings.max_inputs} embedding inputs."
                raise BatchError("too_many_inputs", message)
            offsets.append(place)
            place += len(raw)
    if not offsets:
        raise BatchError("empty_file", "The input file is empty.")
    return AcceptedFile(offsets, llm, place // 4)


def parse_object(raw: bytes) -> dict[str, Any]:
    """Returns one JSON object. Raises ValueError for anything else, such as NaN or a BOM."""
    value = _decoder.decode(raw.decode())
    if not isinstance(value, dict):
        raise ValueError("not an object")
    return value


class _Line:
    """One line of an input file, and the checks on it."""

    def __init__(self, number: int, raw: bytes) -> None:
        self.number = number
        try:
            self.request = parse_object(raw)
        except (ValueError, RecursionError):
            self._fail("invalid_json_line", "This line is not parseable as valid JSON.")

    def _fail(self, code: str, message: str, param: str | None = None) -> NoReturn:
        raise BatchError(code, message, param=param, line=self.number) from None

    def _require(self, name: str, kind: type[ValueT]) -> ValueT:
        value = self.request.get(name)
        if not isinstance(value, kind):
            self._fail("missing_required_parameter", f"Missing required parameter: '{name}'.", name)
        return value

    def check_envelope(self, endpoint: str, seen: set[str]) -> None:
        custom_id = self._require("custom_id", str)
        if custom_id in seen:
            message = f"The custom_id for this request is a duplicate of another: '{custom_id}'."
            self._fail("duplicate_custom_id", message, "custom_id")
        seen.add(custom_id)
        if self._require("method", str) != "POST":
            self._fail("invalid_method", "The method of a request must be POST.", "method")
        if self._require("url", str) != endpoint:
            message = f"The URL provided for this request does not match the batch: '{endpoint}'."
            self._fail("invalid_url", message, "url")

    def check_body(self, llm: str, unknown: frozenset[str]) -> str:
        """Returns the line's llm, which must be that of the lines before."""
        body = self._require("body", dict)
        model = body.get("model")
        if not isinstance(model, str) or not model:
            self._fail("invalid_request", "Missing required parameter: 'model'.", "body.model")
        if model in unknown:
            message = f"The provided model '{model}' is not supported by the Batch API."
            self._fail("model_not_found", message, "body.model")
        if llm and model != llm:
            message = f"The model '{model}' does not match the model of the batch, '{llm}'."
            self._fail("mismatched_model", message, "body.model")
        if body.get("stream"):
            message = "Streaming is not supported in the Batch API."
            self._fail("streaming_unsupported", message, "body.stream")
        return model


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_decoder = json.JSONDecoder(parse_constant=_refuse_constant)
