"""The command `enrich`, which also runs as `python -m enrich`."""

from __future__ import annotations

from enrich import cli
from enrich.cli import streams


def run_cli() -> None:
    """Run the command that sys.argv names, and exit with its exit code."""
    with streams.guard_streams():
        cli.main()


if __name__ == "__main__":
    run_cli()
