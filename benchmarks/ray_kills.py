"""Kill what answers a batch on a Ray cluster, and count what was asked.

    sudo env PATH="$PATH" uv run --group cluster python benchmarks/ray_kills.py --rows 4000

Two nodes in network namespaces of their own, joined by a cable; a chat server that writes down
what it is asked before it answers, a fifth of a second later; two actors that ask 32 at a time, one
on each node, or both on the first. An actor, the driver or the raylet of the second node is
killed (SIGKILL) in the middle of a batch, or the whole cluster is, and started again; a job is
submitted by two processes at once. Then the same with llama.cpp in the actors and a tiny GGUF of
random weights, where what was asked cannot be counted, and on a storage of objects.

Every batch must end with one line for each row. The table says how many requests the server was
sent for them. It needs root, Linux and iproute2.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
import uuid
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Any

from enrich.errors import Unavailable
from enrich.manifest.settings import YamlSettings
from enrich.providers.registry import open_provider

if sys.platform == "win32":
    sys.exit("ray_kills needs network namespaces, which only Linux has")

if TYPE_CHECKING:
    from collections.abc import Callable

    from enrich.providers import Provider, Remote

TESTS = Path(__file__).parent.parent / "tests"
sys.path.insert(0, str(TESTS))

HEAD, WORKER = "10.77.0.1", "10.77.0.2"
NAMESPACES = ("enrich-head", "enrich-node")
PORT, DASHBOARD = 6390, 8290
AT_ONCE, ACTORS, SECONDS = 32, 2, 0.2
ENDPOINT = "/v1/chat/completions"
RAY = str(Path(sysconfig.get_path("scripts")) / "ray")


def run(*words: str) -> None:
    """Runs a command, quietly."""
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT)


def lay_cable() -> None:
    """Two namespaces, joined by a pair of interfaces."""
    cut_cable()
    for name in NAMESPACES:
        run("ip", "netns", "add", name)
    run("ip", "link", "add", "enrich-a", "type", "veth", "peer", "name", "enrich-b")
    ends = zip(NAMESPACES, ("enrich-a", "enrich-b"), (HEAD, WORKER), strict=True)
    for namespace, end, address in ends:
        run("ip", "link", "set", end, "netns", namespace)
        inside = ("ip", "-n", namespace)
        run(*inside, "addr", "add", f"{address}/24", "dev", end)
        run(*inside, "link", "set", end, "up")
        run(*inside, "link", "set", "lo", "up")


def cut_cable() -> None:
    """Removes the namespaces of an earlier time."""
    for name in NAMESPACES:
        with suppress(subprocess.CalledProcessError):
            run("ip", "netns", "del", name)


def find_processes(*words: str) -> list[int]:
    """The processes whose command has all these words, youngest last."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            command = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if all(word in command for word in words):
                found.append(int(path.parent.name))
    return sorted(found)


