"""Commands for the ledger, which is the only copy of what was paid for."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from enrich.cli import completing
from enrich.cli.context import ERROR, NOT_OK, Context
from enrich.cli.options import json_option


@click.group()
def ledger() -> None:
    """Check the ledger, export it, or import an export.

    \b
    Example:
      enrich ledger check
      enrich ledger export backups/monday
      enrich ledger import backups/monday --replace
    """


@ledger.command()
@json_option
@click.pass_obj
def check(context: Context, as_json: bool) -> None:
    """Read every row of the ledger, and say what is damaged. Nothing is changed.

    \b
    Example:
      enrich ledger check
    """
    from enrich import report

    with context.project() as project:
        found = project.ledger_check()
        (report.parts_json if as_json else report.parts)(found)
        if any(part.faults for part in found):
            report.ledger_damaged(project.config.ledger, found)
            sys.exit(ERROR)


@ledger.command("export")
@click.argument("folder", metavar="DIR", shell_complete=completing.folders)
@click.option(
    "--skip-damaged", is_flag=True, help="Leave out what cannot be read, instead of stopping."
)
@json_option
@click.pass_obj
def export_(context: Context, folder: str, skip_damaged: bool, as_json: bool) -> None:
    """Write all of the ledger into the new folder DIR, as Parquet that any DuckDB reads.

    The folder is there once it is whole. It holds the rows that were sent and their answers.

    \b
    Example:
      enrich ledger export backups/monday
    """
    from enrich import report

    target = Path(folder).absolute()
    with context.project() as project:
        made = project.ledger_export(target, skip_damaged=skip_damaged)
    if as_json:
        report.parts_json(made.parts)
    else:
        report.exported(made)
    if any(part.unread or part.incomplete for part in made.parts):
        sys.exit(NOT_OK)


@ledger.command("import")
@click.argument("folder", metavar="DIR", shell_complete=completing.folders)
@click.option(
    "--replace", is_flag=True, help="Replace a ledger that is not empty; it is kept beside it."
)
@click.pass_obj
def import_(context: Context, folder: str, replace: bool) -> None:
    """Make the ledger from an export: whole, or not at all.

    \b
    Example:
      enrich ledger import backups/monday --replace
    """
    source = Path(folder).absolute()
    with context.project() as project:
        aside = project.ledger_import(source, replace=replace)
        sys.stderr.write(f"imported {folder} into {project.config.ledger.name}\n")
        if aside is not None:
            sys.stderr.write(f"the old ledger is kept as {aside.name}\n")
        sys.stderr.write("\nnext:\n  enrich status\n")
