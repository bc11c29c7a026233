"""How fast the local provider is, and what its slots and shared prefix are worth.

    uv run python benchmarks/local_engine.py --rows 40

The same llm (SmolLM2) answers movie rows under one system prompt, two examples and a JSON Schema:

    one by one    1 slot, nothing of the prompt is kept between rows
    batch         4 slots, the beginning that rows share is read once
    batch, busy   the same while another process keeps one core busy

Every time is that of a whole batch, from `submit` to its end, with the start of the worker.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice, product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from enrich.providers.local import CHAT_ENDPOINT, LocalProvider

if TYPE_CHECKING:
    from collections.abc import Iterator

SYSTEM = """\
Your goal is to extract movie categories from movie descriptions, and a summary of one sentence.
You will be provided with a movie description, and you will output a JSON object with these fields:
- categories: one to four of action, adventure, animation, biography, comedy, crime, drama, family,
fantasy, history, horror, music, mystery, romance, sci-fi, sport, thriller, war, western; the most
fitting one first, and none of them twice.
- summary: one sentence of at most twenty words, in the present tense, without the title.
Answer with the JSON object alone, and invent nothing that the description does not say."""

_, _, _LISTED = SYSTEM.partition("one to four of ")
CATEGORIES = _LISTED.partition(";")[0].replace("\n", " ").split(", ")

EXAMPLES = (
    (
        "Title: The Last Heist\nA crew of professional thieves feels the heat of the city police "
        "when it leaves a clue at its latest heist without knowing.",
        {
            "categories": ["crime", "drama", "thriller"],
            "summary": "Professional thieves are hunted by the police after they leave a clue.",
        },
    ),
    (
        "Title: Toys at Night\nA cowboy doll is threatened and jealous when a new spaceman takes "
        "his place as the favourite toy in a boy's room.",
        {
            "categories": ["animation", "family", "comedy"],
            "summary": "A cowboy doll grows jealous of the spaceman who becomes a boy's favourite.",
        },
    ),
)

SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "required": ["categories", "summary"],
    "properties": {
        "categories": {
            "type": "array",
            "minItems": 1,
            "maxItems": 4,
            "items": {"type": "string", "enum": CATEGORIES},
        },
        "summary": {"type": "string", "maxLength": 240},
    },
}

PEOPLE = (
    "A retired detective",
    "A young pianist",
    "The captain of a freighter",
    "A widowed farmer",
)
DEEDS = (
    "returns to the town of her childhood to find out who set fire to the old theatre",
    "has three days to bring a stranger's letter through a country at war",
    "discovers that the lighthouse on the island signals to somebody who is not human",
    "falls for the one person whom the family has sworn never to forgive",
)
TWISTS = (
    "but nobody there remembers the night in question, and somebody wants it to stay like that.",
    "while a winter storm closes the last road and old friends turn out to be enemies.",
    "until a child's drawing shows that the past was quite different from what was told.",
    "and has to choose between the truth and the only home that is left.",
)


@dataclass(frozen=True, kw_only=True)
class Result:
    rows: int
    seconds: float
    good: int
    tokens: float
    cached: float

    @property
    def speed(self) -> float:
        return self.rows / self.seconds


def rows(number: int) -> Iterator[str]:
    """Made-up movies, all different as long as there are no more than 64."""
    made = product(TWISTS, DEEDS, PEOPLE)
    for index, (twist, deed, who) in enumerate(islice(made, number)):
        yield f"Title: Story {index}\n{who} {deed}, {twist}"


def request(index: int, row: str, extra: dict[str, object]) -> dict[str, Any]:
    messages = [{"role": "system", "content": SYSTEM}]
    for question, reply in EXAMPLES:
        messages.append({"role": "user", "content": question})
        text = json.dumps(reply, separators=(",", ":"))
        messages.append({"role": "assistant", "content": text})
    messages.append({"role": "user", "content": row})
    schema = {"name": "movie", "strict": True, "schema": SCHEMA}
    form = {"type": "json_schema", "json_schema": schema}
    body = {"messages": messages, "max_tokens": 120, "response_format": form, **extra}
    return {"custom_id": f"row-{index}", "method": "POST", "url": CHAT_ENDPOINT, "body": body}


def measure(number: int, *, slots: int, **extra: object) -> Result:
    """One batch, from submit to its end."""
    with TemporaryDirectory() as place:
        lines = [request(index, row, extra) for index, row in enumerate(rows(number))]
        file = Path(place) / "requests.jsonl"
        file.write_text("".join(json.dumps(line) + "\n" for line in lines))
        local = LocalProvider(name="local", root=Path(place) / "local", slots=slots)
        begin = time.monotonic()
        batch = local.submit(local.upload(file), endpoint=CHAT_ENDPOINT, metadata={})
        while not batch.ended:
            time.sleep(0.1)
            batch = local.poll(batch.id)
        seconds = time.monotonic() - begin
        local.fetch(batch.files[0], Path(place) / "out.jsonl")
        answers = [json.loads(line) for line in (Path(place) / "out.jsonl").open()]
    return result(seconds, [answer["response"]["body"] for answer in answers])


def result(seconds: float, bodies: list[dict[str, Any]]) -> Result:
    usage = [body["usage"] for body in bodies]
    prompt = sum(use["prompt_tokens"] for use in usage)
    cached = sum(use["prompt_tokens_details"]["cached_tokens"] for use in usage)
    return Result(
        rows=len(bodies),
        seconds=seconds,
        good=sum(body["choices"][0]["finish_reason"] == "stop" for body in bodies),
        tokens=sum(use["completion_tokens"] for use in usage) / len(bodies),
        cached=cached / prompt,
    )


@contextmanager
def busy_core() -> Iterator[None]:
    """Another process that computes without end."""
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as spinner:
        try:
            yield
        finally:
            spinner.kill()


def say(name: str, it: Result, than: Result | None = None) -> None:
    ratio = f"{it.speed / than.speed:5.2f} x" if than else ""
    sys.stdout.write(
        f"{name:14}{it.rows:6}{it.seconds:9.1f}{it.speed:9.2f}{it.tokens:9.0f}"
        f"{it.cached:9.0%}{it.good:6}/{it.rows}   {ratio}\n"
    )
    sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=40, help="rows of a batch")
    parser.add_argument("--slow-rows", type=int, default=10, help="rows asked one by one")
    parser.add_argument("--slots", type=int, default=4)
    options = parser.parse_args()
    sys.stdout.write(
        f"{'':14}{'rows':>6}{'seconds':>9}{'rows/s':>9}{'tokens':>9}{'cached':>9}{'whole':>9}\n"
    )
    slow = measure(options.slow_rows, slots=1, cache_prompt=False)
    say("one by one", slow)
    quick = measure(options.rows, slots=options.slots)
    say("batch", quick, slow)
    with busy_core():
        say("batch, busy", measure(options.rows, slots=options.slots), quick)


if __name__ == "__main__":
    main()
