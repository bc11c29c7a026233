"""Settings of a rehearsal: its limits, its quirks and what goes wrong, all frozen."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from enrich.rehearsal.faults import Faults

Rewrite = Callable[[dict[str, Any]], dict[str, Any] | bytes]
"""Turns a result line into another object, or into bytes that need not be JSON."""


@dataclass(frozen=True, kw_only=True)
class Quirks:
    """How compatible servers differ from OpenAI. With all of them off, it answers as OpenAI does.

    Each has been seen in the documentation or the traffic of a server that speaks the Batch API.
    """

    body_as_string: bool = False  # response.body is a string that holds JSON
    no_error_key: bool = False  # good lines have no `error` key
    no_response_key: bool = False  # bad lines have no `response` key
    blank_lines: bool = False  # between the lines of result files
    crlf: bool = False  # lines of result files end in \r\n
    bom: bool = False  # result files start with a byte order mark
    one_file: bool = False  # bad lines are in the output file too
    empty_ids: bool = False  # "" instead of null where there is no result file
    empty_error_file: bool = False  # a zero-byte error file when no line is bad
    no_metadata: bool = False  # metadata is accepted and forgotten
    no_counts: bool = False  # batches have no request_counts
    no_list: bool = False  # GET /v1/batches is a 404
    unknown_status: bool = False  # a batch is "queued" for one step before it runs
    pending_files: int = 0  # how often a new upload is reported as not ready
    no_file_status: bool = False  # file objects do not say whether they are ready
    short_files: int = 0  # how many of the first downloads lack the second half of a result file
    late_list: int = 0  # how many lists of files do not show a new one yet
    reasoning: int = 0  # output tokens of an answer that only the total includes
    thoughts: int = 0  # reasoning tokens of an answer, which are part of its output as at OpenAI


@dataclass(frozen=True, kw_only=True)
class RehearsalSettings:
    """The settings of one server, as `Rehearsal` explains them."""

    api: str = "batch"
    faults: Faults = field(default_factory=Faults)
    quirks: Quirks = field(default_factory=Quirks)
    seed: int = 0
    api_key: str | None = None
    latency: float | None = None
    max_requests: int = 50_000
    max_inputs: int = 50_000
    max_bytes: int = 200_000_000
    enqueued_tokens: int | None = None
    unknown_llms: frozenset[str] = frozenset()
    refuses: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    hang: float = 0.5
    retry_after: float = 0.01
    rewrite: Rewrite | None = None
    clock: float = 0.0
