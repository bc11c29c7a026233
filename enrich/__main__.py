"""The command `enrich`, also as `python -m enrich`."""

from __future__ import annotations

from enrich import cli
from enrich.cli import streams


def run_cli() -> None:
    """Run a command; ends the process with its exit code."""
    with streams.guard_streams():
        cli.main()


if __name__ == "__main__":
    run_cli()
