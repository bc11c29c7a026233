"""Findings: what `enrich debug` says of each thing that it checks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

FindingVerdict = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """The result of one check; `hint` says what to do if the verdict is not ok."""

    what: str
    verdict: FindingVerdict
    detail: str
    hint: str = ""
