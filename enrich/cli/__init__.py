"""The command line: options in, one Project call, report out, exit code.

Exit codes are promises: 0 done; 1 an error; 2 a wrong option; 3 done, but some rows are not ok, or
a test failed; 4 batches are still in progress.

    context     what every command shares
    options     options that several take
    running     init, seed, compile, plan, run, status, cancel
    judging     preview, compare, evaluate, test, failures, history
    looking     list, graph, cost, sql, debug
    keeping     ledger check, ledger export, ledger import
    rehearsing  rehearse
"""

from __future__ import annotations

import click

from enrich.cli import judging, keeping, looking, rehearsing, running
from enrich.cli.context import Context


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 96})
@click.version_option(package_name="enrich", prog_name="enrich")
@click.option("--project", "folder", default=".", metavar="DIR", help="The project's folder.")
@click.option(
    "--lock-timeout",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="How long to wait for another process to close the warehouse.",
)
@click.option(
    "-v", "--verbose", is_flag=True, help="Show each SQL statement, its rows and seconds."
)
@click.pass_context
def main(context: click.Context, folder: str, lock_timeout: float | None, verbose: bool) -> None:
    """A SELECT and a prompt become a DuckDB table.

    \b
    Example:
      enrich init mine && cd mine
      enrich run
      enrich status
    """
    context.obj = Context(folder, lock_timeout, verbose)


for home in (running, judging, looking, rehearsing):
    for command in vars(home).values():
        if isinstance(command, click.Command):
            main.add_command(command)
main.add_command(keeping.ledger)
