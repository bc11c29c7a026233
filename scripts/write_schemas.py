"""Write the JSON Schemas of project.yml and of a prompt's front matter, for editors.

    uv run python scripts/write_schemas.py            # writes them
    uv run python scripts/write_schemas.py --check    # ends with 1 if they are out of date

Keys and values come from the tables that the code itself reads by. What this file adds is the shape
of each value and a sentence on it: a key without one, or a sentence without a key, is an error.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from enrich.db import attached
from enrich.manifest import (
    backup,
    budget,
    config,
    data_test,
    kept_files,
    params,
    prompt,
    publication,
    reuse,
    sources,
)
from enrich.manifest.data_test_types import DATA_TEST_TYPES
from enrich.manifest.declared_tests import ITEM_SETTINGS
from enrich.providers import anthropic, gemini, local, mistral, openai, opening, registry
from enrich.providers.openai.presets import ApiWay
from enrich.providers.openai.settings import LEAST_TIMEOUT, MOST_CONCURRENCY
from enrich.providers.ray import settings as ray

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Schema = dict[str, Any]

FOLDER = Path(__file__).resolve().parent.parent / "enrich" / "manifest" / "schemas"
DIALECT = "https://json-schema.org/draft/2020-12/schema"

TEXT: Schema = {"type": ["string", "number"]}
"""Whatever YAML reads as a scalar and the code reads as text: `name: 2024`."""
WORD: Schema = {"type": ["string", "integer"]}
WORDS: Schema = {"anyOf": [WORD, {"type": "array", "items": WORD, "minItems": 1}]}
COUNT: Schema = {"type": "integer", "minimum": 1}
NUMBER: Schema = {"type": "number", "minimum": 0}
SHARE: Schema = {"type": "number", "minimum": 0, "maximum": 1}
ALIKE: Schema = {"type": "number", "minimum": reuse.LEAST_ALIKE, "maximum": 1}
MAPPING: Schema = {"type": "object"}
FLAG: Schema = {"type": "boolean"}
NAMES: Schema = {"pattern": f"^{sources.TABLE_NAME.pattern}$"}


def closed(keys: Iterable[str], shapes: Mapping[str, Schema], **more: Any) -> Schema:  # noqa: ANN401
    """A mapping with these keys and no others, each with its shape."""
    names = list(keys)
    if set(names) != set(shapes):
        raise ValueError(f"no sentence for, or no such key: {sorted({*names} ^ {*shapes})}")
    properties = {name: shapes[name] for name in names}
    return {"type": "object", "properties": properties, "additionalProperties": False, **more}


def said(description: str, *shapes: Schema, **more: Any) -> Schema:  # noqa: ANN401
    """A value that has one of these shapes, and a sentence on what it is."""
    shape = shapes[0] if len(shapes) == 1 else {"anyOf": list(shapes)}
    return {"description": description, **shape, **more}


def optional(shapes: Mapping[str, Schema]) -> dict[str, Schema]:
    """The same, where a key without a value means the default."""
    found = {}
    for name, schema in shapes.items():
        description = schema["description"]
        rest = {word: value for word, value in schema.items() if word != "description"}
        found[name] = {"description": description, "anyOf": [rest, {"type": "null"}]}
    return found


def one_of(values: Iterable[str]) -> Schema:
    """One of these words."""
    return {"enum": list(values)}


def amounts(keys: Iterable[str]) -> Schema:
    """USD, by what they are for."""
    return closed(keys, dict.fromkeys(keys, NUMBER))


PARAMS: Schema = {
    "type": "object",
    "propertyNames": {"not": one_of(params.RESERVED_PARAMS)},
    "properties": {name: {"enum": [1, None]} for name in params.COUNTED_ANSWERS},
}

OUTCOMES: Schema = {
    "anyOf": [
        one_of(config.RETRYABLE_OUTCOMES),
        {"type": "array", "items": one_of(config.RETRYABLE_OUTCOMES)},
    ]
}

LIMITS = {
    "max_requests": said("How many requests a batch may hold.", COUNT, default=50_000),
    "max_bytes": said("How many bytes a batch's file may have.", COUNT, default=200_000_000),
    "enqueued_tokens": said("How many input tokens may be under way at once.", COUNT),
    "max_batches": said("How many batches may be under way at once.", COUNT),
}
KIND = said(
    "What kind of provider it is: local, openai, or one that another package brings.",
    {"type": "string"},
    examples=list(registry.BUILT_IN),
)
LOCAL = {
    "path": said("A GGUF file with the llm's weights, instead of the embedded ones.", TEXT),
    "mmproj": said("The GGUF file of the llm's vision projector, for models with images.", TEXT),
    "hf": said("Weights from the Hugging Face hub, as org/repo:quantisation.", TEXT),
    "slots": said("How many requests are answered side by side.", COUNT, default=4),
    "context": said("Tokens of context for each request.", COUNT, default=4096),
    "threads": said("Threads of the engine; the usable cores if not set.", COUNT),
}
PRICE = closed(
    ("input", "cached", "output"),
    {"input": NUMBER, "cached": NUMBER, "output": NUMBER},
    required=["input", "output"],
)
OPENAI = {
    "api": said(
        "Whether batches go to its Batch API or are answered here through chat; auto asks once.",
        one_of(get_args(ApiWay)),
        default="auto",
    ),
    "llm": said("The llm that a prompt takes when it names none.", TEXT, default="gpt-4o-mini"),
    "embedding_llm": said(
        "The llm that an embedding takes when its prompt names none.",
        TEXT,
        default="text-embedding-3-small",
    ),
    "api_key": said("The key, best as ${NAME}; the variable OPENAI_API_KEY if not set.", TEXT),
    "base_url": said("Where a compatible server is: https://host/v1.", TEXT),
    "organization": said("The organization whose usage it counts as.", TEXT),
    "project": said("The provider's project whose usage it counts as.", TEXT),
    "headers": said("Further HTTP headers, by name.", MAPPING),
    "azure_endpoint": said("The address of an Azure OpenAI resource.", TEXT),
    "api_version": said("The version of Azure's API.", TEXT),
    "timeout": said(
        "Seconds that a call may take as a whole.",
        NUMBER,
        default=600,
        minimum=LEAST_TIMEOUT,
    ),
    "poll_seconds": said("The longest pause between two polls, in seconds.", NUMBER, default=60),
    "lost_after": said(
        "Seconds after which a batch that the provider does not list counts as never made.",
        NUMBER,
        default=60,
    ),
    "prices": said(
        "USD for a million tokens by llm, or the name of an llm that costs the same.",
        {"type": "object", "additionalProperties": {"anyOf": [{"type": "string"}, PRICE]}},
    ),
    "batch_discount": said("How much less a batch costs, as a share: 0.5 is half.", SHARE),
    "concurrency": said("The most requests at once through chat.", COUNT, maximum=MOST_CONCURRENCY),
    "rate": said(
        "Limits for a minute through chat.",
        {
            "type": "object",
            "properties": {"requests": COUNT, "tokens": COUNT},
            "additionalProperties": False,
        },
    ),
    "service_tier": said("The tier of what is answered now, such as flex at OpenAI.", TEXT),
}


ANTHROPIC: dict[str, Schema] = {
    **{key: OPENAI[key] for key in openai.SERVER_KEYS},
    "api_version": said("The version of Anthropic's API.", TEXT),
}
MISTRAL: dict[str, Schema] = {
    **{key: OPENAI[key] for key in openai.SERVER_KEYS},
    "timeout_hours": said("How many hours a batch may take.", COUNT, default=24, maximum=168),
}
GEMINI: dict[str, Schema] = {key: OPENAI[key] for key in gemini.GEMINI_KEYS}
RAY: dict[str, Schema] = {
    "address": said("Where the cluster's dashboard and its Jobs API are: http://HEAD:8265.", TEXT),
    "token": said("The cluster's token, best as ${NAME}, if it asks for one.", TEXT),
    "headers": said("HTTP headers for the Jobs API, by name.", MAPPING),
    "storage": said(
        "A folder that this machine and the nodes mount at the same path, or a URL such as "
        "s3://bucket/path.",
        TEXT,
    ),
    "llm": said("What the server calls the llm.", TEXT),
    "url": said("The address of a server that the nodes reach: http://host:8000/v1.", TEXT),
    "api_key": said("The key of that server, best as ${NAME}.", TEXT),
    "serve": said("The command with which each actor starts a server, with {port} in it.", TEXT),
    "environment": said("Environment variables of that command, kept secret.", MAPPING),
    "weights": said("The path of a GGUF on the nodes, for llama.cpp in each actor.", TEXT),
    "slots": said("How many requests llama.cpp answers side by side.", COUNT, default=4),
    "context": said("Tokens of context for each of them.", COUNT, default=4096),
    "actors": said("How many actors there are; as many as fit if not set.", COUNT),
    "resources": said("What Ray reserves for each actor: {GPU: 1}.", MAPPING),
    "concurrency": said("The most requests of an actor at once.", COUNT, maximum=MOST_CONCURRENCY),
    "timeout": said("Seconds that a request may take.", NUMBER, default=600, minimum=LEAST_TIMEOUT),
    "pip": said("Packages that Ray installs for the job.", WORDS),
    "runtime_env": said("Ray's runtime environment for the job; Ray shows it.", MAPPING),
    "prices": OPENAI["prices"],
    "poll_seconds": said("The longest pause between two polls, in seconds.", NUMBER, default=5),
}
OWN_KEYS: dict[str, tuple[Iterable[str], Mapping[str, Schema]]] = {
    "local": (local.LOCAL_KEYS, LOCAL),
    "openai": (openai.OPENAI_KEYS, OPENAI),
    "anthropic": (anthropic.ANTHROPIC_KEYS, ANTHROPIC),
    "mistral": (mistral.MISTRAL_KEYS, MISTRAL),
    "gemini": (gemini.GEMINI_KEYS, GEMINI),
    "ray": (ray.RAY_KEYS, RAY),
}
"""The keys of each type that has keys of its own; those of all others are those of `openai`."""


def provider(keys: Iterable[str], shapes: Mapping[str, Schema]) -> Schema:
    """The settings of a provider that enrich brings."""
    known = ("type", *opening.LIMIT_KEYS, *keys)
    return closed(known, {"type": KIND, **optional({**LIMITS, **shapes})})


def of_type(kind: str) -> Schema:
    """What settings look like that name a provider's type."""
    return {"required": ["type"], "properties": {"type": {"const": kind}}}


