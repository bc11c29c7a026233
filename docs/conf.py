"""The site of the documentation: Sphinx, with Markdown by MyST and the theme furo.

    uv run --group docs sphinx-build -W --keep-going -q -c docs . site

Pages are plain Markdown that also reads well on GitHub, so what only the site needs is here: the
order of the pages, and the settings. `-W` makes a dead link, a missing anchor or a page that is in
no list an error. The source folder is the repository, so that pages can link to its other files.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sphinx.application import Sphinx

NAVIGATION = {
    "Start here": ["tutorial", "installation"],
    "How-to guides": [
        "how-to/movies",
        "how-to/captions",
        "how-to/tickets",
        "how-to/reviews",
        "how-to/view",
        "how-to/translations",
        "how-to/embeddings",
        "how-to/costs",
        "how-to/azure",
        "how-to/lakes",
        "how-to/ray",
        "how-to/ci",
    ],
    "Reference": [
        "reference/commands",
        "reference/project-yml",
        "reference/models",
        "reference/prompt",
        "reference/selection",
        "reference/variables",
        "reference/seeds",
        "reference/sources",
        "reference/tests",
        "reference/outcomes",
        "reference/tables",
        "reference/plans",
        "reference/evaluating",
        "reference/costs",
        "reference/providers",
        "reference/rehearsal",
        "reference/ledger",
        "reference/python",
        "reference/errors",
    ],
    "Explanation": [
        "explanation/the-line",
        "explanation/exactly-once",
        "explanation/content-addressing",
        "explanation/speed",
        "explanation/scaling",
    ],
    "Development": [
        "extending",
        "/ARCHITECTURE",
        "/CONTRIBUTING",
        "/SECURITY",
        "/CHANGELOG",
    ],
}
"""The pages in their order; those that begin with a slash are outside docs/."""

project = "enrich"
html_title = "enrich"
root_doc = "docs/index"
extensions = ["myst_parser"]
include_patterns = ["docs/**", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"]
# Not looked into at all: there are many files below these, and none of them is a page.
exclude_patterns = [".venv", ".git", ".enrich", "site", "enrich", "tests", "golden", "examples"]
myst_heading_anchors = 4  # anchors as on GitHub
myst_links_external_new_tab = True
html_theme = "furo"
html_extra_path = ["_root"]
html_static_path = ["_static"]
html_css_files = ["wide.css"]
smartquotes = False  # they make a dash of an option's two hyphens
html_show_copyright = False
html_show_sphinx = False
html_copy_source = False
highlight_language = "none"  # of blocks that name no language
suppress_warnings = ["misc.highlighting_failure"]  # DuckDB's SQL is not all that Pygments knows


def add_navigation(_: Sphinx, name: str, source: list[str]) -> None:
    """Put the lists of pages at the end of the start page, where GitHub does not show them."""
    if name != root_doc:
        return
    for caption, pages in NAVIGATION.items():
        entries = "\n".join(pages)
        source[0] += f"\n\n```{{toctree}}\n:hidden:\n:caption: {caption}\n\n{entries}\n```\n"


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("source-read", add_navigation)
