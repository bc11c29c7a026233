"""States: the state of the models, and what to type next."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from enrich.db.quote import quote_readably
from enrich.errors import count_nouns
from enrich.ledger.batch import describe_standing
from enrich.pricing.price import format_usd
from enrich.report.answers import render_provider_option
from enrich.report.safe import (
    OUTCOME_ADVICE,
    format_json,
    format_query_command,
    write_note,
    write_stderr,
    write_stdout,
)
from enrich.report.text import print_table
from enrich.report.verdicts import list_test_results

if TYPE_CHECKING:
    from collections.abc import Sequence

    from enrich.errors import EnrichError
    from enrich.ledger.state import State
    from enrich.pipeline.test import Result
    from enrich.results import CommandResult


def print_states(states: Sequence[State], *, unfold: bool = False) -> None:
    """Print a line for each model; with `unfold` also one for each of its open batches."""
    columns = ["model", "rows", "ok", "not ok", "pending", "in progress", "llm", "published"]
    rows: list[list[str]] = []
    for state in states:
        published = "held back" if state.held_back else _format_when(state.published_at)
        if not state.run:
            kind = "" if state.kind == "enrichment" else state.kind
            made = "" if state.after else published
            rows.append([state.model, "", "", "", "", _describe_progress(state), kind, made])
            rows += _list_copy(state)
            continue
        rows.append(
            [
                state.model,
                f"{state.rows:,}",
                f"{state.ok:,}",
                f"{state.failed:,}",
                f"{state.pending:,}",
                _describe_progress(state),
                state.llm,
                published,
            ]
        )
        for batch in state.batches if unfold else ():
            counts = f"{batch.answered:,} of {batch.requests:,} {describe_standing(batch)}"
            rows.append([f"  {batch.id}", f"{batch.requests:,}", "", "", "", counts, "", ""])
        rows += _list_copy(state)
    print_table(columns, rows, right={1, 2, 3, 4}, dull=(5, 4, 3), spare=(6,))


def _list_copy(state: State) -> list[list[str]]:
    """Returns the line of the copy of a model's table, if there is to be one."""
    if state.copy is None:
        return []
    when = _format_when(state.copy.copied_at)
    made = f"behind, {when}" if state.copy.behind else when
    return [[f"  in {state.copy.place}", "", "", "", "", "", "", made]]


def print_next_steps(states: CommandResult[State], *, usual: str) -> None:
    """Print what went wrong, and what to type next; `usual` is the default provider."""
    for state in states:
        if state.failed:
            _print_failed(state)
        if state.stopped:
            why = state.stopped.rstrip(".")
            write_stderr(
                f"\n{state.model} is stopped, and no more of it is sent: {why}. "
                f"Fix what is wrong, or send it anyway:\n"
                f"  {_render_run_command(state, usual, ' --retry')}\n"
            )
        if state.hint:
            write_stderr(f"\nhint: {state.hint}\n")
        overdue = [batch for batch in state.batches if batch.overdue]
        if overdue:
            write_stderr(
                f"\n{state.model}: {overdue[0].id} is overdue: it was submitted "
                f"{_format_age(overdue[0].submitted_at)} ago, and a batch ends within 24 hours. "
                f"Wait, or give it up, so that its rows can be asked again:\n"
                f"  enrich cancel --forget {state.model}\n"
            )
        if state.held_back:
            _print_held_back(state, states.tests, usual)
        if state.held and not state.unaffordable:
            _print_ahead(state)
        elif state.held:
            _print_held(state, usual)
    going = any(batch for state in states for batch in state.batches if not batch.held)
    there = [s for s in states if s.published_at and not s.held_back and not s.failed]
    # Among views and tables, the answers are what the run was for.
    answers = [s for s in there if s.kind == "enrichment"]
    shown = next(iter([*answers[-1:], *there[-1:]]), None)
    if going:
        write_note("\nnext:\n  enrich status\n")
    elif shown:
        select = f"SELECT * FROM {quote_readably(shown.model)} LIMIT 10"
        write_note(f"\nnext:\n  {format_query_command(select)}\n")


def _print_held_back(state: State, tests: Sequence[Result], usual: str) -> None:
    """Print which tests hold a table back; there are no rows to see of one that is broken."""
    broken = [test.test for test in tests if test.model == state.model and test.is_broken]
    if {*state.held_back} <= {*broken}:
        write_stderr(
            f"\n{state.model} is held back, because {', '.join(broken)} cannot be evaluated: "
            "its table has not changed. Fix that, and publish what is there:\n"
            f"  {_render_run_command(state, usual)}\n"
        )
        return
    write_stderr(
        f"\n{state.model} is held back by {', '.join(state.held_back)}: its table has not "
        "changed. See the rows, fix the prompt or the tests, and publish what is there:\n"
        f"  enrich test {state.model} --show\n"
        f"  {_render_run_command(state, usual, _render_drift_option(state))}\n"
    )


