"""The tutorial and how-to guides are replayed: files written, commands run, output compared.

A fenced block after a line that holds only a file's name in backticks is that file. A `console`
block holds commands, each after `$ `, and what they print; `...` stands for lines left out. A
command must end with 0, unless the next one is `echo $?`, which says how it ended. After the
comment `<!-- answers -->` the words of a block are the rehearsal's, and only its form is compared.

In a guide, the server plays the Batch API from the beginning; in the tutorial, the page starts it.

`pytest tests/test_tutorial.py --update` writes the output in the pages anew.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from embedder import packaged

if TYPE_CHECKING:
    from collections.abc import Iterator

DOCS = Path(__file__).parent.parent / "docs"
GUIDES = (
    *("movies", "captions", "tickets", "reviews", "translations"),
    pytest.param("embeddings", marks=packaged),
)
FILE = re.compile(r"^`([\w./-]+)`\n\n```\w*\n(.*?)^```$", re.DOTALL | re.MULTILINE)
CONSOLE = re.compile(r"^(<!-- answers -->\n)?```console\n(.*?)^```$", re.DOTALL | re.MULTILINE)
ADDRESS = "http://127.0.0.1:8765/v1"
LEFT_OUT = "..."
CHANGING = (
    (re.compile(r"\$\d[\d.,]*"), "$"),  # prices are other people's
    (re.compile(r"-[0-9a-f]{12}\b"), "-id"),  # a batch's own
    (re.compile(r" +"), " "),
)
"""What may be different each time, and what stands for it."""

posix = pytest.mark.skipif(os.name != "posix", reason="the pages are written for a POSIX shell")


@dataclass(frozen=True)
class Step:
    """A command of the page, and the lines that it prints there."""

    command: str
    lines: tuple[str, ...]
    is_answer: bool


@dataclass
class Reader:
    """Somebody who follows the page in a shell: `code` is how the last command ended."""

    folder: Path
    environment: dict[str, str]
    code: int = 0

    def do(self, command: str) -> list[str]:
        """Type a command; gives what it prints, stderr first, as nobody waits in between."""
        words = shlex.split(command)
        match words[0]:
            case "cd":
                self.folder /= words[1]
                return []
            case "export":
                name, _, value = words[1].partition("=")
                self.environment[name] = value
                return []
            case "echo":
                return [str(self.code)]
        return self.run(words)

    def run(self, words: list[str]) -> list[str]:
        """Run enrich as a process of its own."""
        assert words[0] == "enrich", words
        done = subprocess.run(
            [sys.executable, "-m", "enrich", *words[1:]],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            timeout=120,
            check=False,
        )
        self.code = done.returncode
        return [line.rstrip() for line in done.stdout.rstrip().splitlines()]


def steps(block: re.Match[str]) -> list[Step]:
    """The commands of a `console` block."""
    found: list[Step] = []
    for line in block[2].splitlines():
        if line.startswith("$ "):
            found.append(Step(line[2:], (), bool(block[1])))
        else:
            last = found.pop()
            found.append(Step(last.command, (*last.lines, line.rstrip()), last.is_answer))
    return found


@contextmanager
def rehearsal() -> Iterator[str]:
    """The server that the page starts in a second terminal, at a port of its own: its address."""
    command = [sys.executable, "-m", "enrich", "rehearse", "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        try:
            assert server.stderr
            line = next(line for line in server.stderr if "playing the Batch API" in line)
            address = re.search(r"http://\S+", line)
            assert address
            yield address[0]
        finally:
            server.send_signal(signal.SIGTERM if os.name == "nt" else signal.SIGINT)


def settled(line: str) -> str:
    """A line without what may be different each time."""
    for pattern, constant in CHANGING:
        line = pattern.sub(constant, line.strip())
    return line


def check(step: Step, printed: list[str]) -> None:
    """Whether the page shows what was printed: every line, in this order."""
    left = iter(map(settled, printed))
    parts = [list(part) for cut, part in groupby(step.lines, LEFT_OUT.__eq__) if not cut]
    if step.is_answer:
        assert len(printed) == len(step.lines), step.command
        return
    for part in parts:
        for line in map(settled, part):
            assert line in left, f"{step.command}\n  never printed: {line}\n" + "\n".join(printed)
    if LEFT_OUT not in step.lines:
        assert len(printed) == len(step.lines), f"{step.command}\n" + "\n".join(printed)


def shown(step: Step, printed: list[str]) -> str:
    """A command with what it printed; what is cut short in the page stays as it is."""
    if LEFT_OUT in step.lines or list(map(settled, printed)) == list(map(settled, step.lines)):
        printed = list(step.lines)
    return "\n".join([f"$ {step.command}", *printed, ""])


def replay(text: str, reader: Reader, address: str, *, keep: bool) -> Iterator[str]:
    """Follow the page: gives each command with what it printed. `keep`: whatever that was."""
    marks = sorted([*FILE.finditer(text), *CONSOLE.finditer(text)], key=lambda match: match.start())
    for mark in marks:
        if mark.re is FILE:
            path = reader.folder / mark[1]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(mark[2], encoding="utf-8")
            continue
        found = steps(mark)
        for step, after in zip(found, [*found[1:], None], strict=True):
            if step.command == "enrich rehearse":
                yield shown(step, list(step.lines))
                continue
            printed = reader.do(step.command.replace(ADDRESS, address))
            if not keep:
                check(step, printed)
            if after is None or after.command != "echo $?":
                assert reader.code == 0 or step.command == "echo $?", step.command
            yield shown(step, printed)


def follow(page: Path, folder: Path, *, update: bool, started: bool) -> int:
    """Follow a page from an empty folder; gives how many commands it has. `started`: the Batch API
    is played before the first of them."""
    text = page.read_text(encoding="utf-8")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("OPENAI_", "ENRICH_"))}
    with rehearsal() as address:
        here = {"OPENAI_BASE_URL": address, "OPENAI_API_KEY": "any"} if started else {}
        reader = Reader(folder, {**environment, **here, "COLUMNS": "100"})
        done = list(replay(text, reader, address, keep=update))
    if update:
        page.write_text(updated(text, iter(done)), encoding="utf-8")
    return len(done)


def updated(text: str, done: Iterator[str]) -> str:
    """The page with what its commands print now."""

    def block(match: re.Match[str]) -> str:
        """A block with what its commands print now."""
        mine = "".join(next(done) for _ in steps(match))
        return f"{match[1] or ''}```console\n{mine}```"

    return CONSOLE.sub(block, text)


@pytest.fixture
def update(request: pytest.FixtureRequest) -> bool:
    """Whether the pages are to be written anew."""
    return bool(request.config.getoption("--update"))


@posix
@pytest.mark.few(0)
def test_the_tutorial_is_true(tmp_path: Path, update: bool) -> None:
    """Every command of the tutorial does what the page says."""
    assert follow(DOCS / "tutorial.md", tmp_path, update=update, started=False) >= 15


@posix
@pytest.mark.parametrize("name", GUIDES)
@pytest.mark.few(0)
def test_a_guide_is_true(name: str, tmp_path: Path, update: bool) -> None:
    """Every command of a how-to guide that brings its project does what the page says."""
    assert follow(DOCS / "how-to" / f"{name}.md", tmp_path, update=update, started=True) >= 2
