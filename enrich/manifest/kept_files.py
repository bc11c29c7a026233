"""Kept files: what becomes of the files of a batch once its answers are in the ledger."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, cast, get_args

from enrich.errors import nearest

if TYPE_CHECKING:
    from enrich.manifest.settings import YamlSettings

KeepWord = Literal["all", "compressed", "failed", "none"]
KEEP_WORDS: tuple[KeepWord, ...] = get_args(KeepWord)
USUAL_WORD: KeepWord = "compressed"
"""The ledger can be lost without a copy, and then these files are all that is left of what was paid
for. Compressed, they take a tenth of the space or less."""
MOST_DAYS = 36_500


@dataclass(frozen=True, kw_only=True)
class FileRule:
    """What is kept of the files of batches that have been read.

    `all` keeps every file as it is. Anything else removes what the ledger can write again, and
    keeps result files `compressed`: all of them, those of batches in which a request `failed`, or
    `none`. With `days`, they are removed after so many.
    """

    word: KeepWord = USUAL_WORD
    days: int | None = None

    @classmethod
    def from_settings(cls, settings: YamlSettings) -> FileRule:
        """Reads `keep_files:`, which is a word or a number of days. Raises ProjectError."""
        value = settings.values.get("keep_files")
        if value is None:
            return cls()
        if isinstance(value, int) and not isinstance(value, bool):
            if not 1 <= value <= MOST_DAYS:
                what = f"must be a word or a number of days, 1 to {MOST_DAYS}"
                raise settings.make_error("keep_files", what, hint="keep_files: 30")
            return cls(days=value)
        if value not in KEEP_WORDS:
            hint = f"{nearest(str(value), KEEP_WORDS)}; or a number of days: keep_files: 30"
            raise settings.make_error("keep_files", f"cannot be '{value}'", hint=hint)
        return cls(word=cast("KeepWord", value))

    def keeps(self, *, has_failures: bool, age_days: float) -> bool:
        """Whether the results of a batch are kept, in which a request failed or not, and which was
        read so many days ago.

        >>> FileRule(word="failed").keeps(has_failures=False, age_days=0)
        False
        >>> FileRule(days=30).keeps(has_failures=False, age_days=29.5)
        True
        """
        if self.days is not None and age_days >= self.days:
            return False
        return self.word != "none" and (has_failures or self.word != "failed")
