"""Sample: answer a few rows now, for `enrich preview` and `enrich compare`."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from enrich.errors import ProviderError
from enrich.pipeline.backup import back_up
from enrich.pipeline.compare import Comparison, compare_answers
from enrich.pipeline.fitness import list_doubts
from enrich.pipeline.lock import hold_project
from enrich.pipeline.preview import Preview, preview_rows, settle_previews
from enrich.pipeline.remedy import find_remedy
from enrich.pipeline.seed import load_seeds
from enrich.pipeline.upkeep import tidy_project
from enrich.providers.capabilities import choose_now, read_notice

if TYPE_CHECKING:
    from collections.abc import Iterator

    from enrich.manifest.model import Model
    from enrich.pipeline.flow import Flow
    from enrich.providers import Provider


def preview_model(
    flow: Flow, name: str, *, provider: str | None, limit: int, where: str
) -> Preview:
    """Answer the first `limit` rows of a model for which `where` is true. Raises what
    `preview_rows` raises."""
    model = flow.find_enrichment_model(name)
    chosen = flow.open_provider(model, provider)
    with _prepare_sample(flow, model), _suggest_remedy(flow, model, chosen):
        for doubt in list_doubts(flow.config, choose_now(chosen), model):
            flow.listener.say(doubt)
        found = preview_rows(flow.files, flow.config, chosen, model, limit=limit, where=where)
    # Outside of the block, because a backup takes the lock itself.
    _finish_sample(flow, read_notice(chosen) if found.asked else "")
    return found


def compare_model(
    flow: Flow, name: str, *, provider: str | None, llm: str, alone: bool, limit: int, where: str
) -> Comparison:
    """Answer a sample of a model's rows, and compare the answers with the published ones or with
    another llm's. Raises what `compare_answers` raises."""
    model = flow.find_enrichment_model(name)
    chosen = flow.open_provider(model, provider)
    with _prepare_sample(flow, model), _suggest_remedy(flow, model, chosen):
        found = compare_answers(
            flow.files,
            flow.config,
            flow.workspace.open_provider,
            model,
            provider=chosen,
            llm=llm,
            alone=alone,
            limit=limit,
            where=where,
        )
    _finish_sample(flow, read_notice(chosen) if found.asked else "")
    return found


@contextmanager
def _prepare_sample(flow: Flow, model: Model) -> Iterator[None]:
    """Hold the project's lock, and make sure that everything the model reads is loaded."""
    with hold_project(flow.files):
        load_seeds(flow, readers=[model])
        flow.check_upstream(model)
        # So that no answer is asked for that an abandoned one has.
        settle_previews(flow.files, flow.workspace.open_provider)
        yield


@contextmanager
def _suggest_remedy(flow: Flow, model: Model, provider: Provider) -> Iterator[None]:
    """Say in the hint of a refusal which line to change, if the refusal is about such a line."""
    try:
        yield
    except ProviderError as problem:
        prompt, config = model.own_prompt, flow.config
        problem.hint = (
            find_remedy(problem.message, prompt, config, provider=provider.name) or problem.hint
        )
        raise


def _finish_sample(flow: Flow, notice: str) -> None:
    back_up(flow.workspace)
    tidy_project(flow.workspace)
    if notice:
        flow.listener.say(notice)