def providers() -> Schema:
    """The mapping under `providers:`. An entry without a `type` is what it is called, or OpenAI's;
    the settings of other packages' providers are their own."""
    known = {
        name: {"$ref": f"#/$defs/{name if name in OWN_KEYS else 'openai'}"}
        for name in registry.BUILT_IN
    }
    typed: list[Schema] = [
        {"if": {"type": "object", **of_type(name)}, "then": schema}
        for name, schema in known.items()
    ]

    def untyped(name: str) -> Schema:
        """Settings that are those of `name` where they do not say their type."""
        bare: Schema = {"type": "object", "not": {"required": ["type"]}}
        return {"type": ["object", "null"], "allOf": [*typed, {"if": bare, "then": known[name]}]}

    return {
        "type": "object",
        "properties": {"local": untyped("local")},
        "additionalProperties": untyped("openai"),
    }


def named(shape: Schema) -> Schema:
    """A mapping from names that SQL can use."""
    return {"type": "object", "propertyNames": NAMES, "additionalProperties": shape}


WAREHOUSE = closed(
    ("path", "storage_version"),
    {
        "path": said("The file of the warehouse.", TEXT),
        "storage_version": said(
            "The storage version of a new warehouse: a version of DuckDB, or latest.",
            {"type": "string", "pattern": f"^({config.STORAGE_VERSION.pattern}|latest)$"},
            {"type": "number"},
        ),
    },
)
SEEDS = closed(
    ("path", "tables"),
    {
        "path": said("The folder of the seeds.", TEXT),
        "tables": said(
            "How the file of a seed is read, by table: encoding, or options of DuckDB's reader.",
            {"type": "object", "additionalProperties": MAPPING},
        ),
    },
)
BACKUP = closed(
    backup.BACKUP_KEYS,
    {
        "to": said("The folder of the exports.", {"type": "string", "minLength": 1}),
        "keep": said(
            "How many exports stay; 0 keeps all.", {"type": "integer", "minimum": 0}, default=0
        ),
    },
    required=["to"],
)
ATTACHED = closed(
    sources.ATTACH_KEYS,
    {
        "data_path": said("Where a DuckLake keeps its files.", {"type": "string"}),
        "path": said("The database's file or address; may hold ${NAME}.", {"type": "string"}),
        "type": said(
            "What kind of database it is.", one_of(attached.DATABASE_TYPES), default="duckdb"
        ),
    },
    required=["path"],
)
PLACE: Schema = {"type": "string", "minLength": 1}
PUBLISH = said(
    "Where tables are copied to: a folder, a URL, or an attached database; false for nowhere.",
    PLACE,
    {"const": False},
    closed(
        publication.PUBLISH_KEYS,
        {
            "to": said("A folder, a URL, or an attached database.", PLACE),
            "format": said(
                "What files hold.", one_of(get_args(publication.CopyFormat)), default="parquet"
            ),
            "partition_by": said("The columns that divide the files among folders.", WORDS),
        },
        required=["to"],
    ),
)
PATHS: Schema = {
    "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]
}
SOURCE = closed(
    ("path", "format", "options"),
    {
        "path": said("The file, a pattern of files, or a list of them.", PATHS),
        "format": said(
            "What the files hold, where their names do not tell.", one_of(sources.FORMAT_READERS)
        ),
        "options": said("Options of DuckDB's reader.", MAPPING),
    },
    required=["path"],
)

