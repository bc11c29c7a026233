"""Build: run a model's SELECT once, and put its rows beside what is published."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

from enrich.compiler import viewing
from enrich.compiler.compilation import describe_select
from enrich.compiler.inputs import render_image_types
from enrich.compiler.viewing import ROWS, ShownColumn
from enrich.db.files import DEFAULT_MEMORY
from enrich.db.quote import quote_name, quote_text, render_attach
from enrich.errors import EnrichError, InputError
from enrich.manifest.template import Expression
from enrich.view.rows import ShownRows

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import duckdb

    from enrich.compiler.viewing import ColumnRole
    from enrich.db.database import Both
    from enrich.db.files import DatabaseFiles
    from enrich.manifest.column_type import ColumnType
    from enrich.manifest.model import Model
    from enrich.manifest.template import Image

MOST_BLOB_BYTES = 1_000_000_000
"""How many bytes of BLOBs are copied to be shown."""
FEW_LABELS = 60
"""The most labels that a filter offers."""


def build_rows(files: DatabaseFiles, model: Model, *, folder: Path) -> ShownRows:
    """Run the model's SELECT once, and put its rows beside what is published, into a new database
    in `folder`.

    If the SELECT fails, there are no inputs, and `trouble` says why. Raises InputError if there is
    nothing at all to show.
    """
    path = folder / f"{uuid4().hex}.duckdb"
    with files.open_both(warehouse="read", ledger="read", attached=model.texts) as database:
        database.attach(path, "shown")
        try:
            columns, blobs, trouble = _fill_rows(database, model)
            (total,) = database.fetch_one(f"SELECT count(*) FROM {ROWS}")
        finally:
            database.execute("DETACH shown")
    return ShownRows(
        model=model.name,
        columns=columns,
        total=total,
        blobs=blobs,
        path=path,
        engine=_open_engine(files.aliases.alias_file(path), folder),
        trouble=trouble,
    )


def _fill_rows(
    database: Both, model: Model
) -> tuple[tuple[ShownColumn, ...], tuple[bool, ...], str]:
    """Create ROWS. Returns its columns, which of its pictures are BLOBs, and what is wrong with the
    SELECT, if anything."""
    prompt = model.prompt
    published = _describe_table(database, "main", model.name)
    if prompt is None:
        return _fill_plain_rows(database, model, published), (), ""
    known = _describe_table(database, "enrich", model.name)
    keys = {word.lower() for word in prompt.key}
    trouble, query, pictures = "", model.query, [_render_picture(i) for i in prompt.images]
    try:
        given = describe_select(database, model)
        blobs = _find_blobs(database, query, pictures)
    except EnrichError as problem:
        given, query = _name_known_keys(model, problem, known, keys)
        trouble, pictures, blobs = f"{problem.message} ({problem.hint})", [], ()
    key = {name: kind for name, kind in given.items() if name.lower() in keys}
    # A key that has changed since the last run joins nothing.
    fits = bool(key) and all(known.get(name) == kind for name, kind in key.items())
    labels = {c.name.lower(): _list_labels(c.type) for c in prompt.output.columns}
    columns = _name_columns(
        {name: ("key" if name in key else "input", kind) for name, kind in given.items()},
        {name: ("output", kind) for name, kind in published.items() if name not in key and fits},
        labels=labels,
    )
    database.execute(
        viewing.render_shown_rows(
            model.name,
            query,
            columns,
            key=key,
            pictures=pictures,
            provenance=fits,
            published=fits and bool(published),
        )
    )
    return columns, blobs, trouble


def _name_known_keys(
    model: Model, problem: EnrichError, known: Mapping[str, str], keys: set[str]
) -> tuple[dict[str, str], str]:
    """Returns the key's columns in the published table, and a SELECT of no rows with them: where
    the model's own SELECT fails, the table is there all the same, and only the inputs cannot be
    shown. Raises the problem if it is not."""
    if not known:
        message = f"'{model.name}' has not been run yet: {problem.message}"
        raise InputError(message, hint=f"enrich run +{model.name}") from problem
    given = {name: kind for name, kind in known.items() if name.lower() in keys}
    if not given:
        raise problem
    table = quote_name("warehouse", "enrich", model.name)
    return given, f"SELECT {', '.join(map(quote_name, given))} FROM {table} WHERE false"


def _fill_plain_rows(
    database: Both, model: Model, published: Mapping[str, str]
) -> tuple[ShownColumn, ...]:
    """Create ROWS from the table or view of a plain model. Returns its columns."""
    if not published:
        hint = f"enrich run {model.name}"
        raise InputError(f"'{model.name}' has not been run yet", hint=hint)
    columns = _name_columns({name: ("input", kind) for name, kind in published.items()})
    query = f"FROM {quote_name('warehouse', 'main', model.name)}"
    database.execute(viewing.render_shown_rows(model.name, query, columns, key={}))
    return columns


def _list_labels(kind: ColumnType) -> tuple[str, ...]:
    """Returns the values that a column, or the items of its lists, can have, if they are few."""
    item = kind.parts[0].type if kind.is_list else kind
    return ("true", "false") if item.sql == "BOOLEAN" else item.labels


def _describe_table(database: Both, schema: str, name: str) -> dict[str, str]:
    """Returns the columns of a table of the warehouse; none if there is no such table."""
    if not database.call("exists", schema=schema, name=name):
        return {}
    return database.describe(f"FROM {quote_name('warehouse', schema, name)}")


def _name_columns(
    *sides: Mapping[str, tuple[ColumnRole, str]],
    labels: Mapping[str, tuple[str, ...]] | None = None,
) -> tuple[ShownColumn, ...]:
    found = [(name, role, kind) for side in sides for name, (role, kind) in side.items()]
    order: dict[ColumnRole, int] = {"key": 0, "input": 1, "output": 2}
    found.sort(key=lambda each: order[each[1]])
    return tuple(
        ShownColumn(
            place=f"c{at}",
            name=name,
            type=kind,
            role=role,
            labels=(labels or {}).get(name.lower(), ())[:FEW_LABELS] if role == "output" else (),
        )
        for at, (name, role, kind) in enumerate(found)
    )


def _render_picture(image: Image) -> str:
    """SQL for what a picture is: the expression in the prompt, or its fixed address."""
    source = image.source
    return source.sql if isinstance(source, Expression) else quote_text(source)


def _find_blobs(database: Both, query: str, pictures: Sequence[str]) -> tuple[bool, ...]:
    """Returns which pictures are BLOBs. Raises InputError if these are too much to copy."""
    if not pictures:
        return ()
    kinds = database.execute(render_image_types(query, tuple(pictures)))
    blobs = tuple(row[1] == "BLOB" for row in kinds)
    sizes = " + ".join(
        f"coalesce(sum(octet_length({picture})), 0)"
        for picture, blob in zip(pictures, blobs, strict=True)
        if blob
    )
    if sizes:
        (size,) = database.fetch_one(f"SELECT {sizes} FROM (\n{query}\n) AS inputs")
        if size > MOST_BLOB_BYTES:
            what = f"the pictures in the SELECT take {size / 1e9:,.1f} GB"
            raise InputError(
                what, hint="enrich view copies at most 1 GB of them: keep them in files"
            )
    return blobs


def _open_engine(name: str, folder: Path) -> duckdb.DuckDBPyConnection:
    """Starts a DuckDB of its own on the rows, which can open nothing else."""
    import duckdb

    engine = duckdb.connect(
        ":memory:",
        config={
            "memory_limit": DEFAULT_MEMORY,
            "temp_directory": str(folder),
            "autoinstall_known_extensions": "false",
        },
    )
    engine.execute(render_attach(name, "shown", "READ_ONLY"))
    engine.execute("SET enable_external_access = false")
    return engine
