"""What embeddings cost: reading them, searching them, finding near-duplicates, labeling films.

    uv run python benchmarks/embeddings.py [--rows 100000] [--imdb PATH] [--smollm2 FILMS]

    read             result lines of 384 numbers through enrich's own reader
    nearest          `enrich.nearest` for the ten best of all rows, the best of three times
    near-duplicates  the example project on vectors of which one in twenty is nearly another one
    films            with --imdb: the IMDb top 1,000 (Overview, Genre), embedded by the packaged
                     embedder in a project, and the nearest genre to each film, by the SQL of the
                     example project; it is right if the film has that genre

The vectors are made up: 200 subjects, a common direction, noise, and copies whose cosine similarity
is in the range of --similar; the threshold is 0.01 below it. With --smollm2, SmolLM2 is asked for
a genre of that many films as well.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb
import numpy as np

import enrich
from enrich.compiler.reader import render_lines
from enrich.manifest.scaffold import create_project

LINES, NUMBERS = 20_000, 384
DIMENSIONS = 256
COPIES = 20
"""One row in so many is a copy."""
CHUNK = 20_000
"""Rows that are handed to DuckDB at once."""

GENRES = {
    "Action": "Action: fights, chases, explosions and a hero who stops armed villains",
    "Adventure": "Adventure: a quest, a journey to distant lands, treasure and danger",
    "Animation": "Animation: a cartoon with toys, talking animals and magic creatures",
    "Biography": "Biography: the true life story of a famous person",
    "Comedy": "Comedy: funny people, jokes, misunderstandings and awkward situations",
    "Crime": "Crime: gangsters, robbers, the mafia, police and murder",
    "Drama": "Drama: family, grief, love, poverty and people who struggle with life",
    "Family": "Family: children, parents and pets, for all ages",
    "Fantasy": "Fantasy: wizards, magic, ghosts, fairy tales and mythical worlds",
    "Film-Noir": "Film noir: a private detective, a dangerous woman and betrayal",
    "History": "History: kings, revolutions and true events of the past",
    "Horror": "Horror: monsters, demons, haunted houses and bloody killers",
    "Music": "Music: musicians, bands, singers, pianists and concerts",
    "Musical": "Musical: songs and dances tell the story on a stage",
    "Mystery": "Mystery: an investigation of a disappearance, secrets and clues",
    "Romance": "Romance: a man and a woman fall in love, marriage, lovers",
    "Sci-Fi": "Science fiction: the future, space, robots, aliens and time travel",
    "Sport": "Sport: boxers, athletes, teams, coaches and a championship",
    "Thriller": "Thriller: suspense, a conspiracy, kidnapping and a race against time",
    "War": "War: soldiers, battles, Nazis, armies and prisoners",
    "Western": "Western: cowboys, outlaws, sheriffs and gunfighters",
}
FILMS = {
    "films": ("film_id, overview", "films_seed", "film_id", "{{ overview }}"),
    "genres": ("genre, description", "genres_seed", "genre", "{{ description }}"),
}
ASKED = f"""---
key: film_id
output: genre ENUM({", ".join(f"'{name}'" for name in GENRES)}) NOT NULL
params: {{temperature: 0, max_tokens: 30}}
---
You name the genre of a film from its story.

user:
{{{{ overview }}}}
"""
FOUND = """
SELECT avg(CAST(list_contains(split(genres, ', '), genre) AS INTEGER)), count(*)
FROM {table} JOIN films_seed USING (film_id)
"""


def show(name: str, figure: str, remark: str = "") -> None:
    """A line of the table."""
    print(f"{name:34}{figure:>12}  {remark}", flush=True)


def make_vectors(rows: int, similar: tuple[float, float]) -> np.ndarray:
    """Unit vectors, of which the last twentieth are copies of the first, each in its order."""
    dice = np.random.default_rng(7)
    copies = rows // COPIES
    plain = rows - copies
    subjects = dice.standard_normal((200, DIMENSIONS))[np.arange(plain) % 200]
    common = dice.standard_normal(DIMENSIONS)
    first = scale(dice.standard_normal((plain, DIMENSIONS)) + 0.7 * subjects + 0.7 * common)
    noise = dice.standard_normal((copies, DIMENSIONS))
    noise -= (noise * first[:copies]).sum(1, keepdims=True) * first[:copies]
    cosines = dice.uniform(*similar, (copies, 1))
    copied = cosines * first[:copies] + np.sqrt(1 - cosines**2) * scale(noise)
    return np.concatenate([first, copied]).astype(np.float32)


def scale(vectors: np.ndarray) -> np.ndarray:
    """The vectors with the length 1."""
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def store_vectors(warehouse: Path, vectors: np.ndarray) -> None:
    """The table that the example's embedding model would publish."""
    with duckdb.connect(str(warehouse)) as database:
        database.execute(
            f"CREATE TABLE notices_embeddings (notice_id INTEGER, embedding FLOAT[{DIMENSIONS}])"
        )
        for start in range(0, len(vectors), CHUNK):
            numbers = vectors[start : start + CHUNK].ravel()
            database.register("numbers", {"number": numbers, "at": np.arange(len(numbers))})
            database.execute(f"""
                INSERT INTO notices_embeddings
                SELECT {start} + "at" // {DIMENSIONS} AS row, list(number ORDER BY "at")
                FROM numbers GROUP BY row ORDER BY row
            """)
            database.unregister("numbers")


