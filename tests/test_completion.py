"""Completion: a shell asks the real program, and hears names and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from folders import write

from enrich.cli import completing

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the shells are those of POSIX")
PROGRAM = Path(sys.executable).parent / "enrich"
FILES = {
    "reviews/movie_moods.jsonl": "",
    "project.yml": """
        provider: local
        providers: {local: {}, openai: {llm: gpt-4o}, other: {type: openai}}
        vars: {year: 1990, audience: all}
        sources: {prices: prices.csv}
    """,
    "seeds/films.csv": "id,title\n1,Alien\n",
    "seeds/films_labels.csv": "id,mood\n1,dark\n",
    "models/movies.sql": "-- tags: nightly, plain\nSELECT 1 AS id",
    "models/deep/movie_moods.sql": "SELECT id FROM movies",
    "models/deep/movie_moods.prompt.md": """
        ---
        key: id
        output: mood VARCHAR
        tags: [films]
        ---
        user:
        {{ id }}
    """,
    "models/broken.sql": "SELEC",
    "models/unread.sql": "SELECT 1 AS id",
    "models/unread.prompt.md": "---\ntags: [a: b\n---\n",
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project in which two models cannot be read."""
    write(tmp_path, FILES)
    return tmp_path


def asked(root: Path, *words: str, shell: str = "bash") -> subprocess.CompletedProcess[str]:
    """What the program answers to a shell whose last word is being typed."""
    there = {
        **{name: value for name, value in os.environ.items() if name != "ENRICH_PROJECT"},
        "_ENRICH_COMPLETE": f"{shell}_complete",
        "COMP_WORDS": " ".join(["enrich", *words]),
        "COMP_CWORD": words[-1] if shell == "fish" else str(len(words)),
    }
    return subprocess.run(
        [PROGRAM], cwd=root, env=there, capture_output=True, text=True, check=False, timeout=120
    )


def completed(root: Path, *words: str) -> list[str]:
    """The words that bash would offer; nothing else may be said."""
    found = asked(root, *words)
    assert found.stderr == ""
    return [line.partition(",")[2] for line in found.stdout.split()]


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("run mov", ["movie_moods", "movies"]),
        ("run MOVIES", ["movies"]),
        ("run +movie_", ["+movie_moods"]),
        ("run 2+movie_", ["2+movie_moods"]),
        ("run movies,mov", ["movies,movie_moods", "movies,movies"]),
        ("run tag:", ["tag:films", "tag:nightly", "tag:plain"]),
        ("run +tag:f", ["+tag:films"]),
        ("run ta", ["tag:films", "tag:nightly", "tag:plain"]),
        ("run bro", ["broken"]),
        ("run none", []),
        ("build movie_", ["movie_moods"]),
        ("run -s movie_", ["movie_moods"]),
        ("list --exclude movie_", ["movie_moods"]),
        ("compile movie_", ["movie_moods"]),
        ("preview mov", ["movie_moods"]),
        ("run --provider o", ["openai", "other"]),
        ("failures movie_moods --provider l", ["local"]),
        ("plan --var ye", ["year="]),
        ("seed films_", ["films_labels"]),
        ("evaluate movie_moods --labels film", ["films", "films_labels"]),
        ("evaluate movie_moods --labels pri", ["prices"]),
        ("evaluate movie_moods --labels movie_", ["movie_moods", "movie_moods_review"]),
        ("review mov", ["movie_moods"]),
        ("rehearse --fault http_5", ["http_500=0.1"]),
        ("cost --by d", ["day"]),
        ("eval", ["evaluate"]),
    ],
)
def test_a_word_is_completed(root: Path, words: str, offered: list[str]) -> None:
    """Names of models, tags, providers, variables, seeds, tables and faults."""
    assert completed(root, *words.split()) == offered


@pytest.mark.parametrize("words", [["run", "tag", ":", "fi"], ["run", "-s", "tag", ":", "fi"]])
def test_bash_takes_a_tag_for_three_words(root: Path, words: list[str]) -> None:
    """The shell has `tag:` already: what is missing is the word after it."""
    assert completed(root, *words) == ["films"]


def test_bash_asks_after_the_colon(root: Path) -> None:
    """With nothing behind it, the colon itself is the word."""
    assert completed(root, "run", "tag", ":") == ["films", "nightly", "plain"]


def test_the_project_may_be_elsewhere(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """`--project` is heeded, and a folder is looked for by the shell."""
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    assert completed(elsewhere, "--project", str(root), "run", "movie_") == ["movie_moods"]
    assert completed(elsewhere, "run", "movie_") == []
    assert asked(elsewhere, "--project", "some").stdout == "dir,some\n"
    assert asked(elsewhere, "init", "some").stdout == "dir,some\n"


@pytest.mark.parametrize("text", ["provder: x\n", "a: [b\n", "\xff", "models: [1]\n"])
def test_a_broken_project_completes_nothing(root: Path, text: str) -> None:
    """And says nothing: a person is in the middle of a line."""
    (root / "project.yml").write_bytes(text.encode("latin-1"))
    found = asked(root, "run", "mov")
    assert (found.stdout.strip(), found.stderr) == ("", "")


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_are_answered(root: Path, shell: str) -> None:
    """Each in its own form."""
    found = asked(root, "run", "movie_", shell=shell)
    assert "movie_moods" in found.stdout
    assert found.stderr == ""


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_reference_shows_how_to_switch_it_on(shell: str) -> None:
    """The variable is the one that the program listens to."""
    docs = Path(__file__).parent.parent / "docs"
    pages = (page.read_text(encoding="utf-8") for page in docs.rglob("*.md"))
    assert any(f"_ENRICH_COMPLETE={shell}_source enrich" in page for page in pages)
    there = {**os.environ, "_ENRICH_COMPLETE": f"{shell}_source"}
    found = subprocess.run([PROGRAM], env=there, capture_output=True, text=True, check=False)
    assert "_ENRICH_COMPLETE" in found.stdout


def test_nothing_is_made_or_opened(root: Path) -> None:
    """Completing leaves the folder as it is, and imports no database."""
    before = sorted(root.rglob("*"))
    completed(root, "run", "tag:")
    assert sorted(root.rglob("*")) == before
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "from enrich.manifest import names\n"
        "from enrich.manifest.config import Config\n"
        "config = Config.from_folder(Path('.'))\n"
        "assert names.list_models(config) and names.list_tags(config)\n"
        "print([name for name in ('duckdb', 'sqlglot', 'openai', 'rich') if name in sys.modules])\n"
    )
    found = subprocess.run(
        [sys.executable, "-c", script], cwd=root, capture_output=True, text=True, check=True
    )
    assert found.stdout == "[]\n"


def test_whatever_fails_completes_nothing() -> None:
    """Also what nobody has thought of."""
    import click

    @completing.silence_errors
    def failing(_: click.Context, __: str) -> list[str]:
        """It never gives a name."""
        raise RecursionError

    command = click.Command("run")
    assert failing(click.Context(command), click.Option(["--x"]), "") == []