PROJECT = {
    "name": said("The project's name; the folder's name if not set.", TEXT),
    "warehouse": said(
        "The DuckDB database with the tables.", TEXT, WAREHOUSE, default="warehouse.duckdb"
    ),
    "ledger": said("The DuckDB database with what was paid for.", TEXT, default="ledger.duckdb"),
    "models": said("The folder of the models.", TEXT, default="models"),
    "seeds": said("The folder of the seeds, or how each is read.", TEXT, SEEDS, default="seeds"),
    "tests": said("The folder, or the list of folders, of SQL tests.", WORDS, default="tests"),
    "provider": said("Who answers, unless a prompt or --provider says otherwise.", TEXT),
    "providers": said("The providers, by name.", providers()),
    "params": said("Request parameters for every model; a prompt's own come on top.", PARAMS),
    "max_attempts": said("How often a row is asked at the most.", COUNT, default=3),
    "retry": said(
        "Which outcomes are asked again; [] asks nothing again.",
        OUTCOMES,
        default=list(config.RETRIED_OUTCOMES),
    ),
    "lock_timeout": said(
        "Seconds to wait for another process to close the warehouse.", NUMBER, default=60
    ),
    "external_access": said(
        "What models may read besides the project's own files: paths, or true for anything.",
        FLAG,
        WORDS,
        default=False,
    ),
    "memory_limit": said("DuckDB's memory limit.", TEXT, default="640MB"),
    "budget": said(
        "What may be spent, in USD: for a run, for any one model in a run, for a month.",
        NUMBER,
        amounts(budget.PROJECT_BUDGETS),
    ),
    "vars": said(
        "Variables for SQL and templates, which name them $name.",
        {"type": "object", "propertyNames": {"pattern": r"^[A-Za-z_]\w*$"}},
    ),
    "attach": said(
        "Databases that models read, or tables are copied to, by name.",
        named({"anyOf": [{"type": "string"}, ATTACHED]}),
    ),
    "sources": said(
        "Files that models read as tables, by name.", named({"anyOf": [PATHS, SOURCE]})
    ),
    "keep_files": said(
        "What becomes of the files of batches whose answers are in the ledger: a word, or after "
        "how many days they are removed.",
        one_of(kept_files.KEEP_WORDS),
        {"type": "integer", "minimum": 1, "maximum": kept_files.MOST_DAYS},
        default=kept_files.USUAL_WORD,
    ),
    "publish": PUBLISH,
    "backup": said(
        "A folder that the ledger is exported to after each run that changed it.",
        {"type": "string", "minLength": 1},
        BACKUP,
    ),
}

