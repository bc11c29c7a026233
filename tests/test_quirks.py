"""Quirks: what a server or an llm does not take is known before it is asked, or is asked once."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner
from folders import Ears, opened, plants, write

from enrich import cli
from enrich.errors import EnrichError, ModelError, ProviderError
from enrich.pipeline.remedy import find_remedy
from enrich.providers.needs import RequestNeeds
from enrich.providers.openai.presets import Preset
from enrich.providers.openai.quirks import list_llm_objections, list_preset_objections
from enrich.rehearsal import Quirks, Rehearsal

if TYPE_CHECKING:
    from pathlib import Path

CHAT = "POST /v1/chat/completions"
FRONT = """\
---
key: id
output: |
  kind ENUM('tree', 'shrub') NOT NULL  -- what it is
"""
BODY = """\
---
You know plants. Answer in JSON.

user:
{{ name }}: {{ coalesce(note, 'nothing') }}
"""


def garden(
    root: Path, server: Rehearsal, front: str = "", *, rows: int = 4, body: str = BODY, **more: Any
) -> Path:
    """A project of so many plants, with more lines of the prompt's settings, from line 5 on."""
    plants(root, server, **more)
    listed = "".join(f"{number},plant {number},\n" for number in range(rows))
    write(root, {"seeds/plants.csv": f"id,name,note\n{listed}"})
    (root / "models/kinds.prompt.md").write_text(FRONT + front + body)
    return root


@pytest.mark.parametrize(
    ("kind", "front", "body", "says", "hint"),
    [
        ("deepseek", "", BODY, "kinds.prompt.md: deepseek has no json_schema", "json_object"),
        (
            "lmstudio",
            "llm: x\nresponse_format: json_object\n",
            BODY,
            "kinds.prompt.md:6: lmstudio has no json_object",
            "response_format: json_schema",
        ),
        (
            "groq",
            "params:\n  temperature: 0\n  logprobs: true\n",
            BODY,
            "kinds.prompt.md:7: groq takes no `logprobs`",
            "remove it",
        ),
        (
            "mistral",
            "params: {seed: 7}\n",
            BODY,
            "kinds.prompt.md:5: mistral takes no `seed`",
            "rename it to `random_seed`",
        ),
    ],
    ids=["deepseek", "lmstudio", "groq", "mistral"],
)
def test_what_a_preset_does_not_have_is_refused_before_anything_is_sent(
    tmp_path: Path, kind: str, front: str, body: str, says: str, hint: str
) -> None:
    """By every command that would send it, with the line to change."""
    with Rehearsal() as server:
        root = garden(tmp_path, server, front, body=body, type=kind, llm="x")
        project = opened(root)
        for command in (project.plan, project.run, lambda: project.preview("kinds")):
            with pytest.raises(ModelError, match="kinds") as problem:
                command()
            assert says in problem.value.message
            assert hint in problem.value.hint
        (finding,) = (each for each in project.debug() if each.what == "model kinds")
        assert (finding.verdict, says in finding.detail) == ("fail", True)
        assert server.bill.total == 0
        assert server.uploads == []


def test_a_server_without_images() -> None:
    """Is known by its preset; so is what /v1/responses calls otherwise, by the endpoint."""
    needs = RequestNeeds(
        llm="x", endpoint="/v1/responses", response_format="text", images=True, params={}
    )
    (found,) = list_preset_objections("blind", Preset(images="no"), needs)
    assert (found.certain, found.what) == (True, "blind reads no images")
    (found,) = list_llm_objections(replace(needs, params={"max_tokens": 9}))
    assert (found.certain, found.hint) == (False, "rename it to `max_output_tokens`")


def test_what_a_preset_has_is_not_refused(tmp_path: Path) -> None:
    """Defaults ask for nothing; and `type: openai` with the same address is never refused."""
    front = "params: {n: 1, logprobs: false, top_p: 1}\n"
    with Rehearsal() as server:
        root = garden(tmp_path / "a", server, front, type="groq", llm="x")
        assert opened(root).run()[0].ok == 4
        root = garden(tmp_path / "b", server, "params: {seed: 7}\n", llm="x")
        assert opened(root).run()[0].ok == 4


def test_an_llm_must_be_named(tmp_path: Path) -> None:
    """Where the type has none: it is the project that says so, and not the server."""
    with Rehearsal(api="chat") as server:
        root = garden(tmp_path, server, type="vllm")
        with pytest.raises(ModelError, match="names no llm, and provider 'api'") as problem:
            opened(root).plan()
        assert "providers: api:" in problem.value.hint
        assert any(each.verdict == "fail" for each in opened(root).debug())
        garden(tmp_path, server, "llm: qwen3\n", type="vllm")
        assert opened(root).run()[0].ok == 4
        assert server.sends("GET /v1/models/") == 0


