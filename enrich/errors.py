"""The errors of enrich: what people are told when something is wrong.

    EnrichError                 one plain sentence, and a hint that says what to do
    ├── ProjectError            project.yml, the folder, the command's own words
    ├── ModelError              a .sql or .prompt.md file: which file, which line
    ├── InputError              the rows of a SELECT: its tables, its key
    ├── DatabaseError           the warehouse or the ledger
    │   └── Locked              another process holds the file
    ├── DiskError               a file cannot be read or written
    │   └── Damaged             the ledger or the warehouse is not as it was written
    ├── OverBudget              it would cost more than a budget allows
    └── ProviderError           a provider said no, and nothing was started
        ├── Unavailable         not now: the same call may go through later
        └── Unclear             the answer was lost: the batch may exist, look before asking again

Errors of DuckDB, of the OpenAI SDK, of YAML and of the file system are translated where
they arise and reach no caller. A row that fails is not an error: it is a row with an outcome.
"""

from __future__ import annotations

from contextlib import contextmanager
from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path


class EnrichError(Exception):
    """One plain sentence about what is wrong, and a hint that says what to do."""

    def __init__(self, message: str, *, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class ProjectError(EnrichError):
    """The project's folder, its settings or a command's words are not right."""


class ModelError(EnrichError):
    """A model's file is not right; the message names the file and, where known, the line."""


class InputError(EnrichError):
    """The SELECT of a model fails, or its key is absent, null or not unique."""


class DatabaseError(EnrichError):
    """The warehouse or the ledger cannot be opened, read or written.

    `unbound`: SQL names a column that is not there, or puts together what does not fit.
    """

    unbound = False


class Locked(DatabaseError):
    """Another process holds the database file; nothing was changed."""


class DiskError(EnrichError):
    """A file cannot be read or written."""


class Damaged(DiskError):
    """The ledger or the warehouse is not as it was written: `file` is which one, if it is known."""

    file: Path | None = None


class OverBudget(EnrichError):
    """What was asked for would cost more than a budget allows; nothing was spent."""


class ProviderError(EnrichError):
    """A provider refused; nothing was started and nothing will be billed for this call."""


class Unavailable(ProviderError):
    """A provider cannot be reached or is overloaded; the same call may go through later.

    `answered`: it was reached, and said so itself.
    """

    answered = False


class Unclear(ProviderError):
    """The answer to a create was lost: the batch may exist. Look for it before asking again."""


@contextmanager
def name_on_interrupt(what: str) -> Iterator[None]:
    """Inside, `what` is read: whoever presses Ctrl-C because it takes too long is told its name."""
    try:
        yield
    except KeyboardInterrupt as stop:
        if not getattr(stop, "__notes__", ()):
            stop.add_note(what)
        raise


def nearest(word: str, known: Iterable[str]) -> str:
    """The hint that offers the nearest of the `known` words, or lists them all.

    >>> nearest("budgt", ["budget", "name"])
    "did you mean 'budget'?"
    >>> nearest("zzz", ["budget", "name"])
    'known here: budget, name'
    >>> nearest("zzz", [])
    ''
    """
    words = sorted(known)
    close = get_close_matches(word, words, n=1)
    if close:
        return f"did you mean '{close[0]}'?"
    return f"known here: {', '.join(words)}" if words else ""
