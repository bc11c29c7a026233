"""The machine: whether the engine runs on it, and on how many cores."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from enrich.errors import ProviderError
from enrich.providers.local.weights import INSTALL

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator


def check_engine() -> None:
    """Raises ProviderError unless xllamacpp is installed and this machine can run it."""
    import ctypes
    from importlib.util import find_spec

    if find_spec("xllamacpp") is None:
        raise ProviderError("the embedded engine is not installed", hint=INSTALL)
    if sys.platform != "linux":
        return
    for library, package in (("libgomp.so.1", "libgomp1"), ("libstdc++.so.6", "libstdc++6")):
        try:
            ctypes.CDLL(library)
        except OSError as error:
            raise ProviderError(
                f"the embedded engine needs {library}", hint=f"apt-get install {package}"
            ) from error
    # The wheels are compiled for AVX2. Without it, the process would die of an illegal instruction.
    if os.uname().machine == "x86_64" and " avx2 " not in _read_processor():
        raise ProviderError(
            "the embedded engine needs a processor with AVX2",
            hint="use a provider of `type: openai`",
        )


def _read_processor() -> str:
    """Returns what the processor supports; AVX2 if that is not known."""
    try:
        return Path("/proc/cpuinfo").read_text(errors="replace").replace("\n", " ")
    except OSError:
        return " avx2 "


def list_cores() -> list[int]:
    """Returns the numbers of the cores that this process may use; on Linux those of its affinity,
    which containers and batch systems restrict."""
    if sys.platform == "linux":
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


@contextmanager
def pin_to(cores: Collection[int]) -> Iterator[None]:
    """Keeps threads that are started inside the block on these cores; only on Linux."""
    # Otherwise the kernel may leave two engines on one core for as long as another process is busy.
    # New threads inherit the affinity of the thread that starts them.
    if sys.platform != "linux":
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