def test_reasoning_llms_are_known_by_name(tmp_path: Path) -> None:
    """Plans, previews and debug say what such an llm most likely refuses, and that it thinks."""
    front = "llm: o3\nparams: {temperature: 0, max_tokens: 90}\n"
    with Rehearsal() as server:
        root = garden(tmp_path, server, front)
        (plan,) = opened(root).plan()
        assert [note for note in plan.notes if "prompt.md:6: o3 most likely takes no" in note]
        assert [note for note in plan.notes if "`max_completion_tokens`" in note]
        assert [note for note in plan.notes if "thinks before it answers" in note]
        warned = [each for each in opened(root).debug() if each.verdict == "warn"]
        assert [each for each in warned if "`temperature`" in each.detail]
        ears = Ears()
        opened(root, ears).preview("kinds")
        assert [each for each in ears.said if "rename it to `max_completion_tokens`" in each]
        garden(tmp_path, server, "llm: gpt-4o\nparams: {temperature: 0, max_tokens: 90}\n")
        assert opened(root).plan()[0].notes == ()


O3_REFUSES = {"o3": ["max_tokens", "temperature"]}
RENAME = "models/kinds.prompt.md:8: rename `max_tokens` to `max_completion_tokens`"
O3 = "llm: o3\nparams:\n  temperature: 0\n  max_tokens: 90\n"


@pytest.mark.few(0)
def test_a_refused_parameter_costs_one_batch_and_no_retries(tmp_path: Path) -> None:
    """The first batch goes alone, each of its rows is asked once, and a hint names the line."""
    with Rehearsal(refuses=O3_REFUSES) as server:
        root = garden(tmp_path, server, O3, rows=12, max_requests=6)
        base = ["--project", str(root)]
        done = CliRunner().invoke(cli.main, [*base, "run"])
        assert done.exit_code == 3
        assert f"hint: {RENAME}" in done.stderr
        assert len(server.batches) == 1
        assert opened(root).sql("SELECT count(*) FROM ledger.responses").rows == ((6,),)
        (state,) = opened(root).status()
        assert "Unsupported parameter: 'max_tokens'" in state.stopped
        assert state.hint == RENAME
        assert server.bill.total == 0
        # The same rows are asked again once it is fixed, and the hint is gone.
        write(root, {"models/kinds.prompt.md": FRONT + "llm: o3\n" + BODY})
        assert [(s.ok, s.hint) for s in opened(root).run()] == [(12, "")]


def test_one_refusal_is_enough(tmp_path: Path) -> None:
    """Even of a single row: it is not asked again, in a batch or through chat."""
    for api in ("batch", "chat"):
        with Rehearsal(refuses=O3_REFUSES) as server:
            root = garden(tmp_path / api, server, O3, rows=1, api=api)
            (state,) = opened(root).run()
            assert state.hint == RENAME
            assert opened(root).sql("SELECT count(*) FROM ledger.responses").rows == ((1,),)


def test_a_refused_parameter_costs_a_chat_server_the_first_rows(tmp_path: Path) -> None:
    """And a preview nothing but its rows."""
    with Rehearsal(api="chat", refuses=O3_REFUSES) as server:
        root = garden(tmp_path, server, O3, rows=200)
        with pytest.raises(ProviderError, match="max_tokens") as problem:
            opened(root).preview("kinds", limit=3)
        assert problem.value.hint == RENAME
        asked = server.sends(CHAT)
        assert asked == 3
        (state,) = opened(root).run()
        assert 20 <= server.sends(CHAT) - asked < 60
        assert state.hint == RENAME