TESTS = {
    word: said(str(kind.render_schema.__doc__), kind.render_schema())
    for word, kind in zip(DATA_TEST_TYPES._fields, DATA_TEST_TYPES, strict=True)
}
OF_A_TEST = {
    "name": said("What the test is called.", {"type": "string", "pattern": r"^\w*$"}),
    "severity": said(
        "Whether a failure holds the table back or is only told.",
        one_of(get_args(data_test.Severity)),
        default="error",
    ),
}


def tests() -> Schema:
    """The value under `tests:` of a prompt: a list of tests, or a mapping with each kind once."""
    item = closed(
        (*TESTS, *ITEM_SETTINGS),
        {**TESTS, **OF_A_TEST},
        oneOf=[{"required": [kind]} for kind in TESTS],
    )
    listed: Schema = {"type": "array", "items": {"anyOf": [{"type": "string"}, item]}}
    return {"anyOf": [listed, closed(TESTS, TESTS)]}


PROMPT = {
    "key": said("The column, or the list of columns, that identify a row.", WORDS),
    "output": said(
        "The columns that the llm must return, as in CREATE TABLE.",
        {"type": "string", "minLength": 1},
    ),
    "on_change": said(
        "Which rows are asked again when the prompt changes: all, new, or a sample of so many.",
        one_of(("all", "new")),
        closed(("sample",), {"sample": COUNT}, required=["sample"]),
        default="all",
    ),
    **optional(
        {
            "partition_by": said(
                "A column of the SELECT: --where and --since limit a run to some of its values.",
                TEXT,
            ),
            "params": said(
                "Request parameters, passed on as they are: temperature, max_tokens, seed.",
                PARAMS,
            ),
            "llm": said(
                "The llm; the provider's if not set. Several are asked one after the other.",
                WORDS,
            ),
            "provider": said("The provider's name; the project's if not set.", TEXT),
            "publish": PUBLISH,
            "dedupe": said(
                "Rows whose vectors are this similar share one answer.",
                ALIKE,
                closed(reuse.DEDUPE_KEYS, {"at": ALIKE, "vector": TEXT}, required=["at"]),
            ),
            "triage": said(
                "A table of labels: rows whose nearest labels are clear are answered by these.",
                TEXT,
                closed(
                    reuse.TRIAGE_KEYS,
                    {
                        "labels": TEXT,
                        "at": SHARE,
                        "margin": SHARE,
                        "neighbors": COUNT,
                        "vector": TEXT,
                    },
                    required=["labels"],
                ),
            ),
            "pack": said(
                "How many rows share a request, whose instructions are then paid for once.",
                {"type": "integer", "minimum": 1, "maximum": prompt.MOST_PACKED},
            ),
            "endpoint": said(
                "The API that is asked.",
                one_of(get_args(prompt.Endpoint)),
                default="/v1/chat/completions",
            ),
            "response_format": said(
                "How the llm is held to the output: by its schema, to some JSON, or not at all.",
                one_of(get_args(prompt.WrittenFormat)),
                default="json_schema",
            ),
            "max_attempts": said("How often a row is asked at the most.", COUNT),
            "retry": said("Which outcomes are asked again; [] asks nothing again.", OUTCOMES),
            "tags": said("Words of your own, to select models by: tag:WORD.", WORDS),
            "description": said("What the model is for.", TEXT),
            "budget": said(
                "What this model may cost, in USD: for a run, for a month.",
                NUMBER,
                amounts(budget.PROMPT_BUDGETS),
            ),
            "tests": said("What must be true of the table before it is published.", tests()),
        }
    ),
}


