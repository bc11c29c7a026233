"""The command line: options in, one Project call, report out, exit code.

Exit codes are promises: 0 done; 1 an error; 2 a wrong option; 3 done, but some rows are not ok, a
test has failed or a run was stopped; 4 batches are planned or in progress, or a budget holds them
back; 130 Ctrl-C.

    context     what every command shares
    options     options that several commands take
    completing  what a shell completes
    running     init, seed, compile, plan, run, status, cancel
    judging     preview, compare, evaluate, test, failures, history
    looking     list, graph, cost, sql, debug
    keeping     ledger check, ledger export, ledger import, ledger vacuum
    rehearsing  rehearse
    viewing     view, review
"""

from __future__ import annotations

import click

from enrich.cli import judging, keeping, looking, rehearsing, running, viewing
from enrich.cli.context import CommandGroup, Context
from enrich.cli.options import common_options


@click.group(
    cls=CommandGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 96},
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


SUMMARIES = {
    "cancel": "Stop batches; answers that have come in are kept.",
    "compare": "Compare the working prompt with what is published.",
    "compile": "Print the SQL, JSON Schema and first request of models.",
    "cost": "Show what has been spent, in tokens and USD.",
    "debug": "Check versions, files, locks, models, keys and providers.",
    "evaluate": "Score published answers against a table of labels.",
    "failures": "Show the rows that are not ok, and why.",
    "graph": "Draw which model reads which.",
    "history": "Show the life of one row.",
    "init": "Create a small project that runs as it is.",
    "ledger": "Check, export, import or compact what was paid for.",
    "list": "List the models in the order they run.",
    "plan": "Show what a run would ask, why, and what it would cost.",
    "preview": "Answer a few rows now, beside their inputs.",
    "rehearse": "Play the Batch API on this machine, with injected faults.",
    "review": "Judge a sample of answers, or print some as examples.",
    "run": "Ask what is new, wait for the answers, publish the tables.",
    "seed": "Load the files in seeds/ as tables.",
    "sql": "Run a query on the warehouse.",
    "status": "Fetch and publish what has ended; show the state of models.",
    "view": "Look at the project in your browser, or write it to a file.",
    "test": "Test the tables as they would be published now.",
}
"""A line for each command. click would cut the first sentence of its help at 45 letters."""

# Every command takes the common options again, hidden, so that they may also follow its name.
for home in (running, judging, looking, rehearsing, viewing):
    for command in vars(home).values():
        if isinstance(command, click.Command):
            main.add_command(common_options(command, hidden=True))
for command in keeping.ledger_group.commands.values():
    common_options(command, hidden=True)
main.add_command(keeping.ledger_group)
for name, command in main.commands.items():
    command.short_help = SUMMARIES[name]
