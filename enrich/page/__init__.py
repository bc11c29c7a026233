"""The page that people look at, as one HTML file: live, or with its data inside.

`assets/` holds the page's own style and scripts. They are joined into one script, because modules
do not load from a file that is opened from disk. No third party's code is among them, and nothing
is fetched but from the server that the page came from.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha256
from html import escape
from importlib.resources import files

SCRIPTS = (
    "text",
    "source",
    "table",
    "plots",
    "overview",
    "graph",
    "grid",
    "row",
    "prompts",
    "failures",
    "compare",
    "review",
    "main",
)
"""The scripts, in the order in which they are joined."""
MAGIC = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF8": "image/gif",
}
"""How pictures begin. SVG is left out on purpose: it is a document that can run scripts."""


def find_media_type(content: bytes) -> str:
    """Returns the media type of a picture by its first bytes; "" if it is none that is shown.

    >>> find_media_type(b"<svg>")
    ''
    """
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "image/webp"
    return next((kind for start, kind in MAGIC.items() if content.startswith(start)), "")


def dump_json(value: object) -> str:
    """Returns JSON that can stand inside a page: `<` is escaped. Raises ValueError for NaN, which
    browsers do not read.

    >>> dump_json(["</script>", 1.5, None])
    '["\\\\u003c/script>",1.5,null]'
    """
    text = json.dumps(value, default=str, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


@cache
def _join_scripts() -> str:
    parts = (_read_asset(f"{name}.js") for name in SCRIPTS)
    return '(() => {\n"use strict";\n' + "\n".join(parts) + "})();\n"


@cache
def _read_asset(name: str) -> str:
    return (files("enrich.page") / "assets" / name).read_text(encoding="utf-8")


@dataclass(frozen=True)
class Page:
    """The page. Its policies allow its own script and style by their hashes, and nothing else."""

    style: str = field(default_factory=lambda: _read_asset("page.css"), repr=False)
    script: str = field(default_factory=_join_scripts, repr=False)

    @property
    def live_policy(self) -> str:
        """The Content-Security-Policy of the page that asks a server."""
        return f"{self._render_policy()}; connect-src 'self'; frame-ancestors 'none'"

    def render_live(self) -> str:
        """Returns the page that asks the server it came from."""
        return self._render("", "enrich", "")

    def render_whole(self, data: object, *, title: str) -> str:
        """Returns the page with all its data: it needs no server and asks for nothing."""
        policy = self._render_policy(pictures="data:")
        meta = f'<meta http-equiv="Content-Security-Policy" content="{escape(policy)}">'
        block = f'<script type="application/json" id="data">{dump_json(data)}</script>'
        return self._render(meta, title, block)

    def render_frame(self, data: object, *, title: str, height: int) -> str:
        """Returns the whole page in a frame of its own, for a notebook: its script runs in a
        sandbox that can reach neither the notebook nor a server."""
        whole = escape(self.render_whole(data, title=title), quote=True)
        return (
            f'<iframe sandbox="allow-scripts" title="{escape(title)}" srcdoc="{whole}" '
            f'style="width:100%;height:{height}px;border:0" loading="lazy"></iframe>'
        )

    def _render_policy(self, pictures: str = "'self' data: http: https:") -> str:
        return (
            "default-src 'none'; base-uri 'none'; form-action 'none'; "
            f"script-src {_hash(self.script)}; style-src {_hash(self.style)}; "
            f"img-src {pictures}; require-trusted-types-for 'script'; trusted-types 'none'"
        )

    def _render(self, meta: str, title: str, data: str) -> str:
        return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
{meta}
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<title>{escape(title)}</title>
<link rel="icon" href="data:,">
<style>{self.style}</style>
</head>
<body>
<noscript>This page needs JavaScript.</noscript>
{data}
<script>{self.script}</script>
</body>
</html>
"""


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(sha256(text.encode()).digest()).decode()}'"