def measure_reading(folder: Path) -> None:
    """How many result lines enrich's reader reads in a second."""
    dice = np.random.default_rng(1)
    path = folder / "results.jsonl"
    with path.open("w", encoding="utf-8") as file:
        for n, vector in enumerate(dice.uniform(-0.1, 0.1, (LINES, NUMBERS)).round(8).tolist()):
            body = {
                "object": "list",
                "model": "text-embedding-3-small",
                "data": [{"object": "embedding", "index": 0, "embedding": vector}],
                "usage": {"prompt_tokens": 40, "total_tokens": 40},
            }
            response = {"status_code": 200, "request_id": f"r{n}", "body": body}
            line = {"id": f"b{n}", "custom_id": f"c{n}", "response": response, "error": None}
            file.write(json.dumps(line) + "\n")
    with duckdb.connect() as database:
        database.execute(
            "CREATE TEMP TABLE _enrich_result_files AS SELECT $1 AS filename, 'b' AS batch",
            [str(path)],
        )
        start = time.perf_counter()
        select = render_lines("/v1/embeddings", longest=2 << 20)
        database.execute(f"CREATE TEMP TABLE found AS {select}", {"files": [str(path)]})
        seconds = time.perf_counter() - start
        counted = database.execute("SELECT count(*), min(len(vector)) FROM found").fetchone()
    assert counted == (LINES, NUMBERS)
    size = path.stat().st_size / 1e6
    show(
        "read", f"{LINES / seconds:,.0f}", f"rows/s, {LINES:,} of {NUMBERS} numbers, {size:.0f} MB"
    )


def measure_recipe(folder: Path, rows: int, similar: tuple[float, float]) -> None:
    """Near-duplicates by the example project, and a search in the same table."""
    create_project(str(folder), recipe="near_duplicates")
    for path in (folder / "models").glob("notices_embeddings.*"):
        path.unlink()  # its table is there already
    store_vectors(folder / "warehouse.duckdb", make_vectors(rows, similar))
    project = enrich.Project(folder, variables={"threshold": round(similar[0] - 0.01, 4)})
    start = time.perf_counter()
    project.run("near_duplicates")
    paired = time.perf_counter()
    project.run("notices_groups")
    ended = time.perf_counter()
    copies = rows // COPIES
    with duckdb.connect(str(folder / "warehouse.duckdb"), read_only=True) as database:
        times = []
        for n in range(3):
            begun = time.perf_counter()
            vector = f"(SELECT embedding FROM notices_embeddings WHERE notice_id = {n})"
            database.execute(
                "SELECT notice_id, similarity "
                f"FROM enrich.nearest('notices_embeddings', 'embedding', {vector}, 10)"
            ).fetchall()
            times.append(time.perf_counter() - begun)
        counted = database.execute(
            f"SELECT count(*), count(*) FILTER (other_id = notice_id + {rows - copies}), "
            "(SELECT count(*) FROM notices_groups WHERE notice_id <> first_id) FROM near_duplicates"
        ).fetchone()
    assert counted
    found, right, grouped = counted
    of = f"{rows:,} of {DIMENSIONS} numbers"
    show("nearest", f"{min(times):.2f}", f"seconds, {of}")
    show("near-duplicates: recall", f"{right / copies:.4f}", f"of {copies:,} copies")
    show(
        "near-duplicates: precision", f"{right / found if found else 0:.4f}", f"of {found:,} pairs"
    )
    show("near-duplicates: pairs", f"{paired - start:.1f}", f"seconds, {of}")
    show("near-duplicates: groups", f"{ended - paired:.1f}", f"seconds, {grouped:,} are copies")


