"""The command line: options in, one Project call, report out, exit code.

Exit codes are promises: 0 done; 1 an error; 2 a wrong option; 3 done, but some rows are not ok, a
test failed or a run was stopped; 4 batches are planned or in progress, or a budget holds them; 130
Ctrl-C.

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
from enrich.cli.context import Commands, Context
from enrich.cli.options import common_options


@click.group(
    cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 96}
)
@click.version_option(package_name="enrich", prog_name="enrich")
@common_options
@click.pass_context
def main(context: click.Context) -> None:
    """A SELECT and a prompt become a DuckDB table.

    \b
    Example:
      enrich init mine && cd mine
      enrich run
      enrich status
    """
    context.ensure_object(Context)


for home in (running, judging, looking, rehearsing):
    for command in vars(home).values():
        if isinstance(command, click.Command):
            main.add_command(common_options(command, hidden=True))
for command in keeping.ledger.commands.values():
    common_options(command, hidden=True)
main.add_command(keeping.ledger)
