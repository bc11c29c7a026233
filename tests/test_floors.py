"""Floors: imports go down only, as ARCHITECTURE.md draws them."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "enrich"
FLOOR = re.compile(r"^ {4,5}(\d+) {2,}(\S.*?)$", re.MULTILINE)


def floors() -> dict[str, int]:
    """Each room's floor, from the drawing in ARCHITECTURE.md."""
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    drawing = text.split("## Floors", 1)[1].split("\n## ", 1)[0]
    known: dict[str, int] = {}
    for number, words in FLOOR.findall(drawing):
        for name in words.split("  ")[0].split():
            known[name] = int(number)
    return known


def modules() -> dict[str, Path]:
    """Every module by its short name: `cli`, `compiler.body`, `compiler` for a package itself."""
    found = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts) or "__init__"
        found[name] = path
    return found


def room(module: str) -> str:
    return module.partition(".")[0]


def imports(name: str, path: Path, known: dict[str, Path]) -> set[str]:
    """The modules of enrich that a module names, also those it needs for types alone."""
    needed = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.ImportFrom) or not node.module:
            continue
        if node.module.split(".")[0] != "enrich":
            continue
        base = node.module.removeprefix("enrich").lstrip(".")
        for alias in node.names:
            full = f"{base}.{alias.name}".lstrip(".")
            needed.add(full if full in known else base or "__init__")
    return needed - {name}


def test_every_room_stands_on_a_floor() -> None:
    """The drawing names every room, and none that is gone; there are at most fourteen."""
    rooms = {room(name) for name in modules()} - {"__init__", "__main__", "rehearsal"}
    assert rooms == set(floors())
    assert len(rooms) <= 14


def test_imports_go_down() -> None:
    """No room needs one on its own floor or above."""
    known, on = modules(), floors()
    up = [
        f"{name} -> {needed}"
        for name, path in known.items()
        if room(name) in on
        for needed in sorted(imports(name, path, known))
        if room(needed) in on and room(needed) != room(name) and on[room(needed)] >= on[room(name)]
    ]
    assert up == []


def test_no_two_modules_need_each_other() -> None:
    """Not even for types, nor by way of others: what can be taken out alone can be read alone."""
    known = modules()
    edges = {name: imports(name, path, known) for name, path in known.items()}
    while leaves := {name for name, needed in edges.items() if not needed & edges.keys()}:
        edges = {name: needed - leaves for name, needed in edges.items() if name not in leaves}
    assert sorted(edges) == []


def test_the_rehearsal_knows_nothing_of_the_rest() -> None:
    """The server that plays the provider shares no code with what it tests, but the errors."""
    known = modules()
    for name, path in known.items():
        if name.startswith("rehearsal"):
            needed = {word.split(".")[0] for word in imports(name, path, known)}
            assert needed <= {"rehearsal", "errors"}, name


def test_help_is_quick() -> None:
    """`enrich --help` imports neither openai nor duckdb nor sqlglot."""
    code = (
        "import sys; sys.argv = ['enrich', '--help']\n"
        "from enrich.__main__ import run_cli\n"
        "try: run_cli()\nexcept SystemExit: pass\n"
        "slow = {'openai', 'duckdb', 'sqlglot', 'yaml', 'rich', 'httpx2'} & set(sys.modules)\n"
        "sys.exit(f'imported: {slow}' if slow else 0)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stderr) == (0, "")
    assert "Usage: " in run.stdout


def test_sql_files_are_used() -> None:
    """Each constant statement is run by its name somewhere, and no name is missing."""
    text = "".join(path.read_text(encoding="utf-8") for path in modules().values())
    used = set(re.findall(r'(?:call|statement)\(\s*f?"([\w{}]+)"', text))
    used |= {f"withdraw_{table}" for table in ("requests", "batches")} - {"withdraw_{table}"}
    used |= {"warehouse"}  # it is run when the file of its name is attached
    there = {path.stem for path in (PACKAGE / "db" / "sql").glob("*.sql")}
    assert there == used - {"withdraw_{table}"}


def test_every_type_that_a_public_method_returns_is_public() -> None:
    """`dir(enrich)` shows it, and it says what it is."""
    import enrich

    tree = ast.parse((PACKAGE / "project.py").read_text(encoding="utf-8"))
    (project,) = (n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == "Project")
    methods = [n for n in project.body if isinstance(n, ast.FunctionDef) and n.name[0] != "_"]
    named = {
        name.id
        for method in methods
        for name in ast.walk(method.returns or ast.Constant(None))
        if isinstance(name, ast.Name) and name.id[0].isupper()
    } - {"Any", "Path", "Mapping", "Iterator", "Graph", "Flow", "Provider"}
    assert named <= set(dir(enrich))
    assert set(enrich.__all__) <= set(dir(enrich))
    for name in enrich.__all__:
        assert (getattr(enrich, name).__doc__ or "").strip(), name


def test_each_temporary_table_is_declared_once() -> None:
    """One statement gives it its columns; it is named as ARCHITECTURE.md lists it, and no table of
    the user's can be called so."""
    sources = [*PACKAGE.rglob("*.py"), *PACKAGE.rglob("*.sql")]
    text = "".join(path.read_text(encoding="utf-8") for path in sources)
    made = re.findall(r"CREATE (?:OR REPLACE )?TEMP (?:TABLE|VIEW|\{kind\}) ([\w{}.()]+)", text)
    made.remove("{quote_name(name)}")  # a plain model, seen by one connection as its view
    made.remove("{table}")
    made += ["_enrich_snapshot", "_enrich_earlier"]  # by that one statement
    made.remove("_enrich_{side}")
    made += ["_enrich_was", "_enrich_now"]  # by that one
    made.remove("_enrich_version_{side}")
    made += ["_enrich_version_was", "_enrich_version_now"]  # and by that
    assert len(made) == len(set(made))
    assert set(re.findall(r"temp\.(\w+)", text)) <= {
        *made,
        "_enrich_",
        "_enrich_SIDE",
        "_enrich_version_SIDE",
    }
    listed = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    listed = listed.split("## Temporary tables", 1)[1].split("\n## ", 1)[0]
    assert set(re.findall(r"`(_enrich_\w+)`", listed)) == set(made)


def test_the_walks_name_functions_that_are_there() -> None:
    """Each step of ARCHITECTURE.md's two walks names its file and function; a dozen at most."""
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    for walk in ("## The walk of a row", "## The walk of a batch"):
        steps = text.split(walk, 1)[1].split("\n## ", 1)[0]
        assert 5 < len(re.findall(r"^\d+\. ", steps, re.MULTILINE)) <= 12
        named = re.findall(r"`([\w/]+\.py): (\w+)`", steps)
        assert len(named) > 5
        for file, function in named:
            source = (PACKAGE / file).read_text(encoding="utf-8")
            assert re.search(rf"def {function}\(", source), f"{file}: {function}"


def test_a_name_means_one_thing() -> None:
    """Hardly any public function, class or constant is called like one of another module."""
    homes: dict[str, set[str]] = {}
    for module, path in modules().items():
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            names: list[str] = []
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                names = [node.name]
            elif isinstance(node, ast.Assign):
                names = [each.id for each in node.targets if isinstance(each, ast.Name)]
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                names = [node.target.id]
            for name in names:
                if not name.startswith("_"):
                    homes.setdefault(name, set()).add(module)
    shared = {name: sorted(found) for name, found in homes.items() if len(found) > 1}
    assert len(shared) <= 10, shared
    for found in shared.values():  # and never in one package
        assert len({module.rpartition(".")[0] for module in found}) == len(found), shared