def schemas() -> dict[str, Schema]:
    """Each schema, by the name of its file."""
    project = closed(config.PROJECT_KEYS, optional(PROJECT))
    project["$defs"] = {name: provider(*known) for name, known in OWN_KEYS.items()}
    front = closed(prompt.PROMPT_KEYS, PROMPT, required=["key", "output"])
    return {
        "project.schema.json": {
            "$schema": DIALECT,
            "title": "enrich: project.yml",
            "description": "The settings of an enrich project.",
            **project,
            "type": ["object", "null"],
        },
        "prompt.schema.json": {
            "$schema": DIALECT,
            "title": "enrich: the front matter of NAME.prompt.md",
            "description": "The settings of a prompt.",
            **front,
        },
    }


def main() -> None:
    """Write the schemas, or check that they are there as they should be."""
    stale = []
    for name, schema in schemas().items():
        path, text = FOLDER / name, f"{json.dumps(schema, indent=2, ensure_ascii=False)}\n"
        if "--check" in sys.argv[1:]:
            if not path.is_file() or path.read_text(encoding="utf-8") != text:
                stale.append(name)
            continue
        FOLDER.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    if stale:
        sys.exit(f"error: out of date: {', '.join(stale)}: run scripts/write_schemas.py")


if __name__ == "__main__":
    main()