def _print_failed(state: State) -> None:
    """Print how many rows are not ok, by outcome, and where to see them."""
    words = ", ".join(f"{many:,} {word}" for word, many in state.outcomes.items() if word != "ok")
    write_stderr(f"\n{state.model}: {words}. See why:\n  enrich failures {state.model}\n")
    for outcome in OUTCOME_ADVICE.keys() & state.outcomes.keys():
        write_stderr(f"\nhint: {OUTCOME_ADVICE[outcome]}\n")


def _print_held(state: State, usual: str) -> None:
    """Print what a budget holds back. Raising it helps only if nothing else is under way."""
    left = sum(batch.requests for batch in state.held)
    costs = format_usd(sum(batch.reserved or 0 for batch in state.held))
    write_stderr(
        f"\n{state.model}: {state.held[0].held} pays for no more: "
        f"{count_nouns(left, 'request')} {'is' if left == 1 else 'are'} left, for about {costs}. "
    )
    if state.held == state.batches:
        again = _render_run_command(state, usual)
        write_stderr(f"Raise it in `budget:` or by --max-cost, then:\n  {again}\n")
    else:
        write_stderr("What is under way may leave enough for some of them.\n")


def _print_ahead(state: State) -> None:
    """Print how many requests wait for the first answers."""
    left = sum(batch.requests for batch in state.held)
    write_stderr(
        f"\n{state.model}: {count_nouns(left, 'request')} {'waits' if left == 1 else 'wait'} for "
        "the first answers, which show what they cost.\n"
    )


def _render_run_command(state: State, usual: str, option: str = "") -> str:
    """Returns the command that runs a model again, with the provider that it ran with."""
    provider = render_provider_option(state.provider, usual)
    return f"enrich run {state.model}{option}{provider}"


def print_states_json(states: Sequence[State]) -> None:
    """Print one JSON array."""
    write_stdout(format_json(list_states(states), indent=2) + "\n")


def list_states(states: Sequence[State]) -> list[dict[str, Any]]:
    """Returns the states as JSON can hold them."""
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
            "hint": state.hint,
            "after": list(state.after),
            "started_at": state.started_at.isoformat() if state.started_at else None,
            "published_at": state.published_at.isoformat() if state.published_at else None,
            "copy": {
                "place": state.copy.place,
                "behind": state.copy.behind,
                "problem": state.copy.problem,
                "copied_at": state.copy.copied_at.isoformat() if state.copy.copied_at else None,
            }
            if state.copy
            else None,
            "batches": [
                {
                    "batch": batch.id,
                    "remote": batch.remote,
                    "status": batch.status,
                    "requests": batch.requests,
                    "completed": batch.completed,
                    "failed": batch.failed,
                    "held": batch.held,
                    "awaits": list(batch.awaits),
                    "overdue": batch.overdue,
                    "reserved": batch.reserved,
                }
                for batch in state.batches
            ],
        }
        for state in states
    ]


def build_results(
    states: Sequence[State], tests: Sequence[Result], problems: Sequence[EnrichError]
) -> dict[str, Any]:
    """Returns what a command has found, as `run_results.json` holds it."""
    return {
        "models": list_states(states),
        "tests": list_test_results(tests),
        "problems": [f"{problem.message} ({problem.hint})" for problem in problems],
    }


def _render_drift_option(state: State) -> str:
    """Returns the option that publishes a table which only drift tests hold back; or ""."""
    drifts = all(test.startswith("drift_") for test in state.held_back)
    return " --accept-drift" if drifts else ""


def _describe_progress(state: State) -> str:
    if state.after:
        return f"waits for {', '.join(state.after)}"
    if not state.batches:
        return "failed" if state.failure else ""
    done = sum(batch.answered for batch in state.batches)
    total = sum(batch.requests for batch in state.batches)
    many = f" in {len(state.batches)} batches" if len(state.batches) > 1 else ""
    words = ", ".join(sorted({describe_standing(batch) for batch in state.batches}))
    times = [batch.submitted_at or state.started_at for batch in state.batches]
    since = _format_age(min(time for time in times if time))
    return f"{done:,} of {total:,}{many} ({words}, {since})"


def _format_when(when: datetime | None) -> str:
    if when is None:
        return "not yet"
    age = _format_age(when)
    return "just now" if age.endswith(" s") else f"{age} ago"


def _format_age(when: datetime | None) -> str:
    """Returns how long ago a time (UTC) is, in the largest unit that fits."""
    if when is None:
        return "some time"
    seconds = max(0, int((datetime.now(UTC).replace(tzinfo=None) - when).total_seconds()))
    for size, word in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {word}"
    return f"{seconds} s"
