"""Reviews: what people say about a model's answers, one line each in reviews/MODEL.jsonl.

Lines are only ever added, so that no lock can lose one. git shows who said what, and a warehouse
that is lost costs no review.
"""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, Literal, get_args

from enrich.errors import DiskError, InputError
from enrich.manifest.digits import dump_exact, load_exact

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

REVIEWS_FOLDER = "reviews"
"""The folder of reviews in a project."""
REVIEW_ENDING = "_review"
"""How the name of the table with a model's reviews ends."""
RANDOM_QUEUE = "random"
"""The queue whose rows say something about all rows."""
TORN_MARK = b" # torn"
"""What is added to a line that a crash left unfinished, so that it is known for one."""
ReviewVerdict = Literal["right", "corrected", "unsure", "undone"]


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What a person said about one answer.

    `key` is the row's key, and `values` are the output columns as they should be, all of them; it
    is empty for `unsure` and `undone`. `fingerprint` is that of the answer that was judged. `queue`
    is what chose the row: only rows that were chosen at `random` say something about the others.
    `blind`: the answer was hidden until the reviewer had answered. `by` is the reviewer, and `at`
    the time, as ISO 8601 in UTC.
    """

    key: Mapping[str, Any]
    verdict: ReviewVerdict
    values: Mapping[str, Any]
    fingerprint: str
    queue: str
    blind: bool
    by: str
    at: str

    @property
    def holds_values(self) -> bool:
        """Whether it says what the output columns should be."""
        return self.verdict in ("right", "corrected")


def find_review_file(root: Path, model: str) -> Path:
    """Returns the path of a model's reviews, whether or not there are any."""
    return root / REVIEWS_FOLDER / f"{model}.jsonl"


def list_reviewed(root: Path) -> tuple[str, ...]:
    """Returns the sorted names that files in reviews/ have, without opening any."""
    return tuple(sorted(path.stem for path in (root / REVIEWS_FOLDER).glob("*.jsonl")))


def append_verdict(root: Path, model: str, verdict: Verdict) -> None:
    """Add a verdict to the reviews of a model; once this returns, it is on the disk.

    Raises InputError if JSON cannot hold it, and DiskError if the file cannot be written, or is a
    link.
    """
    path = find_review_file(root, model)
    shown = _show_file(path)
    # What is written is partly the text of others, and a link might lead to any file of the user.
    if path.is_symlink():
        raise DiskError(f"{shown} is a link", hint="replace it with the file that it leads to")
    try:
        line = dump_exact(asdict(verdict)) + "\n"
    except (ValueError, RecursionError) as problem:
        message = "the row holds what no JSON can, such as NaN, or is nested too deeply"
        raise InputError(message, hint="correct the cell, or say that you cannot tell") from problem
    try:
        path.parent.mkdir(exist_ok=True)
        # In one write at the end of the file: two processes may review at the same time.
        with path.open("ab", buffering=0) as file:
            file.write(_finish_last_line(path) + line.encode("utf-8", "backslashreplace"))
            os.fsync(file.fileno())
    except OSError as problem:
        message = f"{shown} cannot be written: {problem.strerror}"
        raise DiskError(message, hint="free disk space, or check the permissions") from problem


def _finish_last_line(path: Path) -> bytes:
    """Returns what has to follow the last line of a file before another one can start."""
    last = path.read_bytes().rpartition(b"\n")[2]
    if not last:
        return b""
    try:
        _parse_line(last)
    except ValueError:
        return TORN_MARK + b"\n"
    return b"\n"


def read_verdicts(root: Path, model: str) -> tuple[Verdict, ...]:
    """Returns all verdicts on a model in the order in which they were written, none if there is no
    file. What a crash left unfinished is ignored.

    Raises InputError for any other line that is not a verdict, and DiskError.
    """
    path = find_review_file(root, model)
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return ()
    except OSError as problem:
        message = f"{_show_file(path)} cannot be read: {problem.strerror}"
        raise DiskError(message, hint="check the file and its permissions") from problem
    return tuple(_parse_lines(lines, _show_file(path)))


def _parse_lines(lines: list[bytes], source: str) -> Iterator[Verdict]:
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.rstrip().endswith(TORN_MARK):
            continue
        try:
            yield _parse_line(line)
        except ValueError as problem:
            # Without the end that each finished line has, it is what a crash left.
            if number == len(lines):
                return
            message = f"{source}:{number} is not a verdict: {problem}"
            raise InputError(message, hint="restore the line from git, or remove it") from problem


def _parse_line(line: bytes) -> Verdict:
    """Returns the verdict in a line. Raises ValueError."""
    try:
        found = load_exact(line.decode("utf-8"))
    except RecursionError as problem:
        raise ValueError("it is nested too deeply") from problem
    except ValueError as problem:
        raise ValueError("it is not JSON") from problem
    if not isinstance(found, dict):
        raise ValueError("it is not an object")
    for field in fields(Verdict):
        kind = {"key": dict, "values": dict, "blind": bool}.get(field.name, str)
        if field.name not in found:
            raise ValueError(f"it has no '{field.name}'")
        if not isinstance(found[field.name], kind):
            raise ValueError(f"'{field.name}' cannot be {found[field.name]!r:.40}")
    if found["verdict"] not in get_args(ReviewVerdict):
        raise ValueError(f"'verdict' cannot be '{found['verdict']:.40}'")
    if not found["key"]:
        raise ValueError("'key' is empty")
    return Verdict(**{field.name: found[field.name] for field in fields(Verdict)})


def _show_file(path: Path) -> str:
    return f"{REVIEWS_FOLDER}/{path.name}"


def list_standing(verdicts: Iterable[Verdict]) -> tuple[Verdict, ...]:
    """Returns the last verdict of each reviewer on each key that has not been taken back, in the
    order in which they were written. `undone` takes back the reviewer's last verdict on the key, so
    that the one before it stands again."""
    last = (stack[-1] for stack in _stack_verdicts(verdicts) if stack)
    return tuple(verdict for _, verdict in sorted(last, key=lambda each: each[0]))


def list_sampled(verdicts: Iterable[Verdict]) -> tuple[Mapping[str, Any], ...]:
    """Returns the keys that were chosen at random for a verdict that has not been taken back."""
    # A row that was chosen at random stays so if somebody looks at it again for another reason.
    # Without it, the rows that are looked at twice, often the wrong ones, would be missing.
    return tuple(
        stack[-1][1].key
        for stack in _stack_verdicts(verdicts)
        if any(verdict.queue == RANDOM_QUEUE for _, verdict in stack)
    )


def _stack_verdicts(verdicts: Iterable[Verdict]) -> Iterable[list[tuple[int, Verdict]]]:
    """Returns, for each reviewer and key, the verdicts that were not taken back, each with its
    place among all of them."""
    stacks: dict[tuple[str, str], list[tuple[int, Verdict]]] = {}
    for place, verdict in enumerate(verdicts):
        # As JSON, because to Python 1, 1.0 and True are one key.
        key = dump_exact(dict(sorted(verdict.key.items())))
        stack = stacks.setdefault((verdict.by, key), [])
        if verdict.verdict != "undone":
            stack.append((place, verdict))
        elif stack:
            stack.pop()
    return stacks.values()