def make_films(folder: Path, imdb: Path, asked: int) -> None:
    """A project that labels films as the example labels messages."""
    create_project(str(folder), recipe="nearest_label")
    select = (folder / "models" / "messages_topics.sql").read_text(encoding="utf-8")
    for name in ("models", "seeds"):
        shutil.rmtree(folder / name)
        (folder / name).mkdir()
    with duckdb.connect() as database:
        database.execute(
            "COPY (SELECT row_number() OVER () AS film_id, Overview AS overview, Genre AS genres "
            "FROM read_csv($1, all_varchar = true))"
            f" TO '{folder / 'seeds' / 'films_seed.csv'}'",
            [str(imdb)],
        )
    lines = "".join(f'{genre},"{description}"\n' for genre, description in GENRES.items())
    texts = {"seeds/genres_seed.csv": f"genre,description\n{lines}"}
    for name, (columns, table, key, text) in FILMS.items():
        texts[f"models/{name}_embeddings.sql"] = f"SELECT {columns} FROM {table}\n"
        texts[f"models/{name}_embeddings.prompt.md"] = (
            f"---\nkey: {key}\nendpoint: /v1/embeddings\noutput: embedding FLOAT[256]\n"
            f"params: {{dimensions: 256}}\n---\n{text}\n"
        )
    for word, other in {"messages": "films", "message_id": "film_id", "topic": "genre"}.items():
        select = select.replace(word, other)
    texts["models/films_genres.sql"] = select
    if asked:
        films = f"SELECT film_id, overview FROM films_seed WHERE film_id <= {asked}\n"
        texts |= {"models/films_asked.sql": films, "models/films_asked.prompt.md": ASKED}
    for name, content in texts.items():
        (folder / name).write_text(content, encoding="utf-8")


def measure_films(folder: Path, imdb: Path, asked: int) -> None:
    """How long the films take to embed, and how often the nearest genre is one of the film's."""
    make_films(folder, imdb, asked)
    project = enrich.Project(folder)
    project.seed()
    start = time.perf_counter()
    project.run("films_embeddings", "genres_embeddings")
    embedded = time.perf_counter()
    project.run("films_genres")
    ended = time.perf_counter()
    ((right, films),) = project.sql(FOUND.format(table="films_genres")).rows
    show("films: embedded", f"{embedded - start:.1f}", f"seconds, {films:,} films, worker included")
    show("films: nearest genre", f"{ended - embedded:.1f}", f"seconds, {len(GENRES)} genres")
    show("films: right", f"{right:.3f}", "the nearest genre is one of the film's")
    ((sure, third),) = project.sql(
        FOUND.format(table=f"(FROM films_genres ORDER BY margin DESC LIMIT {films // 3})")
    ).rows
    show("films: right, widest margins", f"{sure:.3f}", f"the same, for a third ({third})")
    always = f"(SELECT film_id, unnest({list(GENRES)}) AS genre FROM films_seed)"
    by_chance, _ = project.sql(FOUND.format(table=always)).rows[0]
    show("films: by chance", f"{by_chance:.3f}", "the same, for a genre by chance")
    drama = "(SELECT film_id, 'Drama' AS genre FROM films_seed)"
    always_drama, _ = project.sql(FOUND.format(table=drama)).rows[0]
    show("films: always Drama", f"{always_drama:.3f}", "the same, for the most frequent genre")
    if asked:
        start = time.perf_counter()
        project.run("films_asked")
        seconds = time.perf_counter() - start
        ((right, films),) = project.sql(FOUND.format(table="films_asked")).rows
        show("films: SmolLM2", f"{seconds:.1f}", f"seconds, {films:,} films")
        show("films: SmolLM2 right", f"{right:.3f}", "its genre is one of the film's")
        same = "(FROM films_genres SEMI JOIN films_asked USING (film_id))"
        right, films = project.sql(FOUND.format(table=same)).rows[0]
        show("films: nearest, same films", f"{right:.3f}", f"of {films:,} films")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument(
        "--similar", type=float, nargs=2, default=(0.97, 0.99), metavar=("LOW", "HIGH")
    )
    parser.add_argument("--imdb", type=Path, help="imdb_top_1000.csv")
    parser.add_argument("--smollm2", type=int, default=0, metavar="FILMS", help="slow")
    given = parser.parse_args()
    with TemporaryDirectory() as name:
        folder = Path(name)
        measure_reading(folder)
        measure_recipe(folder / "duplicates", given.rows, tuple(given.similar))
        if given.imdb:
            measure_films(folder / "films", given.imdb, given.smollm2)


if __name__ == "__main__":
    main()
