"""States: where the models stand, and what to type next."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from enrich.db.quote import quote_readably
from enrich.ledger.batch import describe_standing
from enrich.pricing.price import format_usd
from enrich.report.answers import by
from enrich.report.safe import ADVICE, as_json, query, to_stderr, to_stdout
from enrich.report.text import tabulate
from enrich.report.verdicts import tests_plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from enrich.errors import EnrichError
    from enrich.ledger.state import State
    from enrich.pipeline.test import Result


def states(found: Sequence[State], *, unfold: bool = False) -> None:
    """Where the models stand, a line each; with `unfold` each open batch below its model."""
    columns = ["model", "rows", "ok", "not ok", "pending", "in progress", "llm", "published"]
    rows: list[list[str]] = []
    for state in found:
        published = "held back" if state.held_back else _ago(state.published_at)
        if not state.run:
            kind = "" if state.kind == "enrichment" else state.kind
            made = "" if state.after else published
            rows.append([state.model, "", "", "", "", _under_way(state), kind, made])
            continue
        rows.append(
            [
                state.model,
                f"{state.rows:,}",
                f"{state.ok:,}",
                f"{state.failed:,}",
                f"{state.pending:,}",
                _under_way(state),
                state.llm,
                published,
            ]
        )
        for batch in state.batches if unfold else ():
            counts = f"{batch.answered:,} of {batch.requests:,} {describe_standing(batch)}"
            rows.append([f"  {batch.id}", f"{batch.requests:,}", "", "", "", counts, "", ""])
    tabulate(columns, rows, right={1, 2, 3, 4}, dull=(5, 4, 3), spare=(6,))


def closing(found: Sequence[State], *, usual: str) -> None:
    """After the table: what did not come out, and what to type next; `usual` is the provider that
    a command takes by itself."""
    for state in found:
        if state.failed:
            words = ", ".join(
                f"{many:,} {word}" for word, many in state.outcomes.items() if word != "ok"
            )
            to_stderr(f"\n{state.model}: {words}. See why:\n  enrich failures {state.model}\n")
            for outcome in ADVICE.keys() & state.outcomes.keys():
                to_stderr(f"\nhint: {ADVICE[outcome]}\n")
        if state.stopped:
            to_stderr(
                f"\n{state.model} is stopped, and no more of it is sent: {state.stopped}. "
                f"Mend what is wrong, or send it all the same:\n"
                f"  enrich run {state.model} --retry{by(state.provider, usual)}\n"
            )
        overdue = [batch for batch in state.batches if batch.overdue]
        if overdue:
            to_stderr(
                f"\n{state.model}: {overdue[0].id} is overdue: it was submitted "
                f"{_age(overdue[0].submitted_at)} ago, and a batch ends within 24 hours. "
                f"Wait, or give it up, so that its rows can be asked again:\n"
                f"  enrich cancel --forget {state.model}\n"
            )
        if state.held_back:
            to_stderr(
                f"\n{state.model} is held back by {', '.join(state.held_back)}: its table is as it "
                "was. See the rows, mend prompt or tests, and publish what is there:\n"
                f"  enrich test {state.model} --show\n"
                f"  enrich run {state.model}{by(state.provider, usual)}{_meant(state)}\n"
            )
        if state.held:
            left = sum(batch.requests for batch in state.held)
            costs = format_usd(sum(batch.reserved or 0 for batch in state.held))
            to_stderr(
                f"\n{state.model}: {state.held[0].held} pays for no more: {left:,} requests are "
                f"left, for about {costs}. "
            )
            if state.held == state.batches:
                again = f"enrich run {state.model}{by(state.provider, usual)}"
                to_stderr(f"Raise it in `budget:` or by --max-cost, then:\n  {again}\n")
            else:
                to_stderr("What is under way may leave enough for some of them.\n")
    going = any(batch for state in found for batch in state.batches if not batch.held)
    there = [s for s in found if s.published_at and not s.held_back and not s.failed]
    asked = [s for s in there if s.kind == "enrichment"]
    shown = next(iter([*asked[-1:], *there[-1:]]), None)
    if going:
        to_stderr("\nnext:\n  enrich status\n")
    elif shown:
        select = f"SELECT * FROM {quote_readably(shown.model)} LIMIT 10"
        to_stderr(f"\nnext:\n  {query(select)}\n")


def states_json(found: Sequence[State]) -> None:
    """The same for machines: one JSON array."""
    to_stdout(as_json(states_plain(found), indent=2) + "\n")


def states_plain(found: Sequence[State]) -> list[dict[str, Any]]:
    """The states as JSON can say them."""
    return [
        {
            "model": state.model,
            "kind": state.kind,
            "provider": state.provider,
            "llm": state.llm,
            "run": state.run,
            "rows": state.rows,
            "requests": state.requests,
            "outcomes": dict(state.outcomes),
            "stale": state.stale,
            "failure": state.failure,
            "held_back": list(state.held_back),
            "stopped": state.stopped,
            "after": list(state.after),
            "started_at": state.started_at.isoformat() if state.started_at else None,
            "published_at": state.published_at.isoformat() if state.published_at else None,
            "batches": [
                {
                    "batch": batch.id,
                    "remote": batch.remote,
                    "status": batch.status,
                    "requests": batch.requests,
                    "completed": batch.completed,
                    "failed": batch.failed,
                    "held": batch.held,
                    "overdue": batch.overdue,
                    "reserved": batch.reserved,
                }
                for batch in state.batches
            ],
        }
        for state in found
    ]


def results(
    found: Sequence[State], tests: Sequence[Result], problems: Sequence[EnrichError]
) -> dict[str, Any]:
    """What a command found, as the results file holds it."""
    return {
        "models": states_plain(found),
        "tests": tests_plain(tests),
        "problems": [f"{problem.message} ({problem.hint})" for problem in problems],
    }


def _meant(state: State) -> str:
    """The option that publishes what only a test of drift holds back."""
    drifts = all(test.startswith("drift_") for test in state.held_back)
    return " --accept-drift" if drifts else ""


def _under_way(state: State) -> str:
    if state.after:
        return f"waits for {', '.join(state.after)}"
    if not state.batches:
        return "failed" if state.failure else ""
    done = sum(batch.answered for batch in state.batches)
    total = sum(batch.requests for batch in state.batches)
    many = f" in {len(state.batches)} batches" if len(state.batches) > 1 else ""
    words = ", ".join(sorted({describe_standing(batch) for batch in state.batches}))
    times = [batch.submitted_at or state.started_at for batch in state.batches]
    since = _age(min(time for time in times if time))
    return f"{done:,} of {total:,}{many} ({words}, {since})"


def _ago(when: datetime | None) -> str:
    if when is None:
        return "not yet"
    age = _age(when)
    return "just now" if age.endswith(" s") else f"{age} ago"


def _age(when: datetime | None) -> str:
    """How long ago a time (UTC) is, in its largest unit."""
    if when is None:
        return "some time"
    seconds = max(0, int((datetime.now(UTC).replace(tzinfo=None) - when).total_seconds()))
    for size, word in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {word}"
    return f"{seconds} s"
