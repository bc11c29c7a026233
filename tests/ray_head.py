"""A Ray head of the tests: one for all processes of pytest, since a start takes half a minute of
processor time."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import sysconfig
import time
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import httpx2
from filelock import FileLock

if TYPE_CHECKING:
    from collections.abc import Iterator

HAS_RAY = find_spec("ray") is not None and sys.platform == "linux"
START_SECONDS = 120


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def share_head(folder: Path) -> Iterator[str]:
    """The address of the head that the processes which know `folder` share: the first starts it,
    the last ends it."""
    users = folder / "ray-users"
    with FileLock(folder / "ray.lock"):
        known = users.read_text() if users.exists() else ""
        if not known:
            start_head(folder)
        users.write_text(f"{known}{os.getpid()}\n")
    try:
        yield (folder / "ray-address").read_text()
    finally:
        with FileLock(folder / "ray.lock"):
            left = [pid for pid in users.read_text().split() if pid != str(os.getpid())]
            users.write_text("".join(f"{pid}\n" for pid in left))
            if not left:
                (folder / "ray-over").touch()


def start_head(folder: Path) -> None:
    """Starts a head in a process that ends it once nobody uses it, or pytest has ended."""
    (folder / "ray-over").unlink(missing_ok=True)
    (folder / "ray-address").unlink(missing_ok=True)
    with (folder / "ray.log").open("wb") as log:
        command = [sys.executable, __file__, str(folder), str(os.getppid())]
        subprocess.run(command, stdout=log, stderr=log, check=True)
    until = time.monotonic() + START_SECONDS
    while not (folder / "ray-address").exists():
        assert time.monotonic() < until, (folder / "ray.log").read_text()
        time.sleep(0.1)


def name_ports() -> dict[str, int]:
    """Ports of its own: a machine may have another head."""
    names = ("port", "dashboard-port", "dashboard-agent-listen-port", "ray-client-server-port")
    return {name: free_port() for name in names}


def run_head(folder: Path, parent: int) -> None:
    """Runs a head until `folder` says that it is over, or its parent is gone."""
    ports = name_ports()
    scripts = sysconfig.get_path("scripts")
    environment = {
        **os.environ,
        "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_prestart_worker_first_driver": "0",  # a process for nobody, with each job
    }
    # A socket's path has at most 107 bytes, and pytest's folders are long.
    with TemporaryDirectory(prefix="er", ignore_cleanup_errors=True) as temp:
        command = [str(Path(scripts) / "ray"), "start", "--head", "--block", f"--temp-dir={temp}"]
        command += ["--node-ip-address=127.0.0.1", "--dashboard-host=127.0.0.1", "--num-cpus=1"]
        command += ["--min-worker-port=0", "--max-worker-port=0", "--disable-usage-stats"]
        command += ["--object-store-memory=80000000", *(f"--{k}={v}" for k, v in ports.items())]
        head = subprocess.Popen(command, env=environment)
        address = f"http://127.0.0.1:{ports['dashboard-port']}"
        agent = f"http://127.0.0.1:{ports['dashboard-agent-listen-port']}"
        try:
            while head.poll() is None and not (folder / "ray-over").exists():
                if not (folder / "ray-address").exists() and takes_jobs(address, agent):
                    (folder / "ray-address").write_text(address)
                os.kill(parent, 0)  # raises ProcessLookupError once it is gone
                time.sleep(0.2)
        finally:
            head.terminate()  # it ends what it has started
            with suppress(subprocess.TimeoutExpired):
                head.wait(15)


def takes_jobs(address: str, agent: str) -> bool:
    """Whether a head, and the agent that starts its jobs, are there."""
    with suppress(httpx2.HTTPError):
        healthy = httpx2.get(f"{agent}/api/local_raylet_healthz", timeout=5).status_code == 200
        return healthy and httpx2.get(f"{address}/api/version", timeout=5).status_code == 200
    return False


if __name__ == "__main__":
    if sys.platform != "win32":
        if os.fork():  # whoever started this waits for the parent only
            os._exit(0)
        os.setsid()
        run_head(Path(sys.argv[1]), int(sys.argv[2]))
