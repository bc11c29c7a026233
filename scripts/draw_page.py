"""Draw docs/_static/view*.png: the example project as `enrich view` shows it.

    uv run python scripts/draw_page.py

Copies the example project, runs it on the embedded llm, and takes pictures of the page in Chromium.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread

from playwright.sync_api import sync_playwright

import enrich
from enrich.view.server import ViewServer

ROOT = Path(__file__).resolve().parent.parent
MODEL = "movies_categories"
SCREENS = {
    "view": f"/model/{MODEL}",
    "view-overview": "/",
    "view-row": f"/row/{MODEL}/4",
    "view-graph": "/graph",
    "view-prompts": f"/prompts/{MODEL}",
    "view-failures": f"/failures/{MODEL}",
    "view-review": f"/review/{MODEL}",
}
"""The pictures, and the route of each."""


def draw(root: Path, folder: Path) -> None:
    """Take a picture of each screen of the project below `root`."""
    server = ViewServer(enrich.Project(root).open_viewer("ada"))
    Thread(target=server.serve_forever, daemon=True).start()
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for name, route in SCREENS.items():
            page = browser.new_page(viewport={"width": 1200, "height": 680})
            page.goto(f"{server.address}&to={route}")
            page.locator("main h1").wait_for()
            page.screenshot(path=folder / f"{name}.png")
            page.close()
        browser.close()
    server.shutdown()


if __name__ == "__main__":
    with TemporaryDirectory() as folder:
        root = Path(folder)
        shutil.copy(ROOT / "project.yml", root)
        for name in ("models", "seeds", "tests"):
            endings = shutil.ignore_patterns("*.py", "golden", "__pycache__")
            shutil.copytree(ROOT / name, root / name, ignore=endings)
        # In a process of its own, because the page must not share one with whoever writes.
        command = [sys.executable, "-m", "enrich", "--project", str(root), "run", MODEL]
        subprocess.run(command, check=True)
        draw(root, ROOT / "docs" / "_static")