@pytest.mark.parametrize(
    ("words", "remedy"),
    [
        (
            "Unsupported value: 'temperature' does not support 0 with this model. "
            "Only the default (1) value is supported.",
            "p.md:6: remove `temperature`",
        ),
        ("Unsupported parameter: 'top_p' is not supported with this model.", "project.yml:3: "),
        ("Unsupported parameter: 'stop' is not supported with this model.", "p.md:7: remove"),
        ("Unrecognized request argument supplied: reasoning_effort", "p.md:8: remove"),
        (
            "Unsupported value: 'reasoning_effort' does not support 'none' with this model. "
            "Supported values are: 'minimal', 'low', 'medium', and 'high'.",
            "p.md:8: set `reasoning_effort` to one of 'minimal', 'low', 'medium', and 'high'",
        ),
        ('Invalid JSON payload received. Unknown name "seed": Cannot find field.', "p.md:9: "),
        (
            "Invalid parameter: 'response_format' of type 'json_schema' is not supported",
            "p.md: try response_format: json_object",
        ),
        ("This response_format type is unavailable now", "p.md: try response_format: json_object"),
        ("'response_format.type' must be 'text'", "p.md: try response_format: json_object"),
        ("Unknown parameter: 'service_tier'.", "project.yml:2: remove `service_tier`"),
        (
            "Unsupported parameter: 'reasoning_effort'. In the Responses API, this parameter has "
            "moved to 'reasoning.effort'.",
            "p.md:8: rename `reasoning_effort` to `reasoning.effort`",
        ),
        ("unknown variant `image_url`, expected `text`", "p.md:15: take an llm that reads images"),
        ("No endpoints found that support image input", "p.md:15: take an llm that reads images"),
        ("You uploaded an unsupported image. Please make sure your image is valid.", ""),
        ("Rate limit reached. Please try again.", ""),
        ("maximum context length is 8192 tokens", ""),
        ("The temperature of the server room is high", ""),
    ],
    ids=str,
)
def test_a_refusal_names_the_line_to_change(tmp_path: Path, words: str, remedy: str) -> None:
    """In the words of different servers; what is about something else has no remedy."""
    front = (
        "params:\n  temperature: 0\n  stop: x\n  reasoning_effort: none\n  seed: 7\n"
        "  max_tokens: 90\n"
    )
    body = "---\nsystem:\nHello.\nuser:\n![]({{ name }})\n"
    with Rehearsal() as server:
        root = garden(tmp_path, server, front, body=body)
    project = root / "project.yml"
    project.write_text(
        "provider: api\nproviders: {api: {service_tier: flex}}\nparams: {top_p: 0}\n"
    )
    opening = opened(root)
    prompt = opening.models["kinds"].own_prompt
    found = find_remedy(words, prompt, opening.config, provider="api:now")
    found = found.replace("models/kinds.prompt.md", "p.md")
    assert found.startswith(remedy)
    assert bool(found) == bool(remedy)


@pytest.mark.few(0)
def test_siblings_of_a_refused_parameter(tmp_path: Path) -> None:
    """A schema, a picture, an effort: in a preview, and in what a run ends with."""
    png = (
        "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk"
        "+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
    )
    pictured = f"---\nYou know plants.\n\nuser:\n{{{{ name }}}}\n![]({png})\n"
    cases = {
        "json_schema": ("", BODY, "models/kinds.prompt.md: try response_format: json_object"),
        "image": ("", pictured, "models/kinds.prompt.md:10: take an llm that reads images"),
        "reasoning_effort": ("params: {reasoning_effort: low}\n", BODY, "prompt.md:5: remove"),
    }
    for part, (front, body, hint) in cases.items():
        with Rehearsal(refuses={"": [part]}) as server:
            root = garden(tmp_path / part, server, front, body=body)
            with pytest.raises(ProviderError) as problem:
                opened(root).preview("kinds")
            assert hint in problem.value.hint
            (state,) = opened(root).run()
            assert hint in state.hint
            assert state.ok == 0


def test_estimates_include_reasoning(tmp_path: Path) -> None:
    """What answers took to think is expected of the others, and plans say how much it is."""
    with Rehearsal(quirks=Quirks(thoughts=700)) as server:
        root = garden(tmp_path, server, "llm: o3\n", rows=40)
        assert opened(root).plan()[0].estimate.output.likely < 40 * 100  # type: ignore[union-attr]
        opened(root).preview("kinds", limit=5)
        (plan,) = opened(root).plan()
        assert plan.estimate is not None
        assert plan.estimate.reasoning == 35 * 700
        assert plan.estimate.output.likely > 35 * 700
        assert plan.notes == ()
        shown = CliRunner().invoke(cli.main, ["--project", str(root), "plan"]).stdout
        assert "24,500 to think" in shown
        costs = (plan.estimate.usd or 0) * 1e6
        assert costs > 35 * 700 * 8 / 2  # the price of a batch, by million tokens


@pytest.mark.few(0)
def test_a_service_tier_goes_with_what_is_answered_now(tmp_path: Path) -> None:
    """At its price; a batch goes without it, and is told so. The tier is no part of what is asked,
    and a busy tier is waited for."""
    with Rehearsal() as server:
        root = garden(tmp_path, server, "llm: o3\n", rows=6, service_tier="flex", api="batch")
        (in_batch,), (now,) = opened(root).plan(), opened(root).plan(provider=":now")
        assert in_batch.estimate and now.estimate and in_batch.price and now.price
        assert now.price.output == in_batch.price.output == 4.0
        assert "service tier flex" in now.price.source
        assert [each for each in in_batch.notes if "no effect in a batch" in each]
        assert not [each for each in now.notes if "no effect" in each]
        opened(root).preview("kinds", limit=2)
        busy = {"error": {"message": "Resource unavailable", "code": "resource_unavailable"}}
        server.script(CHAT, [(429, busy)] * 3)
        (state,) = opened(root).run(provider=":now")
        assert state.ok == 6
        assert opened(root).sql("SELECT max(attempt) FROM ledger.responses").rows == ((1,),)
        assert server.bill.tiers == {"flex": 6}
        write(root, {"project.yml": (root / "project.yml").read_text().replace("flex", "default")})
        assert opened(root).plan()[0].requests == 0


