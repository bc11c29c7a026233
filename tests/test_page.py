"""The page in a real browser: what a person sees, does and cannot be tricked into."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from folders import opened, plants, write
from viewing import serving

from enrich.rehearsal import Faults, Rehearsal
from enrich.view.export import ExportBounds, render_export

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Page

    from enrich.view.server import ViewServer

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
if CHROMIUM is None:
    pytest.skip("needs Chromium (Debian's package chromium)", allow_module_level=True)
sync_api = pytest.importorskip("playwright.sync_api", reason="needs the package playwright")

# Without the last ones, Chromium asks its maker's servers for things that no test needs.
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
EVIL = (
    "<img src=x onerror=\"document.title='pwned'\">",
    "</script><script>document.title='pwned'</script>",
    "javascript:document.title='pwned'",
    "\"><svg onload=document.title='pwned'>",
    "https://evil.example/\" onmouseover=\"document.title='pwned'",
    "data:image/svg+xml;base64,PHN2Zy8+",
    "before \u202egnitrever\u202c \u0007after",
    "{{constructor.constructor('document.title=1')()}}",
)
ROUTES = ("", "graph", "model/kinds", "row/kinds/0", "prompts/kinds", "failures/kinds")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_api.sync_playwright() as started:
        found = started.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield found
        found.close()


@pytest.fixture(scope="module")
def garden(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, ViewServer]]:
    """A project whose cells are hostile, asked twice, and its page."""
    root = tmp_path_factory.mktemp("hostile")
    seed = "id,name,note\n" + "".join(
        '{},"{}",{}\n'.format(n, EVIL[n % len(EVIL)].replace('"', '""'), f"note {n}")
        for n in range(1, 41)
    )
    with Rehearsal(faults=Faults(refused=0.1, off_schema=0.1)) as server:
        plants(root, server)
        write(root, {"seeds/plants.csv": seed, "models/tall.sql": "SELECT * FROM kinds\n"})
        opened(root).run()
        prompt = root / "models/kinds.prompt.md"
        prompt.write_text(prompt.read_text().replace("You know plants.", f"You know. {EVIL[0]}"))
        opened(root).run()
    for at, evil in enumerate(EVIL):
        text = evil.replace("'", "''")
        opened(root).sql(f"UPDATE kinds SET line = '{text}' WHERE id % {len(EVIL)} = {at}")
        opened(root).sql(f"UPDATE enrich.kinds SET error = '{text}' WHERE outcome <> 'ok'")
    with serving(root) as page:
        yield root, page


@pytest.fixture
def page(browser: Browser, garden: tuple[Path, ViewServer]) -> Iterator[Page]:
    yield from watched(browser, garden[1].address)


def watched(browser: Browser, address: str, **options: Any) -> Iterator[Page]:
    """A page that is open; at the end, nothing must have been logged or asked of anybody else."""
    context = browser.new_context(**options)
    page = context.new_page()
    said: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda problem: said.append(str(problem)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(address)
    page.locator("h1").first.wait_for()
    yield page
    own = address.partition("#")[0]
    assert [url for url in asked if not url.startswith((own, "data:"))] == []
    assert said == []
    context.close()


def visit(page: Page, route: str) -> None:
    """Go to a route, and wait until it is drawn."""
    page.evaluate("document.querySelector('main').replaceChildren()")
    page.evaluate("to => { location.hash = '#/elsewhere'; location.hash = to; }", f"/{route}")
    page.locator("main h1").first.wait_for()


def test_the_token_leaves_the_address_at_once(page: Page, garden: tuple[Path, ViewServer]) -> None:
    assert garden[1].token not in page.url
    assert page.evaluate("document.cookie") == ""
    page.reload()  # the tab remembers it
    page.get_by_role("link", name="kinds", exact=True).wait_for()


def test_the_browser_is_given_the_key_in_a_file_of_ones_own(
    browser: Browser, garden: tuple[Path, ViewServer], tmp_path: Path
) -> None:
    """What `enrich view` starts as the browser sees a file, not the key."""
    seen = tmp_path / "seen"
    script = tmp_path / "browser"
    script.write_text(
        f'#!/bin/sh\nls -l "${{1#file://}}" > {seen}\ncat "${{1#file://}}" >> {seen}\n'
    )
    script.chmod(0o700)
    command = [sys.executable, "-m", "enrich", "--project", str(garden[0]), "view"]
    environment = {**os.environ, "BROWSER": f"{script} %s"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as started:
        assert started.stdout is not None
        address = started.stdout.readline().strip()
        while not seen.exists() or "url=" not in seen.read_text():
            pass
        door = seen.read_text()
        assert door.startswith("-rw-------")
        assert address in door
        path = tmp_path / "door.html"
        path.write_text(door.partition("\n")[2])
        page = browser.new_page()
        page.goto(path.as_uri())
        page.get_by_role("link", name="kinds", exact=True).first.wait_for()
        page.close()
        started.send_signal(signal.SIGINT)


@pytest.mark.parametrize("route", [*ROUTES, "compare/kinds", "review/kinds"])
def test_hostile_cells_stay_text(page: Page, route: str) -> None:
    visit(page, route)
    assert "pwned" not in page.title()
    assert page.locator("img, iframe, object, embed, form, base").count() == 0
    hrefs = page.eval_on_selector_all("a", "found => found.map(a => a.getAttribute('href'))")
    assert [to for to in hrefs if not to.startswith("#")] == []
    shown = page.locator("main").inner_text()
    assert "\u202e" not in shown
    if route == "model/kinds":
        assert "\\u202egnitrever" in shown
        assert "</script><script>" in shown


def test_a_stranger_finds_a_raw_answer_in_three_clicks(page: Page) -> None:
    page.get_by_role("link", name="kinds", exact=True).first.click()
    page.locator("table.rows tbody th a").nth(2).click()
    page.get_by_role("heading", name="Raw answer").wait_for()
    assert '"kind"' in page.locator("pre.raw").first.inner_text()
    page.keyboard.press("j")
    page.get_by_role("heading", name="kinds, row 4").wait_for()
    page.keyboard.press("k")
    page.get_by_role("heading", name="kinds, row 3").wait_for()


def test_rows_are_searched_filtered_and_sorted(page: Page) -> None:
    visit(page, "model/kinds")
    page.get_by_label("Search in all columns").fill("note 1")
    page.get_by_text("1–11 of 11").wait_for()
    assert page.locator("table.rows tbody tr").count() == 11
    page.get_by_label("Search in all columns").fill("")
    page.get_by_text("1–40 of 40").wait_for()
    page.get_by_role("button", name="id", exact=True).click()
    page.get_by_role("button", name="id ↑").click()
    page.get_by_role("button", name="id ↓").wait_for()
    page.locator("table.rows tbody tr td.key", has_text="40").first.wait_for()
    assert page.locator("table.rows tbody tr td.key").first.inner_text() == "40"
    page.get_by_label("Outcome").select_option("not ok")
    page.locator("table.rows .pill.bad").first.wait_for()
    page.reload()  # the address holds the filter
    page.locator("table.rows .pill.bad").first.wait_for()
    assert page.locator("table.rows .pill.good").count() == 0


def test_a_person_reviews_by_keyboard_alone(
    browser: Browser, garden: tuple[Path, ViewServer]
) -> None:
    root, server = garden
    for page in watched(browser, f"{server.address}&to=/review/kinds"):
        page.get_by_text("rows reviewed by ann").wait_for()

        def wait_for(many: int, page: Page = page) -> None:
            page.get_by_text(f"{many} of 40 rows reviewed").wait_for()
            page.get_by_text("Saved:").or_(page.get_by_text("Undone.")).wait_for()

        page.keyboard.press("Enter")
        wait_for(1)
        page.keyboard.press("x")
        wait_for(2)
        other = page.locator("[aria-labelledby] button[aria-pressed=false]").first
        page.keyboard.press(other.locator("kbd").inner_text())
        page.get_by_text("Save the correction").wait_for()
        page.keyboard.press("Enter")
        wait_for(3)
        page.keyboard.press("e")  # a list, with an item on each line
        page.keyboard.press("Escape")
        page.locator("textarea.single").focus()
        page.keyboard.type("what a person says")
        page.keyboard.press("Enter")
        wait_for(4)
        page.keyboard.press("u")
        wait_for(3)
        page.keyboard.press("Enter")
        wait_for(4)
        path = root / "reviews/kinds.jsonl"
        while path.read_text().count("\n") < 6:  # what is on the screen is saved a moment later
            page.wait_for_timeout(10)
    verdicts = [json.loads(line)["verdict"] for line in path.read_text().splitlines()]
    assert verdicts[:3] == ["right", "unsure", "corrected"]
    assert verdicts.count("undone") == 1
    reviews = opened(root).evaluate("kinds", "kinds_review").reviews
    assert reviews is not None
    assert sum(reviews.verdicts.values()) == 4


def test_an_answer_is_hidden_from_a_blind_reviewer(
    browser: Browser, garden: tuple[Path, ViewServer]
) -> None:
    for page in watched(browser, f"{garden[1].address}&to=/review/kinds?blind=true"):
        page.get_by_role("heading", name="Your answer").wait_for()
        assert page.locator("button[aria-pressed=true]").count() == 0
        page.keyboard.press("Enter")
        page.get_by_text("Give your own answer first.").wait_for()
        page.keyboard.press("1")
        page.keyboard.press("Enter")
        page.get_by_text("The llm said:").wait_for()


def test_the_page_follows_a_run(browser: Browser, tmp_path: Path) -> None:
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        with serving(root) as page_server:
            for page in watched(browser, page_server.address):
                page.get_by_text("not run").wait_for()
                command = [sys.executable, "-m", "enrich", "--project", str(root), "run"]
                done = subprocess.run(command, capture_output=True, text=True, check=True)
                assert "waiting up to" not in done.stderr
                page.locator(".pill", has_text="published").wait_for()


def test_an_export_opens_from_disk_without_any_request(
    browser: Browser, garden: tuple[Path, ViewServer], tmp_path: Path
) -> None:
    path = tmp_path / "site.html"
    path.write_text(render_export(garden[1].viewer, ExportBounds()), encoding="utf-8")
    for page in watched(browser, path.as_uri()):
        for route in (*ROUTES, "compare/kinds"):
            visit(page, route)
            assert page.locator(".trouble").count() == 0 or route == ""
            assert "pwned" not in page.title()
        visit(page, "model/kinds")
        page.get_by_label("Search in all columns").fill("note 1")
        page.get_by_text("1–11 of 11").wait_for()
        page.locator("table.rows tbody th a").first.click()
        page.get_by_role("heading", name="Raw answer").wait_for()


def test_a_million_rows_are_paged_and_searched(browser: Browser, tmp_path: Path) -> None:
    with Rehearsal() as server:
        root = plants(tmp_path, server)
        select = (
            "SELECT range AS id, 'plant ' || range AS name, range % 9 AS note FROM range(1000000)\n"
        )
        write(root, {"models/kinds.sql": select})
        with serving(root) as page_server:
            for page in watched(browser, f"{page_server.address}&to=/model/kinds"):
                page.get_by_text("1–100 of 1,000,000").wait_for()
                page.get_by_role("button", name="Last").click()
                page.get_by_text("999,901–1,000,000 of 1,000,000").wait_for()
                page.get_by_text("plant 999999", exact=True).wait_for()
                page.get_by_label("Search in all columns").fill("plant 77777")
                page.get_by_text("1–11 of 11").wait_for()
                page.get_by_label("Search in all columns").fill("")
                page.get_by_role("button", name="name", exact=True).click()
                page.get_by_text("1–100 of 1,000,000").wait_for()
                page.get_by_text("plant 100", exact=True).wait_for()


def test_a_notebook_shows_the_same_grid_in_a_sandbox(
    browser: Browser, garden: tuple[Path, ViewServer], tmp_path: Path
) -> None:
    project = opened(garden[0])
    frames = (
        project.view("kinds")._repr_html_()
        + project.sql("SELECT id, line FROM kinds ORDER BY id")._repr_html_()
    )
    path = tmp_path / "notebook.html"
    path.write_text(f"<title>mine</title><h1>A notebook</h1>{frames}", encoding="utf-8")
    for page in watched(browser, path.as_uri()):
        shown, rows = page.frames[1:]
        shown.locator("table.rows tbody th a").first.click()
        shown.get_by_role("heading", name="Raw answer").wait_for()
        rows.get_by_role("button", name="id", exact=True).click()
        rows.get_by_role("button", name="id ↑").click()
        rows.get_by_role("button", name="id ↓").wait_for()
        assert page.title() == "mine"
        for frame in (shown, rows):
            with pytest.raises(sync_api.Error, match="SecurityError"):
                frame.evaluate("parent.document.title")


CONTRAST = """
() => {
  const parse = (text) => (text.match(/[\\d.]+/g) || []).map(Number);
  const shine = ([r, g, b]) => [r, g, b].map((v) => v / 255)
    .map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, at) => sum + v * [0.2126, 0.7152, 0.0722][at], 0);
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const paint = (color) => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = color; canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const back = (node) => {
    for (let each = node; each; each = each.parentElement) {
      const color = paint(getComputedStyle(each).backgroundColor);
      if (color[3] > 250) return color;
    }
    return [255, 255, 255, 255];
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim() || !node.offsetParent) continue;
    if (node.closest("svg, script, style, :disabled")) continue;
    const pair = [shine(paint(getComputedStyle(node).color)), shine(back(node))];
    const [one, two] = pair.sort((a, b) => b - a);
    const ratio = (one + 0.05) / (two + 0.05);
    const text = node.textContent.slice(0, 30);
    if (ratio < 4.5) found.push([ratio.toFixed(2), node.tagName, node.className, text]);
  }
  return found;
}
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_screen_fits_and_can_be_read(
    browser: Browser, garden: tuple[Path, ViewServer], scheme: str
) -> None:
    """On a desk, on a small screen and on a phone: nothing is cut off, every text has a contrast of
    4.5, and the structure is the same."""
    for page in watched(browser, garden[1].address, color_scheme=scheme):
        for route in (*ROUTES, "compare/kinds"):
            visit(page, route)
            outlines = []
            for width in (1400, 800, 390):
                page.set_viewport_size({"width": width, "height": 900})
                assert page.evaluate("document.documentElement.scrollWidth") <= width, route
                assert page.evaluate(CONTRAST) == [], route
                outlines.append(outline_page(page))
            assert len(outlines[0]) > 8
            assert outlines == [outlines[0]] * 3, route


