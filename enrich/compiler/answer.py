"""The answer inside what an llm wrote: without its thoughts, and of JSON the one object there is.

Reasoning llms that are served without a parser for their thoughts write them into the content:
`<think>` (DeepSeek, Qwen), `[THINK]` (Mistral), `◁think▷` (Kimi), channels (gpt-oss). Llms without
a grammar put JSON into a Markdown fence, or a sentence before it.
"""

from __future__ import annotations

TAGS = ("think", "thinking", "thought", "thoughts", "reasoning", "seed:think")
PAIRS = (
    *((f"<{tag}>", f"</{tag}>") for tag in TAGS),
    (r"\[THINK\]", r"\[/THINK\]"),
    ("◁think▷", "◁/think▷"),
)
"""What opens and closes thoughts, as regular expressions."""
OPENED = "|".join(opening for opening, _ in PAIRS)
CLOSED = "|".join(closing for _, closing in PAIRS)
THOUGHTS = "|".join(f"{opening}.*?{closing}" for opening, closing in PAIRS)
FINAL = r"<\|channel\|>\s*final[^<]*<\|message\|>"
"""How gpt-oss opens what is meant for the user; analysis and commentary come before it."""

FENCE = r"(?s)(?:```|~~~)[A-Za-z0-9_+-]*\s*(\{.*?\})\s*(?:```|~~~)"
BARE = r"(?s)^[^{]*(\{.*\})[^}]*$"
QUOTED = r'"(?:[^"\\]|\\.)*"'
TRAILING = r",\s*[}\]]"
"""A comma that DuckDB's JSON parser takes and RFC 8259 forbids, unless it stands inside quotes."""


def text(content: str) -> str:
    """SQL for `content` without the thoughts at its beginning; NULL if it is nothing else."""
    thoughtless = (
        f"regexp_replace({content}, '(?is)^\\s*(?:(?:{THOUGHTS})\\s*)+', '')",
        # The chat template of some llms writes the opening tag, so that only the end is theirs.
        f"regexp_replace({content}, '(?is)^.*(?:{CLOSED})\\s*', '')",
        f"nullif(regexp_extract({content}, '(?s){FINAL}(.*?)(?:<\\|(?:return|end)\\|>|$)', 1), '')",
    )
    paired, closed, final = thoughtless
    return f"""CASE
        WHEN NOT regexp_matches({content}, '(?i)think|thought|reasoning|<\\|channel\\|>')
            THEN {content}
        WHEN contains({content}, '<|channel|>') THEN {final}
        WHEN regexp_matches({content}, '(?i)^\\s*(?:{OPENED})')
            THEN CASE WHEN regexp_matches({paired}, '(?i)^\\s*(?:{OPENED})') THEN NULL
                ELSE {paired} END
        WHEN regexp_matches({content}, '(?i){CLOSED}')
            AND NOT regexp_matches({content}, '(?i){OPENED}') THEN {closed}
        ELSE {content} END"""


def document(content: str) -> str:
    """SQL for the one JSON object in `content`, or NULL: it may be all there is, stand in a fence,
    or have sentences around it; of two different ones neither is the answer."""
    plain = (
        f"starts_with({content}, '{{') AND NOT regexp_matches({content}, '{TRAILING}') "
        f"AND json_valid({content})"
    )
    return f"CASE WHEN {plain} THEN try_cast({content} AS JSON) ELSE {_found(content)} END"


def _found(content: str) -> str:
    """The JSON in any content, at more expense.

    The lambdas give names to what is used twice: a subquery would be evaluated for every row.
    """
    objects = (
        f"list_distinct(list_filter(list_transform(regexp_extract_all(said, '{FENCE}', 1), "
        "lambda inside: try_cast(inside AS JSON)), lambda inside: inside IS NOT NULL))"
    )
    bare = f"regexp_extract(said, '{BARE}', 1)"
    whole = _strict("said", "try_cast(said AS JSON)")
    fenced = _strict("CAST(objects[1] AS VARCHAR)", "objects[1]")
    return f"""list_transform([{text(content)}], lambda said: CASE
            WHEN try_cast(said AS JSON) IS NOT NULL THEN {whole}
            ELSE list_transform([{objects}], lambda objects: CASE len(objects)
                WHEN 1 THEN {fenced}
                WHEN 0 THEN {_strict(bare, f"try_cast({bare} AS JSON)")} END)[1] END)[1]"""


def _strict(written: str, value: str) -> str:
    """`value`, unless `written` is JSON only to DuckDB."""
    outside = f"regexp_replace({written}, '{QUOTED}', '\"\"', 'g')"
    return (
        f"CASE WHEN regexp_matches({written}, '{TRAILING}') "
        f"AND regexp_matches({outside}, '{TRAILING}') THEN NULL ELSE {value} END"
    )
