"""The answer inside what an llm wrote: without its thoughts and, for JSON, the one object in it.

Reasoning llms that are served without a parser for their thoughts write them into the content:
`<think>` (DeepSeek, Qwen), `[THINK]` (Mistral), `◁think▷` (Kimi), channels (gpt-oss). Llms without
a grammar put JSON into a Markdown fence, or write a sentence before it.
"""

from __future__ import annotations

THOUGHT_TAGS = ("think", "thinking", "thought", "thoughts", "reasoning", "seed:think")
THOUGHT_PAIRS = (
    *((f"<{tag}>", f"</{tag}>") for tag in THOUGHT_TAGS),
    (r"\[THINK\]", r"\[/THINK\]"),
    ("◁think▷", "◁/think▷"),
)
"""What opens and closes thoughts, as regular expressions."""
THOUGHT_OPENING = "|".join(opening for opening, _ in THOUGHT_PAIRS)
THOUGHT_CLOSING = "|".join(closing for _, closing in THOUGHT_PAIRS)
THOUGHT = "|".join(f"{opening}.*?{closing}" for opening, closing in THOUGHT_PAIRS)
FINAL_CHANNEL = r"<\|channel\|>\s*final[^<]*<\|message\|>"
"""How gpt-oss opens what it says to the user; analysis and commentary come before it."""

FENCED_OBJECT = r"(?s)(?:```|~~~)[A-Za-z0-9_+-]*\s*(\{.*?\})\s*(?:```|~~~)"
BARE_OBJECT = r"(?s)^[^{]*(\{.*\})[^}]*$"
JSON_STRING = r'"(?:[^"\\]|\\.)*"'
TRAILING_COMMA = r",\s*[}\]]"
"""A comma that DuckDB's JSON parser accepts and RFC 8259 forbids, unless it is inside quotes."""


def render_spoken_text(content: str) -> str:
    """SQL for `content` without the thoughts at its beginning; NULL if it holds nothing else."""
    final = f"(?s){FINAL_CHANNEL}(.*?)(?:<\\|(?:return|end)\\|>|$)"
    paired, closed, final = (
        f"regexp_replace({content}, '(?is)^\\s*(?:(?:{THOUGHT})\\s*)+', '')",
        # The chat template of some llms writes the opening tag, so that only the end is theirs.
        f"regexp_replace({content}, '(?is)^.*(?:{THOUGHT_CLOSING})\\s*', '')",
        # Where nothing matches, regexp_extract returns an empty text instead of NULL.
        f"nullif(regexp_extract({content}, '{final}', 1), '')",
    )
    # The first branch is the usual case: one search spares it the longer expressions. Thoughts that
    # open and never close were cut off, and what remains of them is no answer.
    return f"""CASE
        WHEN NOT regexp_matches({content}, '(?i)think|thought|reasoning|<\\|channel\\|>')
            THEN {content}
        WHEN contains({content}, '<|channel|>') THEN {final}
        WHEN regexp_matches({content}, '(?i)^\\s*(?:{THOUGHT_OPENING})')
            THEN CASE WHEN regexp_matches({paired}, '(?i)^\\s*(?:{THOUGHT_OPENING})') THEN NULL
                ELSE {paired} END
        WHEN regexp_matches({content}, '(?i){THOUGHT_CLOSING}')
            AND NOT regexp_matches({content}, '(?i){THOUGHT_OPENING}') THEN {closed}
        ELSE {content} END"""


def render_document(content: str) -> str:
    """SQL for the one JSON object in `content`, or NULL.

    The object may be all of the content, be in a fence, which wins over what is outside, or have
    sentences around it. If there are two different objects in fences, or several without a fence,
    none is the answer.
    """
    plain = f"starts_with({content}, '{{') AND NOT regexp_matches({content}, '{TRAILING_COMMA}')"
    usual = f"CASE WHEN {plain} THEN try_cast({content} AS JSON) END"
    return f"coalesce({usual}, {_render_search(content)})"


def _render_search(content: str) -> str:
    """SQL that looks for the JSON in any content, which costs more."""
    objects = (
        f"list_distinct(list_filter(list_transform("
        f"regexp_extract_all(said, '{FENCED_OBJECT}', 1), "
        "lambda inside: try_cast(inside AS JSON)), lambda inside: inside IS NOT NULL))"
    )
    bare = f"regexp_extract(said, '{BARE_OBJECT}', 1)"
    whole = _refuse_trailing_comma("said", "try_cast(said AS JSON)")
    fenced = _refuse_trailing_comma("CAST(objects[1] AS VARCHAR)", "objects[1]")
    unfenced = _refuse_trailing_comma(bare, f"try_cast({bare} AS JSON)")
    # The lambdas name what is used twice: a subquery would be evaluated for every row.
    return f"""list_transform([{render_spoken_text(content)}], lambda said: CASE
            WHEN try_cast(said AS JSON) IS NOT NULL THEN {whole}
            ELSE list_transform([{objects}], lambda objects: CASE len(objects)
                WHEN 1 THEN {fenced}
                WHEN 0 THEN {unfenced} END)[1] END)[1]"""


def _refuse_trailing_comma(written: str, value: str) -> str:
    """SQL for `value`, or NULL if only DuckDB would call `written` JSON."""
    # Emptying the strings is slow, so it comes second: a comma inside one is no fault.
    outside = f"regexp_replace({written}, '{JSON_STRING}', '\"\"', 'g')"
    return (
        f"CASE WHEN regexp_matches({written}, '{TRAILING_COMMA}') "
        f"AND regexp_matches({outside}, '{TRAILING_COMMA}') THEN NULL ELSE {value} END"
    )