def kill(*pids: int) -> None:
    """Ends processes at once."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


@dataclass
class Cluster:
    """A head in this namespace, and perhaps a node in the other."""

    temp: Path
    processes: list[int] = field(default_factory=list)

    def start(self, nodes: int) -> None:
        """Starts it and waits until it takes jobs."""
        shutil.rmtree(self.temp, ignore_errors=True)
        common = ["--num-cpus=2", "--disable-usage-stats", "--object-store-memory=80000000"]
        head = [RAY, "start", "--head", f"--port={PORT}", f"--node-ip-address={HEAD}"]
        head += [f"--dashboard-host={HEAD}", f"--dashboard-port={DASHBOARD}"]
        self._start([*head, f"--temp-dir={self.temp}", *common])
        if nodes > 1:
            node = [RAY, "start", f"--address={HEAD}:{PORT}", f"--node-ip-address={WORKER}"]
            self._start(["ip", "netns", "exec", NAMESPACES[1], *node, *common])

    def _start(self, command: list[str]) -> None:
        environment = {
            **os.environ,
            "PATH": f"{sysconfig.get_path('scripts')}:{os.environ['PATH']}",
            "RAY_prestart_worker_first_driver": "0",
        }
        none = subprocess.DEVNULL
        subprocess.run(command, env=environment, check=True, stdout=none, stderr=none)

    def stop(self) -> None:
        """Kills every process of both nodes."""
        for name in NAMESPACES:
            listed = subprocess.run(
                ["ip", "netns", "pids", name], capture_output=True, text=True, check=False
            )
            pids = [int(pid) for pid in listed.stdout.split()]
            kill(*(pid for pid in pids if pid not in (os.getpid(), *SPARED)))
        time.sleep(1)


SPARED: list[int] = []
"""Processes in the namespaces that are no part of a cluster."""


@dataclass(kw_only=True)
class Trial:
    """One batch, and what is done to it."""

    folder: Path
    rows: int
    said: dict[str, Any]
    log: Path | None
    began: float = 0.0

    def open(self) -> Provider:
        """The provider."""
        known = YamlSettings(source="project.yml", values=self.said, lines={})
        return open_provider(
            "ray", known, root=self.folder, work=self.folder / "work", environment={}
        )

    def write(self) -> Path:
        """The request file."""
        path = self.folder / "rows.jsonl"
        with path.open("w") as file:
            for number in range(self.rows):
                content = f"row-{number}"
                messages = [{"role": "user", "content": content}]
                body = {"model": "tiny", "messages": messages, "max_tokens": 8}
                line = {"custom_id": content, "method": "POST", "url": ENDPOINT, "body": body}
                file.write(f"{json.dumps(line)}\n")
        return path

    def count_asked(self) -> Counter[str]:
        """How often each row was asked."""
        found = self.log.read_text().split() if self.log and self.log.exists() else []
        return Counter(found)

    def count_lines(self) -> int:
        """How many answers the parts hold."""
        files = self.folder.glob("shared/*/parts/*.jsonl")
        return sum(path.read_bytes().count(b"\n") for path in files)

    def await_share(self, share: float) -> None:
        """Waits until that share of the rows has an answer."""
        until = time.monotonic() + 240
        while self.count_lines() < share * self.rows:
            if time.monotonic() > until:
                raise TimeoutError
            with suppress(Unavailable):
                self.provider.poll(self.remote.id)  # as `enrich run` would, so that it goes on
            time.sleep(0.2)
        self.began = self.began or time.monotonic()

    def run(self, disturb: Callable[[Trial], None] | None) -> list[str]:
        """Answers a batch while it is disturbed; returns a line of the table."""
        self.provider = self.open()
        file = self.provider.upload(self.write())
        metadata = {"enrich_batch": uuid.uuid4().hex, "enrich_run": "1", "attempt": "1"}
        self.remote: Remote = self.provider.submit(file, endpoint=ENDPOINT, metadata=metadata)
        self.metadata = metadata
        self.await_share(0.001)
        start, already = time.monotonic(), self.count_lines()
        if disturb is not None:
            disturb(self)
        while not self.remote.ended:
            time.sleep(0.2)
            with suppress(Unavailable):  # a cluster that is being started
                self.remote = self.provider.poll(self.remote.id)
        seconds = time.monotonic() - start
        result = self.folder / "result.jsonl"
        for each in self.remote.files:
            self.provider.fetch(each, result)
        answered = Counter(json.loads(line)["custom_id"] for line in result.open())
        assert self.remote.status == "completed", self.remote
        assert len(answered) == sum(answered.values()) == self.rows, len(answered)
        asked = self.count_asked()
        assert self.log is None or len(asked) == self.rows
        sent = str(sum(asked.values())) if self.log else "-"
        jobs = len(list(self.folder.glob("shared/*/attempts/*")))
        rate = f"{(self.rows - already) / seconds:.0f}"
        return [str(self.rows), sent, str(self.count_lines()), str(jobs), f"{seconds:.0f}", rate]


def kill_actors(trial: Trial) -> None:
    """One at a time, three times."""
    for share in (0.2, 0.4, 0.6):
        trial.await_share(share)
        kill(find_processes("ray::RowActor")[0])


def kill_drivers(trial: Trial) -> None:
    """Twice."""
    for share in (0.3, 0.6):
        trial.await_share(share)
        kill(*find_processes("enrich.providers.ray.driver", trial.remote.id))


def kill_both(trial: Trial) -> None:
    """An actor and the driver at once."""
    trial.await_share(0.4)
    kill(find_processes("ray::RowActor")[0])
    kill(*find_processes("enrich.providers.ray.driver", trial.remote.id))


def kill_node(trial: Trial) -> None:
    """The raylet of the second node, which is then gone."""
    trial.await_share(0.4)
    kill(*find_processes("raylet/raylet", f"--node_ip_address={WORKER}"))


def restart_cluster(trial: Trial) -> None:
    """All of it, without its memory."""
    trial.await_share(0.4)
    CLUSTER[0].stop()
    CLUSTER[0].start(2)


def submit_twice(trial: Trial) -> None:
    """By four processes at once."""
    code = (
        "import json, sys; from pathlib import Path; sys.path.insert(0, sys.argv[1])\n"
        "from ray_kills import Trial\n"
        "trial = Trial(folder=Path(sys.argv[2]), rows=1, said=json.loads(sys.argv[3]), log=None)\n"
        "trial.open().submit(sys.argv[4], endpoint='/v1/chat/completions',"
        " metadata=json.loads(sys.argv[5]))\n"
    )
    here, file = str(Path(__file__).parent), str(trial.folder / "rows.jsonl")
    words = [here, str(trial.folder), json.dumps(trial.said), file, json.dumps(trial.metadata)]
    started = [subprocess.Popen([sys.executable, "-c", code, *words]) for _ in range(4)]
    assert [each.wait() for each in started] == [0] * 4


CLUSTER: list[Cluster] = []
TRIALS: list[tuple[str, int, str, Callable[[Trial], None] | None]] = [
    ("nothing", 1, "chat", None),
    ("nothing", 2, "chat", None),
    ("an actor, 3 times", 2, "chat", kill_actors),
    ("the driver, twice", 2, "chat", kill_drivers),
    ("actor and driver at once", 2, "chat", kill_both),
    ("nothing; submitted 5 times", 2, "chat", submit_twice),
    ("an actor, 3 times", 2, "objects", kill_actors),
    ("nothing", 2, "gguf", None),
    ("an actor, 3 times", 2, "gguf", kill_actors),
    ("the driver, twice", 2, "gguf", kill_drivers),
    ("the cluster, started again", 2, "chat", restart_cluster),
    ("the raylet of a node", 2, "chat", kill_node),
]


def make_trial(kind: str, rows: int, folder: Path, server: Path) -> Trial:
    """A batch that a chat server answers, or a GGUF in the actors."""
    folder.mkdir(parents=True)
    said: dict[str, Any] = {"type": "ray", "address": f"http://{HEAD}:{DASHBOARD}", "llm": "tiny"}
    said |= {"actors": ACTORS, "resources": {"CPU": 1}, "poll_seconds": 1}
    shared = folder / "shared"
    said |= {"storage": f"file://{shared}" if kind == "objects" else str(shared)}
    if kind == "gguf":
        from tiny_gguf import write_llm

        weights = str(write_llm(folder / "tiny.gguf"))
        return Trial(
            folder=folder,
            rows=max(200, rows // 5),
            said=said | {"weights": weights, "slots": 2, "context": 256},
            log=None,
        )
    server.write_text("")
    said |= {"url": f"http://{HEAD}:8100/v1", "concurrency": AT_ONCE}
    return Trial(folder=folder, rows=rows, said=said, log=server)


def run_trials(rows: int, only: str) -> None:
    """Inside the head's namespace: everything, as a table."""
    work = Path(mkdtemp(prefix="rk"))
    log = work / "asked"
    words = [str(TESTS / "tiny_chat.py"), "8100", str(log), str(SECONDS), HEAD]
    server = subprocess.Popen([sys.executable, *words])
    SPARED.extend((server.pid, os.getppid()))
    cluster = Cluster(work / "r")
    CLUSTER.append(cluster)
    columns = ("killed", "nodes", "engine", "rows", "asked", "lines", "jobs", "s", "rows/s")
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}", flush=True)
    up = 0
    try:
        for number, (what, nodes, kind, disturb) in enumerate(TRIALS):
            if only and only not in f"{what} {kind} {nodes}":
                continue
            if up != nodes:
                cluster.stop()
                cluster.start(nodes)
                up = nodes
            trial = make_trial(kind, rows, work / f"trial-{number}", log)
            try:
                figures = trial.run(disturb)
            except (AssertionError, TimeoutError) as problem:
                figures = [f"FAILED: {type(problem).__name__} {str(problem)[:200]}"]
            print(f"| {' | '.join((what, str(nodes), kind, *figures))} |", flush=True)
            up = 0 if disturb is kill_node else up
    finally:
        cluster.stop()
        server.kill()
    shutil.rmtree(work, ignore_errors=True)


def main() -> None:
    """Lays the cable and enters the head's namespace."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=4000)
    parser.add_argument("--only", default="", help="words of the trials to run")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside:
        run_trials(options.rows, options.only)
        return
    lay_cable()
    try:
        inside = ["ip", "netns", "exec", NAMESPACES[0], sys.executable, __file__, "--inside"]
        inside += ["--rows", str(options.rows), "--only", options.only]
        subprocess.run(inside, check=True)
    finally:
        cut_cable()


if __name__ == "__main__":
    main()