def outline_page(page: Page) -> list[str]:
    """The roles of everything on the page, with how deep each is, and the names of headings."""
    lines = page.locator("body").aria_snapshot().splitlines()
    return [line if "heading" in line else line.split('"')[0].rstrip(": ") for line in lines]


def test_everything_has_a_name_and_a_place_in_the_tab_order(page: Page) -> None:
    for route in (*ROUTES, "compare/kinds", "review/kinds"):
        visit(page, route)
        tree = page.locator("body").aria_snapshot()
        for role in ("button", "link", "combobox", "checkbox", "textbox", "img", "searchbox"):
            # A name follows the role, as in `button "Next"`.
            unnamed = [
                line for line in tree.splitlines() if line.strip() in (f"- {role}", f"- {role}:")
            ]
            assert unnamed == [], (route, role)
        assert page.locator("main h1").count() == 1
        assert page.locator("th:not([scope])").count() == 0
        controls = page.locator(
            "a[href]:visible, button:visible:enabled, select:visible, input:visible"
        ).count()
        seen = set()
        page.locator("main").focus()
        for _ in range(2 * controls + 5):
            page.keyboard.press("Tab")
            seen.add(
                page.evaluate(
                    "[...document.querySelectorAll('a[href], button, select, input')]"
                    ".indexOf(document.activeElement)"
                )
            )
        assert len(seen - {-1}) == controls, route
