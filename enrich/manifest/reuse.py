"""Reuse: whose answers stand in for those of an llm, if a prompt says so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from enrich.errors import nearest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from enrich.manifest.settings import YamlSettings

LEAST_ALIKE = 0.8
"""The least similarity of near-duplicates: below it, texts are about the same thing at most."""
DEDUPE_KEYS = ("at", "vector")


@dataclass(frozen=True, kw_only=True)
class Dedupe:
    """Rows whose vectors have at least the cosine similarity `at` share one answer. `vector` is the
    column with the vectors, "" for the only one that the SELECT has."""

    at: float
    vector: str

    @classmethod
    def from_settings(cls, settings: YamlSettings) -> Dedupe | None:
        """Returns what `dedupe:` says; None if it is not set. Raises ModelError."""
        if settings.values.get("dedupe") is None:
            return None
        known = _read_known(settings, "dedupe", DEDUPE_KEYS, short="at")
        return cls(
            at=_read_share(settings, "dedupe", known, "at", least=LEAST_ALIKE),
            vector=str(known.get("vector") or ""),
        )


TRIAGE_KEYS = ("labels", "at", "margin", "neighbors", "vector")
USUAL_TRIAGE = {"at": 0.5, "margin": 0.5, "neighbors": 5}
"""What is clear enough unless a prompt says otherwise."""
MOST_NEIGHBORS = 100


@dataclass(frozen=True, kw_only=True)
class Triage:
    """Rows are answered by the labels of the rows nearest to them, where these are clear.

    `labels` is a table with the columns of the key and of the output. The nearest label must have
    at least the cosine similarity `at`, and of the `neighbors` nearest labels, the most frequent
    answer must lead by the `margin`, as a share of all their weight. `vector`: see Dedupe.
    """

    labels: str
    at: float
    margin: float
    neighbors: int
    vector: str

    @classmethod
    def from_settings(cls, settings: YamlSettings) -> Triage | None:
        """Returns what `triage:` says; None if it is not set. Raises ModelError."""
        if settings.values.get("triage") is None:
            return None
        known = USUAL_TRIAGE | dict(_read_known(settings, "triage", TRIAGE_KEYS, short="labels"))
        labels, neighbors = known.get("labels"), known["neighbors"]
        if not isinstance(labels, str) or not labels:
            hint = "triage: TABLE, which has the columns of the key and of the output"
            raise settings.make_error("triage", "names no table of labels", hint=hint)
        if not isinstance(neighbors, int) or not 1 <= neighbors <= MOST_NEIGHBORS:
            hint = f"neighbors: from 1 to {MOST_NEIGHBORS}"
            raise settings.make_error("triage", f"cannot have {neighbors} neighbors", hint=hint)
        return cls(
            labels=labels,
            at=_read_share(settings, "triage", known, "at", least=0),
            margin=_read_share(settings, "triage", known, "margin", least=0),
            neighbors=neighbors,
            vector=str(known.get("vector") or ""),
        )


def _read_known(
    settings: YamlSettings, word: str, keys: tuple[str, ...], *, short: str
) -> Mapping[str, Any]:
    """Returns a mapping with these keys; a value alone is that of the key `short`."""
    written = settings.values[word]
    if not isinstance(written, dict):
        return {short: written}
    for key in written:
        if key not in keys:
            hint = nearest(str(key), keys)
            raise settings.make_error(word, f"has no setting '{key}'", hint=hint)
    return written


def _read_share(
    settings: YamlSettings, word: str, known: Mapping[str, Any], key: str, *, least: float
) -> float:
    """Returns a number from `least` to 1."""
    value = known.get(key)
    if isinstance(value, (int, float)) and not isinstance(value, bool) and least <= value <= 1:
        return float(value)
    # `dedupe: 0.97` is short for `dedupe: {at: 0.97}`, so the hint names what was written.
    named = key if isinstance(settings.values.get(word), dict) else word
    raise settings.make_error(
        word, f"cannot be {value}", hint=f"{named}: a number from {least} to 1"
    )
