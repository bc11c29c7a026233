"""Measure a call in a fresh process: its seconds, its CPU, and the most memory that it took.

On Linux, what `getrusage` tells of a child's highest memory begins with that of its parent, even if
the child is another program. So the child asks the kernel about its own memory, which begins with
itself, and a figure does not depend on what was measured before it.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

if sys.platform == "win32":
    sys.exit("Windows does not tell how much memory a process has had")


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What a call took: `seconds` by the clock, `cpu` seconds with those of its own children, and
    `peak` bytes of memory, of its process alone. `value` is what it has returned."""

    seconds: float
    cpu: float
    peak: int
    value: Any = None


def measure_call(target: str, /, **arguments: Any) -> Measured:  # noqa: ANN401  # anything in JSON
    """Call `MODULE:FUNCTION` in a fresh process. Arguments and value must be what JSON can hold;
    the start of Python and the import of the module do not count as its time."""
    with TemporaryDirectory(prefix="enrich-measured-") as folder:
        told = Path(folder) / "told.json"
        command = [sys.executable, __file__, target, json.dumps(arguments), str(told)]
        subprocess.run(command, check=True)
        return Measured(**json.loads(told.read_text(encoding="utf-8")))


def read_peak() -> int:
    """Returns the most bytes of memory that this process has had since it began; 0 if unknown."""
    status = Path("/proc/self/status")
    if status.exists():
        lines = status.read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
    # macOS, which counts in bytes, and begins with each program.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss if sys.platform == "darwin" else 0


def read_cpu() -> float:
    """Returns the CPU seconds of this process, and of its children that have ended."""
    used = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(each.ru_utime + each.ru_stime for each in map(resource.getrusage, used))


def do_nothing() -> None:
    """For a look at what a process takes that does nothing."""


def _answer(target: str, arguments: str, told: str) -> None:
    """Make the call in this process, and write down what it took."""
    module, _, name = target.partition(":")
    call = getattr(import_module(module), name)
    cpu, start = read_cpu(), time.perf_counter()
    value = call(**json.loads(arguments))
    seconds = time.perf_counter() - start
    found = {"seconds": seconds, "cpu": read_cpu() - cpu, "peak": read_peak(), "value": value}
    Path(told).write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    _answer(*sys.argv[1:])
