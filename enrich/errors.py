"""The errors of enrich: what people read when something goes wrong.

    EnrichError                 one plain sentence, and a hint that says what to do
    ├── ProjectError            project.yml, the folder, the command's own arguments
    ├── ModelError              a .sql or .prompt.md file: which file, which line
    ├── InputError              the rows of a SELECT: its tables, its key
    ├── DatabaseError           the warehouse or the ledger
    │   └── Locked              another process holds the file
    ├── DiskError               a file cannot be read or written
    │   └── Damaged             the ledger or the warehouse is corrupt on disk
    ├── OverBudget              it would cost more than a budget allows
    └── ProviderError           a provider refused, and nothing was started
        ├── Unavailable         not now: the same call may go through later
        │   └── Unreachable     there is no connection, so no other call goes through either
        └── Unclear             the response was lost: the batch may exist, so look it up first

Errors of DuckDB, of the OpenAI SDK, of YAML and of the file system are translated where
they arise and reach no caller. A row that fails is not an error: it is a row with an outcome.
"""

from __future__ import annotations

from contextlib import contextmanager
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path


class EnrichError(Exception):
    """One plain sentence about what is wrong, and a hint that says what to do."""

    states: Any = ()
    """The result of a run that had begun and that this error has ended."""

    def __init__(self, message: str, *, hint: str) -> None:
        super().__init__(message)
        # Apart from `args`, because a report shows the hint below the message, or not at all.
        self.message = message
        self.hint = hint


class ProjectError(EnrichError):
    """The project's folder, its settings or a command's arguments are wrong."""


class ModelError(EnrichError):
    """A model's file is wrong; the message names the file and, where known, the line."""


class InputError(EnrichError):
    """The SELECT of a model fails, or its key is missing, NULL or not unique."""


class DatabaseError(EnrichError):
    """The warehouse or the ledger cannot be opened, read or written.

    `unbound`: the SQL names a column that does not exist, or combines types that do not match.
    """

    unbound = False


class Locked(DatabaseError):
    """Another process holds the database file; nothing was changed."""


class DiskError(EnrichError):
    """A file cannot be read or written."""


class Damaged(DiskError):
    """The ledger or the warehouse is corrupt; `file` is the one concerned, None if unknown."""

    file: Path | None = None


class OverBudget(EnrichError):
    """What was asked for would cost more than a budget allows; nothing was spent."""


class ProviderError(EnrichError):
    """A provider refused: nothing was started, and nothing will be billed for this call."""


class Unavailable(ProviderError):
    """A provider cannot be reached or is overloaded; the same call may go through later.

    `answered`: the provider was reached and reported this itself.
    """

    answered = False


class Unreachable(Unavailable):
    """There is no connection to a provider, so nothing was sent; other calls would only fail as
    slowly."""


class Unclear(ProviderError):
    """The response to a create was lost: the batch may exist. Look it up before creating it
    again."""


@contextmanager
def name_on_interrupt(what: str) -> Iterator[None]:
    """Add `what` to a KeyboardInterrupt raised inside, so that the message says what took so
    long."""
    try:
        yield
    except KeyboardInterrupt as stop:
        # These blocks nest (a test runs while a model is published); the innermost name is the one
        # that took long, and it is added first.
        if not getattr(stop, "__notes__", ()):
            stop.add_note(what)
        raise


def count_nouns(number: int, noun: str) -> str:
    """Returns how many there are of something, in words.

    >>> count_nouns(1, "row"), count_nouns(2_000, "row"), count_nouns(0, "batch")
    ('1 row', '2,000 rows', '0 batches')
    """
    return f"{number:,} {noun if number == 1 else plural(noun)}"


def plural(noun: str) -> str:
    """Returns the plural of a noun."""
    return f"{noun}es" if noun.endswith(("ch", "s", "x")) else f"{noun}s"


def nearest(word: str, known: Iterable[str]) -> str:
    """Returns a hint that offers the nearest of the `known` words, or else lists them all.

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
