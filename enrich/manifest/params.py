"""Params: the parameters of requests, as project.yml and prompts set them."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from enrich.manifest.settings import YamlSettings

RESERVED_PARAMS = ("model", "messages", "input", "response_format", "text", "stream")
COUNTED_ANSWERS = ("n", "best_of", "candidate_count", "candidateCount")
"""Parameters that ask for several answers, each of which is paid for."""
PARAM_NAMES = """
    background best_of cache_prompt candidate_count candidateCount chat_template
    chat_template_kwargs conversation dimensions documents dry_multiplier encoding_format
    extra_body format frequency_penalty function_call functions generationConfig grammar
    guided_choice guided_decoding_backend guided_grammar guided_json guided_regex id_slot
    ignore_eos include instructions json_schema keep_alive length_penalty logit_bias
    logprobs max_completion_tokens max_output_tokens maxOutputTokens max_tokens
    max_tool_calls metadata min_p min_tokens mirostat mirostat_eta mirostat_tau modalities
    models n n_predict num_ctx num_predict options output_config output_dimension
    output_dtype parallel_tool_calls plugins prediction presence_penalty
    previous_response_id priority prompt prompt_cache_key prompt_cache_retention prompt_mode
    prompt_truncate_len provider random_seed reasoning reasoning_budget reasoning_effort
    reasoning_format repeat_last_n repeat_penalty repetition_penalty route safe_prompt
    safety_identifier safetySettings seed service_tier skip_special_tokens stop
    stop_sequences stop_token_ids store structured_outputs system system_instruction task
    temperature think thinking thinking_budget thinkingConfig tool_choice tools top_a top_k
    top_logprobs top_n_sigma top_p topK topP transforms truncate truncate_prompt_tokens
    truncation typical_p use_beam_search user verbosity web_search_options xtc_probability
    xtc_threshold
"""
KNOWN_PARAMS = frozenset(PARAM_NAMES.split())
"""Parameters that some server is known to have. Others may be right as well, but a name that is
close to one of these is probably a slip."""


def read_request_params(settings: YamlSettings) -> dict[str, Any]:
    """Returns the parameters of requests under `params:`. Raises the error of the settings' file
    for those that enrich itself writes, and for several answers."""
    params = settings.read_parameters("params")
    for name, value in params.items():
        if name in RESERVED_PARAMS:
            hint = "enrich writes it; remove it"
            raise settings.make_error("params", f"cannot contain '{name}'", hint=hint)
        if name in COUNTED_ANSWERS and value not in (None, 1):
            what = f"asks for several answers to each request ('{name}'), and all are paid for"
            raise settings.make_error("params", what, hint=f"enrich reads one: remove '{name}'")
    return params


def find_slip(name: str) -> str:
    """Returns the known parameter that a name was probably meant to be, "" if it may be right.

    >>> find_slip("temprature"), find_slip("temperature"), find_slip("my_own")
    ('temperature', '', '')
    """
    if name in KNOWN_PARAMS:
        return ""
    return next(iter(get_close_matches(name, KNOWN_PARAMS, n=1, cutoff=0.8)), "")
