"""The command that plays the Batch API."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from enrich.cli import completing
from enrich.cli.context import EXIT_ERROR, Context
from enrich.cli.options import json_option
from enrich.errors import EnrichError

if TYPE_CHECKING:
    from enrich.rehearsal import Rehearsal


def _parse_faults(
    _: click.Context, __: click.Parameter, words: tuple[str, ...]
) -> dict[str, float]:
    """Returns the share of each fault. Raises BadParameter unless each word is NAME=SHARE."""
    from dataclasses import fields

    from enrich.errors import nearest
    from enrich.rehearsal import Faults

    names = [field.name for field in fields(Faults)]
    shares: dict[str, float] = {}
    for word in words:
        name, share = [*word.split("=", 1), ""][:2]
        if name not in names:
            raise click.BadParameter(f"there is no fault '{name}': {nearest(name, names)}")
        try:
            shares[name] = float(share)
        except ValueError as problem:
            what = f"'{word}' needs a share from 0 to 1: {name}=0.1"
            raise click.BadParameter(what) from problem
    return shares


def _serve(server: Rehearsal, api: str) -> None:
    """Serve until Ctrl-C. Ends the process if the port cannot be used."""
    from enrich import report

    try:
        with server:
            _announce_address(server.base_url, api)
            server.serve()
    except EnrichError as problem:
        report.print_error(problem)
        sys.exit(EXIT_ERROR)
    except KeyboardInterrupt:
        sys.stderr.write("\n")


OPENAI_COMMAND = "OPENAI_BASE_URL={url} OPENAI_API_KEY=any enrich run --provider openai"
ANTHROPIC_COMMAND = "ANTHROPIC_BASE_URL={url} ANTHROPIC_API_KEY=any enrich run --provider anthropic"
MISTRAL_COMMAND = "MISTRAL_BASE_URL={url} MISTRAL_API_KEY=any enrich run --provider mistral"
GEMINI_COMMAND = "GEMINI_BASE_URL={url} GEMINI_API_KEY=any enrich run --provider gemini"
ANNOUNCED = {
    "batch": ("the Batch API", OPENAI_COMMAND),
    "chat": ("a chat server", OPENAI_COMMAND),
    "anthropic": ("Anthropic's Message Batches API", ANTHROPIC_COMMAND),
    "mistral": ("Mistral's Batch API", MISTRAL_COMMAND),
    "gemini": ("Gemini's batches", GEMINI_COMMAND),
}
"""For each API that can be played, its name for people and the command that uses it."""


def _announce_address(base_url: str, api: str) -> None:
    played, command = ANNOUNCED[api]
    sys.stderr.write(
        f"playing {played} at {base_url} until Ctrl-C\n\n"
        f"in another terminal, in a copy of your project:\n"
        f"  {command.format(url=base_url)}\n"
    )
    sys.stderr.flush()


@click.command("rehearse")
@click.option(
    "--fault",
    "faults",
    multiple=True,
    metavar="NAME=SHARE",
    callback=_parse_faults,
    shell_complete=completing.complete_faults,
    help="A fault and its share from 0 to 1; the reference lists the names. May be repeated.",
)
@click.option(
    "--api",
    type=click.Choice(tuple(ANNOUNCED)),
    default="batch",
    show_default=True,
    help="The API to play; with chat, there is no Batch API.",
)
@click.option("--seed", default=0, show_default=True, help="The same seed gives the same faults.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8765,
    show_default=True,
    help="The port to listen on; 0 takes a free one.",
)
@click.option(
    "--latency",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="How long a batch stays in each state. Without it, a batch moves on at each poll.",
)
@click.option(
    "--enqueued-tokens",
    type=click.IntRange(min=1),
    help="How many tokens may be under way at once.",
)
@json_option
@click.pass_obj
def rehearse_command(
    _: Context,
    faults: dict[str, float],
    api: str,
    seed: int,
    port: int,
    latency: float | None,
    enqueued_tokens: int | None,
    as_json: bool,
) -> None:
    """Play the Batch API on this machine, with injected faults, until Ctrl-C; then show the bill.

    Run a copy of your project against it before you spend money: it answers every request with
    values that fit its schema, or with embeddings, and counts what would be billed.

    \b
    Example:
      enrich rehearse --fault http_500=0.1 --fault batch_expired=0.2
      OPENAI_BASE_URL=http://127.0.0.1:8765/v1 OPENAI_API_KEY=any enrich run --provider openai
    """
    from enrich import report
    from enrich.rehearsal import Faults, Rehearsal

    try:
        chosen = Faults(**faults)
    except ValueError as problem:
        raise click.UsageError(str(problem)) from problem
    server = Rehearsal(
        faults=chosen,
        api=api,
        seed=seed,
        port=port,
        latency=latency,
        enqueued_tokens=enqueued_tokens,
    )
    _serve(server, api)
    (report.print_bill_json if as_json else report.print_bill)(server)
