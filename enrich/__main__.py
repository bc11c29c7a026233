"""The command `enrich`, also as `python -m enrich`."""

from __future__ import annotations

from enrich.cli import main

if __name__ == "__main__":
    main()
