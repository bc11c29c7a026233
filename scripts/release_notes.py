"""Print the notes of a release: what CHANGELOG.md says of its version.

    python scripts/release_notes.py v0.2.0

A tag that is not the package's version, or that CHANGELOG.md does not know, ends it with 1.
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def notes(tag: str, *, version: str, changelog: str) -> str:
    """The section of a version. Raises ValueError where the tag has none or is another version.

    >>> notes("v1.0", version="1.0", changelog="## 1.0 - today\\n\\n* New.\\n\\n## 0.9\\n")
    '* New.\\n'
    """
    if tag != f"v{version}":
        raise ValueError(f"the tag is {tag}, and pyproject.toml says {version}")
    sections = re.split(r"^## ", changelog, flags=re.MULTILINE)[1:]
    found = {section.split(maxsplit=1)[0]: section.partition("\n")[2] for section in sections}
    text = found.get(version, "").strip()
    if not text:
        raise ValueError(f"CHANGELOG.md says nothing of {version}")
    return f"{text}\n"


def main() -> None:
    """Print the notes of the tag that is named."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        version = tomllib.load(file)["project"]["version"]
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    try:
        sys.stdout.write(notes(*sys.argv[1:2], version=version, changelog=changelog))
    except (TypeError, ValueError) as problem:
        sys.exit(f"error: {problem}")


if __name__ == "__main__":
    main()
