"""GGUF: the header of a file of weights."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from os import SEEK_CUR
from typing import BinaryIO

_MIB = 1 << 20


class ForeignFile(Exception):
    """Not a GGUF file, or one of a version that is not known here; the message is a clause."""


@dataclass(frozen=True, kw_only=True)
class GgufHeader:
    """What the start of a GGUF file says."""

    last_tensor: int
    """Where the last tensor starts: the file must end after that."""
    # Where the last tensor ends depends on its type, and ggml keeps adding types.
    pooling: int | None
    """How the vectors of tokens become one, as llama.cpp numbers it; None if it does not say."""
    context: int | None
    """How many tokens the llm was trained on; None if it does not say."""


def parse_header(file: BinaryIO) -> GgufHeader:
    """Reads the header of a file, by ggml's GGUF specification. Raises EOFError or ForeignFile."""
    if file.read(4) != b"GGUF":
        raise ForeignFile("is not a GGUF file")
    (version,) = _read_numbers(file, "<I")
    if version not in (2, 3):
        raise ForeignFile(f"is a GGUF file of version {version}, not 2 or 3")
    tensors, pairs = _read_numbers(file, "<QQ")
    numbers: dict[bytes, int] = {}
    for _ in range(pairs):
        name = _read_text(file)
        (kind,) = _read_numbers(file, "<I")
        if kind == _UINT32:
            # The first part of a name is the architecture, which is said once and for all.
            (numbers[name.partition(b".")[2]],) = _read_numbers(file, "<I")
        else:
            _skip_value(file, kind)
    last = 0
    for _ in range(tensors):
        _read_text(file)
        (dimensions,) = _read_numbers(file, "<I")
        if dimensions > 8:
            raise ForeignFile(f"is damaged: it has a tensor of {dimensions} dimensions")
        *_, offset = _read_numbers(file, f"<{dimensions}QIQ")
        last = max(last, offset)
    alignment = numbers.get(b"alignment", 32)
    start = -(-file.tell() // alignment) * alignment
    return GgufHeader(
        last_tensor=start + last,
        pooling=numbers.get(b"pooling_type"),
        context=numbers.get(b"context_length"),
    )


_SIZES = (1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8)
"""Bytes of a metadata value by its type; strings (8) and arrays (9) contain their own lengths."""

_UINT32, _STRING, _ARRAY = 4, 8, 9


def _read_numbers(file: BinaryIO, form: str) -> tuple[int, ...]:
    """Reads the numbers of a `struct` format. Raises EOFError."""
    data = file.read(struct.calcsize(form))
    try:
        return struct.unpack(form, data)
    except struct.error as error:
        raise EOFError from error


def _read_text(file: BinaryIO) -> bytes:
    """Reads a text; returns an empty one if it is too long to be a name."""
    (length,) = _read_numbers(file, "<Q")
    if length > _MIB:
        _skip_bytes(file, length)
        return b""
    return file.read(length)


def _skip_value(file: BinaryIO, kind: int) -> None:
    """Skips a metadata value."""
    if kind == _STRING:
        _read_text(file)
    elif kind == _ARRAY:
        inner, length = _read_numbers(file, "<IQ")
        if inner == _STRING:
            _skip_texts(file, length)
        else:
            _skip_bytes(file, _find_size(inner) * length)
    else:
        _skip_bytes(file, _find_size(kind))


def _skip_texts(file: BinaryIO, many: int) -> None:
    """Skips texts: the words of a vocabulary, of which there are a hundred thousand. Raises
    EOFError."""
    for _ in range(many):
        head = file.read(8)
        if len(head) < 8:
            raise EOFError
        length = int.from_bytes(head, "little")
        if length > _MIB:
            _skip_bytes(file, length)
        else:
            file.read(length)


def _find_size(kind: int) -> int:
    """Returns the bytes of a metadata value of this type. Raises ForeignFile."""
    if kind >= len(_SIZES) or not _SIZES[kind]:
        raise ForeignFile(f"is damaged: it has a value of type {kind}")
    return _SIZES[kind]


def _skip_bytes(file: BinaryIO, length: int) -> None:
    """Skips bytes. Raises EOFError."""
    # A damaged length can be larger than what `seek` takes.
    if length >> 50:
        raise EOFError
    file.seek(length, SEEK_CUR)
