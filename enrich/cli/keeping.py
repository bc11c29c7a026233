"""Commands for the ledger, which is the only copy of what was paid for."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from enrich.cli import completing
from enrich.cli.context import EXIT_ERROR, EXIT_NOT_OK, Context
from enrich.cli.options import json_option
from enrich.report.safe import write_note


@click.group("ledger")
def ledger_group() -> None:
    """Check the ledger, export it, import an export, or compact it.

    \b
    Example:
      enrich ledger check
      enrich ledger export backups/monday
      enrich ledger import backups/monday --replace
      enrich ledger vacuum
    """


@ledger_group.command("check")
@json_option
@click.pass_obj
def ledger_check_command(context: Context, as_json: bool) -> None:
    """Read every row of the ledger, and report what is damaged. Nothing is changed.

    \b
    Example:
      enrich ledger check
    """
    from enrich import report

    with context.open_project() as project:
        parts = project.ledger_check()
        (report.print_parts_json if as_json else report.print_parts)(parts)
        if any(part.faults for part in parts):
            report.print_ledger_damage(project.config.ledger, parts)
            sys.exit(EXIT_ERROR)


@ledger_group.command("export")
@click.argument("folder", metavar="DIR", shell_complete=completing.complete_folders)
@click.option(
    "--skip-damaged", is_flag=True, help="Leave out what cannot be read, instead of stopping."
)
@json_option
@click.pass_obj
def ledger_export_command(context: Context, folder: str, skip_damaged: bool, as_json: bool) -> None:
    """Write the whole ledger into the new folder DIR, as Parquet that any DuckDB reads.

    The folder appears once it is complete. It holds the rows that have been sent and their answers.

    \b
    Example:
      enrich ledger export backups/monday
    """
    from enrich import report

    target = Path(folder).absolute()  # as in a shell: relative to here, not to the project
    with context.open_project() as project:
        export = project.ledger_export(target, skip_damaged=skip_damaged)
    if as_json:
        report.print_parts_json(export.parts)
    else:
        report.print_export(export)
    if any(part.unread or part.incomplete for part in export.parts):
        sys.exit(EXIT_NOT_OK)


@ledger_group.command("import")
@click.argument("folder", metavar="DIR", shell_complete=completing.complete_folders)
@click.option(
    "--replace",
    is_flag=True,
    help="Replace a ledger that is not empty, and keep it beside the new one.",
)
@click.pass_obj
def ledger_import_command(context: Context, folder: str, replace: bool) -> None:
    """Create the ledger from an export, either completely or not at all.

    \b
    Example:
      enrich ledger import backups/monday --replace
    """
    source = Path(folder).absolute()
    with context.open_project() as project:
        aside = project.ledger_import(source, replace=replace)
        write_note(f"imported {folder} into {project.config.ledger.name}\n")
        if aside is not None:
            write_note(f"the old ledger is kept as {aside.name}\n")
        write_note("\nnext:\n  enrich status\n")


@ledger_group.command("vacuum")
@click.option("--dry-run", is_flag=True, help="Only show about how much would be saved.")
@json_option
@click.pass_obj
def ledger_vacuum_command(context: Context, dry_run: bool, as_json: bool) -> None:
    """Compact the ledger, and the files of batches whose answers are in it.

    No answer is removed from the ledger. Files become what keep_files in project.yml says.

    \b
    Example:
      enrich ledger vacuum --dry-run
      enrich ledger vacuum
    """
    from enrich import report

    with context.open_project() as project:
        savings = project.ledger_vacuum(dry_run=dry_run)
    if as_json:
        report.print_savings_json(savings)
    else:
        report.print_savings(savings, foreseen=dry_run)
