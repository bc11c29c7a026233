"""Render: turn each row into the body of a request, with the pictures that it names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from enrich.compiler import inputs
from enrich.compiler.body import URL_STARTS
from enrich.compiler.compilation import explain_failed_select
from enrich.db.quote import wrap_expression
from enrich.errors import DatabaseError, ModelError, name_on_interrupt
from enrich.pricing import pictures
from enrich.pricing.pictures import Content

if TYPE_CHECKING:
    from pathlib import Path

    from enrich.compiler.compilation import CompiledModel
    from enrich.db.database import Warehouse
    from enrich.manifest.config import Config

MOST_PICTURE_BYTES = 50_000_000
"""How many bytes of pictures a request may contain. OpenAI's guide says 512 MB, but requests with
more than about 50 MB have been measured to fail with 400."""


def render_rows(
    database: Warehouse,
    compiled: CompiledModel,
    config: Config,
    *,
    table: str,
    recall: bool = False,
) -> None:
    """Create a temporary table of the requests for the model's rows; with `recall`, without their
    fingerprints. Raises InputError if the SELECT fails; the error points at the line of the model's
    file."""
    snapshot = compiled.render_snapshot(recall=recall)
    with name_on_interrupt(compiled.model.source):
        try:
            if compiled.keeps_rows:
                database.execute(inputs.render_rows_table(compiled.query))
            if compiled.body.images:
                _render_pictures(database, compiled, config)
            database.execute(f"CREATE OR REPLACE TEMP TABLE {table} AS\n{snapshot}")
        except DatabaseError as problem:
            if (fault := _find_failed_placeholder(database, compiled)) is not None:
                raise fault from problem
            # The SELECT is verbatim in a larger statement, so lines above it must be subtracted.
            above = snapshot.partition(compiled.model.query)[0].count("\n") + 1
            raise explain_failed_select(compiled.model, problem, above=above) from problem


def _find_failed_placeholder(database: Warehouse, compiled: CompiledModel) -> ModelError | None:
    """Returns the error of the placeholder that fails with a row of the SELECT; None if none does,
    or if it is the SELECT that fails."""
    rows = f"FROM (\n{compiled.query}\n) AS inputs"
    try:
        database.execute(f"SELECT count(COLUMNS(*)) {rows}")
    except DatabaseError:
        return None
    for each in compiled.prompt.expressions:
        try:
            database.execute(f"SELECT count({wrap_expression(each.sql)}) {rows}")
        except DatabaseError as problem:
            what = f"{compiled.prompt.source}:{each.line}: {{{{ {each.sql} }}}}: {problem.message}"
            return ModelError(what, hint="TRY_CAST(... AS ...) and try(...) give NULL instead")
    return None


def _render_pictures(database: Warehouse, compiled: CompiledModel, config: Config) -> None:
    """Create `temp._enrich_pictures`: each file that the rows name, as a `data:` URL or an
    error."""
    # Created first, because the snapshot joins it even if no row names a file.
    database.execute(inputs.render_pictures_table())
    named = tuple(
        image for image, blob in zip(compiled.body.images, compiled.blobs, strict=True) if not blob
    )
    if not named:
        return
    given = [row[0] for row in database.execute(inputs.render_image_paths(named))]
    checked = [_find_picture(config, path) for path in given]
    found = [file for file, _ in checked if file]
    if not given:
        return
    if not found:
        database.execute(
            "INSERT INTO temp._enrich_pictures SELECT unnest($given), NULL, NULL, unnest($faults)",
            given=given,
            faults=[fault for _, fault in checked],
        )
        return
    database.execute(
        inputs.render_data_urls(),
        given=given,
        found=[file for file, _ in checked],
        faults=[fault for _, fault in checked],
        globs=list(dict.fromkeys(found)),  # two cells may spell one path in two ways
    )


def _find_picture(config: Config, path: str) -> tuple[Path | None, str | None]:
    """Returns the file that a cell names, or what is wrong with it."""
    if not path.strip():
        return None, "the image's cell is empty"
    if "\0" in path:
        return None, "the image's path contains a NUL character"
    file = config.root / path
    try:
        if not config.may_read(file):
            return None, f"the image '{path}' is outside the project"
        if not file.is_file():
            return None, f"the image '{path}' does not exist"
        if file.stat().st_size > MOST_PICTURE_BYTES:
            size = f"{file.stat().st_size / 1e6:,.0f} MB"
            return None, f"the image '{path}' is {size}, more than a request may contain"
        # Opened here, because DuckDB's error would end the SELECT and not just this row.
        with file.open("rb"):
            return file, None
    except OSError as problem:
        return None, f"the image '{path}' cannot be read: {problem.strerror}"
    except RuntimeError:  # Python 3.11 and 3.12 raise it for a loop of links in Path.resolve
        return None, f"the image '{path}' cannot be read: it is a circular link"


def measure_content(database: Warehouse, work: CompiledModel) -> Content:
    """Returns the average text and picture tokens of the sendable rows of `temp._enrich_snapshot`.

    Both are 0 for a model without pictures, whose text is measured by the bytes of its requests;
    but only the text of an embedding counts, since its settings are none of its tokens.
    """
    images, embeds = work.prompt.images, work.prompt.embeds
    requests, text = (
        database.fetch_one(inputs.render_text_total(), overhead=0 if embeds else work.overhead)
        if images or embeds
        else (0, 0)
    )
    if not requests:
        return Content(text=0.0, pictures=pictures.NO_TOKENS)
    llm = work.body.llm
    fixed = [
        each
        for each in images
        if isinstance(each.source, str) and each.source.startswith(URL_STARTS)
    ]
    moving = [each for each in images if each not in fixed]
    found = pictures.sum_tokens(
        [pictures.count_picture_tokens(llm, None, each.detail) for each in fixed]
    ).multiply(requests)
    for place, width, height, many in database.execute(inputs.render_size_counts()):
        size = None if width is None else (int(width), int(height))
        found += pictures.count_picture_tokens(llm, size, moving[place - 1].detail).multiply(many)
    return Content(text=float(text) / requests, pictures=found.multiply(1 / requests))