def test_a_tier_that_a_server_does_not_have(tmp_path: Path) -> None:
    """Is refused by what is known of it or, in one sentence, by what it says."""
    with Rehearsal(refuses={"": ["service_tier"]}) as server:
        root = garden(tmp_path, server, "llm: x\n", type="deepseek", service_tier="flex")
        with pytest.raises(EnrichError, match="deepseek has no tiers"):
            opened(root).plan()
        garden(root, server, "llm: x\nparams: {service_tier: flex}\n")
        (note,) = opened(root).plan()[0].notes
        assert "kinds.prompt.md:6" in note
        assert "providers: api:" in note
        garden(root, server, "llm: x\n", service_tier="flex", api="chat")
        (state,) = opened(root).run()
        assert state.hint.startswith("project.yml:1: remove `service_tier`")


PICTURED = "---\nYou know plants.\n\nuser:\n{{ name }}\n![]({{ name }})\n"


@pytest.mark.few(0)
def test_debug_asks_a_tiny_question_of_each_kind(tmp_path: Path) -> None:
    """Those that the models need; it says before what they cost, and nothing of it is a row."""
    with Rehearsal(refuses={"gpt-4o": ["json_schema"]}) as server:
        root = garden(tmp_path, server, "params: {temperature: 0}\n")
        base = ["--project", str(root), "debug"]
        done = CliRunner().invoke(cli.main, [*base, "--ask"])
        assert done.exit_code == 0, done.stdout
        assert "asking gpt-4o-mini (api) 3 tiny requests, for about $0.0000" in done.stderr
        for kind in ("text", "schema", "length"):
            assert f"{kind}: works" in done.stdout
        assert server.bill.total == 3
        for model, front, body in (
            ("seen", "llm: gpt-4o\nendpoint: /v1/responses\n", PICTURED),
            ("modes", "response_format: json_object\n", BODY),
        ):
            text = FRONT + front + body
            write(root, {f"models/{model}.sql": "SELECT id, name, note FROM plants\n"})
            (root / f"models/{model}.prompt.md").write_text(text)
        asked = [each for each in opened(root).debug(ask=True) if each.what.startswith("ask ")]
        assert [(each.what, each.detail.partition(":")[0]) for each in asked] == [
            *(("ask gpt-4o", kind) for kind in ("text", "schema", "image", "length")),
            *(("ask gpt-4o-mini", kind) for kind in ("text", "schema", "JSON mode", "length")),
        ]
        assert [each.verdict for each in asked] == ["ok"] * 3 + ["warn"] + ["ok"] * 4
        assert "low `max_output_tokens` it ended with 'completed'" in asked[3].detail
        (root / "models/seen.prompt.md").write_text(FRONT + "llm: gpt-4o\n" + PICTURED)
        found = {each.detail: each for each in opened(root).debug(ask=True)}
        (refused,) = (each for each in found.values() if "schema: refused" in each.detail)
        assert refused.verdict == "fail"
        assert "models/seen.prompt.md: try response_format: json_object" in refused.hint
        assert CliRunner().invoke(cli.main, base).exit_code == 0
        for table in ("responses", "requests", "batches"):
            query = f"SELECT count(*) FROM ledger.{table}"
            assert opened(root).sql(query).rows == ((0,),)


def test_debug_says_which_api_it_found(tmp_path: Path) -> None:
    """And the type, the address, and why."""
    for api, words in (("batch", "lists batches"), ("chat", "has no list of batches")):
        with Rehearsal(api=api) as server:
            root = garden(tmp_path / api, server)
            details = [each.detail for each in opened(root).debug() if each.what == "provider api"]
            url = server.base_url
            assert f"type openai at {url}, api {api}: the server was asked, and {words}" in details
            garden(root, server, "llm: x\n", type="vllm")
            details = [each.detail for each in opened(root).debug() if each.what == "provider api"]
            said = f"type vllm at {url}, api chat, as its type or its settings say"
            assert said in details
            assert server.sends("GET /v1/batches") == 1
