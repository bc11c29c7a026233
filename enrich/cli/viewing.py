"""Commands that open the page."""

from __future__ import annotations

import getpass
import os
import re
import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import mkstemp
from typing import TYPE_CHECKING

import click

from enrich.cli import completing
from enrich.cli.options import var_option
from enrich.report.safe import write_note

if TYPE_CHECKING:
    from collections.abc import Iterator

    from enrich.cli.context import Context
    from enrich.view import Viewer

SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(MB|KB|GB)?", re.IGNORECASE)
UNITS = {"KB": 1_000, "MB": 1_000_000, "GB": 1_000_000_000}


def _parse_size(_: click.Context, __: click.Parameter, text: str) -> int:
    """Returns a size in bytes. Raises BadParameter."""
    found = SIZE.fullmatch(text.strip())
    if found is None:
        raise click.BadParameter(f"'{text}' is not a size, such as 25MB")
    return int(float(found[1]) * UNITS.get((found[2] or "").upper(), 1))


@click.command("view")
@click.option("--no-open", is_flag=True, help="Print the address only, and open no browser.")
@click.option(
    "--port", type=click.IntRange(0, 65_535), default=0, help="The port; 0 takes a free one."
)
@click.option(
    "--reviewer", metavar="NAME", help="Who reviews. [default: your name on this computer]"
)
@click.option(
    "--export",
    "exported",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write the page with its data to one HTML file instead.",
)
@click.option(
    "--rows",
    type=click.IntRange(1),
    default=2_000,
    show_default=True,
    help="With --export: the most rows of each model, those that are not ok first.",
)
@click.option(
    "--max-size",
    "size",
    default="25MB",
    show_default=True,
    callback=_parse_size,
    metavar="SIZE",
    help="With --export: the largest file.",
)
@click.option("--no-raw", is_flag=True, help="With --export: without requests and raw answers.")
@var_option
@click.pass_obj
def view_command(
    context: Context,
    no_open: bool,
    port: int,
    reviewer: str | None,
    exported: Path | None,
    rows: int,
    size: int,
    no_raw: bool,
) -> None:
    """Look at the project in your browser: models, rows, prompts, failures, versions, reviews.

    The page is served on this machine only, until Ctrl-C, and follows what other commands do. It
    reads copies of the databases, so it never keeps a run waiting. With --export it becomes a file
    that opens without a server or a network.

    \b
    Example:
      enrich view
      enrich view --export site.html
    """
    with context.open_project() as project:
        viewer = project.open_viewer(reviewer or find_reviewer())
        if exported is None:
            serve_page(viewer, port=port, opens=not no_open)
            return
        from enrich.errors import DiskError
        from enrich.view.export import ExportBounds, render_export

        text = render_export(viewer, ExportBounds(rows=rows, size=size, raw=not no_raw))
        try:
            exported.write_text(text, encoding="utf-8")
        except OSError as problem:
            hint = "name a file in a folder that you may write to"
            raise DiskError(
                f"{exported} cannot be written: {problem.strerror}", hint=hint
            ) from problem
        write_note(f"wrote {exported} ({len(text.encode()) / 1e6:,.1f} MB)\n")


@click.command("review")
@click.argument("name", metavar="MODEL", shell_complete=completing.complete_enrichments)
@click.option("--blind", is_flag=True, help="Hide each answer until you have given yours.")
@click.option(
    "--examples",
    "limit",
    type=click.IntRange(1),
    metavar="N",
    help="Print N reviewed rows as examples for the prompt instead.",
)
@click.option("--no-open", is_flag=True, help="Print the address only, and open no browser.")
@click.option(
    "--reviewer", metavar="NAME", help="Who reviews. [default: your name on this computer]"
)
@var_option
@click.pass_obj
def review_command(
    context: Context,
    name: str,
    blind: bool,
    limit: int | None,
    no_open: bool,
    reviewer: str | None,
) -> None:
    """Judge a random sample of MODEL's answers in your browser, by keyboard.

    Verdicts are lines of reviews/MODEL.jsonl, and labels for `enrich evaluate`. With --examples,
    reviewed rows are printed as turns, to be pasted above the last `user:` of the prompt; those
    that show the most labels come first.

    \b
    Example:
      enrich review movies_categories
      enrich review movies_categories --examples 3
    """
    from enrich import report

    with context.open_project() as project:
        if limit is not None:
            sections = project.review_examples(name, limit)
            source = project.models[name].own_prompt.source
        else:
            viewer = project.open_viewer(reviewer or find_reviewer())
            viewer.check_reviewable(name)
            ending = "?blind=true" if blind else ""
            serve_page(viewer, port=0, opens=not no_open, to=f"/review/{name}{ending}")
            return
    report.print_examples(sections, source)


def serve_page(viewer: Viewer, *, port: int, opens: bool, to: str = "") -> None:
    """Serve the page until Ctrl-C; with `opens`, in the user's browser. `to` is the route that it
    opens. Raises EnrichError if the port is taken."""
    import webbrowser

    from enrich.errors import EnrichError
    from enrich.view.server import ViewServer

    try:
        server = ViewServer(viewer, port)
    except OSError as problem:
        hint = "leave out --port to take a free one"
        raise EnrichError(f"port {port} cannot be used: {problem.strerror}", hint=hint) from problem
    address = f"{server.address}&to={to}" if to else server.address
    write_note("the page is here until Ctrl-C:\n")
    sys.stdout.write(f"{address}\n")
    sys.stdout.flush()
    with server, ExitStack() as left:
        if opens:
            # A command line can be read by everybody on the machine, and so could the key in it:
            # the browser is given a file that only its owner can read, and that leads on.
            path = left.enter_context(_write_door(address))
            webbrowser.open(path.as_uri())
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            write_note("\n")


@contextmanager
def _write_door(address: str) -> Iterator[Path]:
    """Yields a page that leads to an address and only its owner can read; it is removed after."""
    from html import escape

    handle, name = mkstemp(prefix="enrich-view-", suffix=".html")
    path = Path(name)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        where = escape(address)
        file.write(
            f'<meta http-equiv="refresh" content="0; url={where}"><a href="{where}">Open</a>'
        )
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


def find_reviewer() -> str:
    """Returns what to call the person at this computer."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user without a name, as in some containers
        return "somebody"
