"""A SELECT becomes a snapshot: key, custom_id, fingerprint and the row's part of the body."""

from __future__ import annotations

from typing import TYPE_CHECKING

from enrich.compiler.body import URL_STARTS
from enrich.db.quote import quote_name, quote_text, render_struct

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from enrich.compiler.body import RequestBody

WHOLE_TYPES = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT")
NESTED_TYPES = ("STRUCT", "MAP", "UNION", "LIST")
PICTURES_TABLE = "temp._enrich_pictures"
ROWS_TABLE = "temp._enrich_rows"

IS_PNG = "hex(content[1:4]) = '89504E47'"
IS_JPEG = "hex(content[1:3]) = 'FFD8FF'"
IS_GIF = "hex(content[1:4]) = '47494638'"
IS_WEBP = "hex(content[1:4]) = '52494646' AND hex(content[9:12]) = '57454250'"
MEDIA_TYPE = (
    f"CASE WHEN {IS_PNG} THEN 'image/png' WHEN {IS_JPEG} THEN 'image/jpeg' "
    f"WHEN {IS_GIF} THEN 'image/gif' WHEN {IS_WEBP} THEN 'image/webp' END"
)
JPEG_HEAD_BYTES = 262_144
"""The bytes of a JPEG that are searched for its size, which may follow a thumbnail and a profile:
a search of whole files would take far longer."""


def _render_number(places: str, *, content: str = "content") -> str:
    """SQL for the bytes at these places, counted from 1, the highest first, as a number."""
    digits = " || ".join(f"hex({content}[{place}:{place}])" for place in places.split())
    return f"CAST('0x' || {digits} AS BIGINT)"


def _render_jpeg_size() -> str:
    """SQL for the largest frame that a JPEG announces: a thumbnail inside it announces one, too."""
    # The markers SOF0 to SOF2 of ITU T.81, a length for one, three or four components, and 8 bits.
    marker = "FFC[012]00(?:0B|11|14)08([0-9A-F]{8})"
    frames = f"regexp_extract_all(hex(content[1:{JPEG_HEAD_BYTES}]), '{marker}', 1)"
    height, width = (f"CAST('0x' || frame[{at}:{at + 3}] AS BIGINT)" for at in (1, 5))
    sizes = f"list_transform({frames}, lambda frame: {{'width': {width}, 'height': {height}}})"
    return f"list_sort({sizes}, 'DESC')[1]"


def render_picture_size() -> str:
    """SQL for the pixels of the picture `content`, from its header; NULL if that is not readable.

    The places are those of the PNG specification (IHDR), GIF89a and the WebP container.
    """

    def pair(width: str, height: str) -> str:
        return f"{{'width': {width}, 'height': {height}}}"

    png = pair(_render_number("17 18 19 20"), _render_number("21 22 23 24"))
    gif = pair(_render_number("8 7"), _render_number("10 9"))
    extended = pair(f"1 + {_render_number('27 26 25')}", f"1 + {_render_number('30 29 28')}")
    lossy = pair(f"{_render_number('28 27')} & 16383", f"{_render_number('30 29')} & 16383")
    # Lossless WebP packs both sides into 28 bits, each less one.
    bits = _render_number("25 24 23 22")
    lossless = pair(f"1 + ({bits} & 16383)", f"1 + (({bits} >> 14) & 16383)")
    return f"""CASE WHEN octet_length(content) < 30 THEN NULL WHEN {IS_PNG} THEN {png}
        WHEN {IS_GIF} THEN {gif} WHEN {IS_JPEG} THEN {_render_jpeg_size()}
        WHEN hex(content[13:16]) = '56503858' THEN {extended}
        WHEN hex(content[13:16]) = '56503820' THEN {lossy}
        WHEN hex(content[13:16]) = '5650384C' THEN {lossless} END"""


SIZE_TYPE = "STRUCT(width BIGINT, height BIGINT)"


def render_size_counts() -> str:
    """The number of pictures of each size in the snapshot, by their place among those of a row."""
    return """SELECT place, size.width, size.height, count(*) FROM (
    SELECT unnest(range(1, len(sizes) + 1)) AS place, unnest(sizes) AS size
    FROM temp._enrich_snapshot WHERE error IS NULL
) GROUP BY ALL"""


def render_text_total() -> str:
    """The number of rows of the snapshot that can be sent, and the bytes of their requests without
    the pictures in them; $overhead is the bytes of a line without its custom_id and tail."""
    return """SELECT count(*), coalesce(sum(strlen(tail) - pictured + $overhead), 0)
FROM temp._enrich_snapshot WHERE error IS NULL"""


def render_rows_table(select: str) -> str:
    """Create `temp._enrich_rows` from the SELECT, for rows that are read twice."""
    # Run a second time, the SELECT might return other rows, or in another order.
    return f"CREATE OR REPLACE TEMP TABLE _enrich_rows AS\n{select}"


def render_image_types(select: str, images: tuple[str, ...]) -> str:
    """A DESCRIBE of the image expressions over the SELECT."""
    columns = ", ".join(f"{image} AS i{number}" for number, image in enumerate(images))
    return f"DESCRIBE SELECT {columns} FROM (\n{select}\n) AS inputs"


def render_image_paths(images: tuple[str, ...]) -> str:
    """The distinct paths of files that the image expressions name."""
    sides = (f"SELECT {image} AS path FROM {ROWS_TABLE} AS inputs" for image in images)
    union = "\nUNION\n".join(sides)
    is_url = _render_is_url("path")
    return f"SELECT DISTINCT path FROM ({union}) WHERE path IS NOT NULL AND NOT {is_url}"


def render_data_urls() -> str:
    """Fill `temp._enrich_pictures`.

    $given, $found and $faults are lists of equal length: the path in the cell, the file to read or
    NULL, and what is wrong if there is no file.
    """
    # DuckDB reads the files, many at a time, and encodes them: no picture passes through Python.
    return f"""INSERT INTO temp._enrich_pictures
WITH wanted AS (
    SELECT unnest($given) AS path, unnest($found) AS file, unnest($faults) AS fault
), files AS (
    SELECT filename, content, {MEDIA_TYPE} AS media_type, {render_picture_size()} AS size
    FROM read_blob($globs)
)
SELECT path, size, 'data:' || media_type || ';base64,' || to_base64(content) AS url,
    CASE WHEN url IS NULL THEN
        coalesce(fault, 'the image ''' || path || ''' is not a PNG, JPEG, WEBP or GIF')
    END AS error
FROM wanted LEFT JOIN files ON filename = file"""


def render_pictures_table() -> str:
    """Create `temp._enrich_pictures`: each file as a `data:` URL, or what is wrong with it."""
    return (
        "CREATE OR REPLACE TEMP TABLE _enrich_pictures "
        f"(path VARCHAR, size {SIZE_TYPE}, url VARCHAR, error VARCHAR)"
    )


def render_snapshot(
    select: str,
    *,
    key: Mapping[str, str],
    body: RequestBody,
    digest: str,
    blobs: tuple[bool, ...] = (),
    kept: bool = False,
    vector: str = "",
    part: str = "CAST(NULL AS VARCHAR)",
    recall: bool = False,
) -> str:
    """A SELECT with one row for each row of `select`: key STRUCT, custom_id, fingerprint, tail,
    error, prompt, sizes, pictured, vector, copied_from, reuse, part, mark, was, was_version.

    `error` says why a row cannot be sent; then fingerprint and tail are NULL. `prompt`, still NULL
    here, is the earlier version whose answer a row keeps. `sizes` are the pixels of its pictures,
    NULL where unknown, and `pictured` is the bytes of those that are in the request itself.
    `copied_from`, still NULL, is the key of the row whose answer this one shares, and `reuse` the
    state of such a row (see ROW_STATES). `mark` is a number that changes with the tail. `was`,
    still NULL, is the fingerprint of the row's earlier request, and `was_version` the version that
    asked it. With `recall` the fingerprint is NULL as well: see `recall.sql`.

    `key` maps the key's columns to their types, and `blobs` says which images are BLOBs. With
    `kept` the rows are read from `temp._enrich_rows`. `vector` is the column with their vectors, ""
    if these are not needed, and `part` is SQL for the name of their partition.
    """
    columns = {column: f"inputs.{quote_name(column)}" for column in key}
    source = f"{ROWS_TABLE} AS inputs" if kept else f"(\n{select}\n) AS inputs"
    joins = "".join(
        _join_picture(number, image, blobs[number]) for number, image in enumerate(body.images)
    )
    names = [f"_enrich_{number}" for number in range(len(body.images))]
    errors = [f"{name}._enrich_error" for name in names]
    sizes = ", ".join(f"{name}._enrich_size" for name in names)
    fingerprint = "NULL::VARCHAR" if recall else render_fingerprint(quote_text(digest))
    return f"""SELECT key, {render_custom_id(key)} AS custom_id,
    CASE WHEN error IS NULL THEN {fingerprint} END AS fingerprint,
    CASE WHEN error IS NULL THEN tail END AS tail,
    error, CAST(NULL AS VARCHAR) AS prompt, sizes, pictured, vector,
    CAST(NULL AS VARCHAR) AS copied_from, CAST(NULL AS VARCHAR) AS reuse, part,
    hash(tail) AS mark, CAST(NULL AS VARCHAR) AS was, CAST(NULL AS VARCHAR) AS was_version
FROM (
    SELECT {render_struct(columns)} AS key,
        {body.tail} AS tail,
        {f"coalesce({', '.join(errors)})" if errors else "CAST(NULL AS VARCHAR)"} AS error,
        CAST([{sizes}] AS {SIZE_TYPE}[]) AS sizes, {_render_pictured(names)} AS pictured,
        try_cast({f"inputs.{quote_name(vector)}" if vector else "NULL"} AS FLOAT[]) AS vector,
        {part} AS part
    FROM {source}{joins}
)"""


def render_fingerprint(digest: str) -> str:
    """SQL for the fingerprint of a request, from SQL for the digest of its constants."""
    # 128 bits of the hash are enough: even among 10^15 requests, the chance that any two share them
    # is about one in 10^9.
    return f"left(sha256({digest} || tail), 32)"


def render_new_fingerprints(digest: str) -> str:
    """Give each request of `temp._enrich_snapshot` without a fingerprint its own."""
    fingerprint = render_fingerprint(quote_text(digest))
    return f"""UPDATE temp._enrich_snapshot SET fingerprint = {fingerprint}
WHERE fingerprint IS NULL AND error IS NULL"""


def render_keys_differ(key: Mapping[str, str]) -> str:
    """Whether all keys of the snapshot differ, and their custom_ids do, and none contains NULL."""
    # By their hashes, which takes a third of the time; where two are equal, the keys are compared.
    some = " OR ".join(f"key.{quote_name(column)} IS NULL" for column in key)
    ids = "" if _is_whole_number(key) else " AND count(DISTINCT hash(custom_id)) = count(*)"
    return f"""SELECT count(DISTINCT hash(key)) = count(*){ids}
    AND coalesce(NOT bool_or({some}), true)
FROM temp._enrich_snapshot"""


def _is_whole_number(key: Mapping[str, str]) -> bool:
    """Whether a key is one whole number, which is its own custom_id."""
    return len(key) == 1 and next(iter(key.values())).removeprefix("U") in WHOLE_TYPES


def render_key_faults(key: Mapping[str, str]) -> str:
    """Keys of the snapshot that contain NULL or that several rows have; three of each kind."""
    absent = " OR ".join(f"key.{quote_name(column)} IS NULL" for column in key)
    return f"""SELECT fault, list(CAST(key AS VARCHAR) ORDER BY first)[:3], count(*) FROM (
    SELECT 'NULL' AS fault, key, min(rowid) AS first FROM temp._enrich_snapshot
    WHERE {absent} GROUP BY key
    UNION ALL
    SELECT 'not unique', key, min(rowid) FROM temp._enrich_snapshot
    GROUP BY key HAVING count(*) > 1
)
GROUP BY fault ORDER BY fault"""


def render_shared_ids(key: Mapping[str, str]) -> str:
    """Three keys of the snapshot that share one custom_id, if there are any."""
    if _is_whole_number(key):
        return "SELECT NULL, NULL WHERE false"
    return """SELECT custom_id, list(CAST(key AS VARCHAR) ORDER BY rowid)[:3]
FROM temp._enrich_snapshot GROUP BY custom_id HAVING count(*) > 1 LIMIT 1"""


def render_snapshot_rows(key: Iterable[str]) -> str:
    """The rows of the snapshot in order: the key as text, its values alone, fingerprint, error."""
    values = ", ".join(f"CAST(key.{quote_name(column)} AS VARCHAR)" for column in key)
    return f"""SELECT CAST(key AS VARCHAR), concat_ws(', ', {values}), fingerprint, error
FROM temp._enrich_snapshot ORDER BY rowid"""


def _render_pictured(names: list[str]) -> str:
    """SQL for the bytes of the pictures that are in the request itself, not behind a URL."""
    sizes = (
        f"CASE WHEN starts_with({name}._enrich_url, 'data:') "
        f"THEN strlen({name}._enrich_url) ELSE 0 END"
        for name in names
    )
    return " + ".join(sizes) or "0"


def _join_picture(number: int, image: str, blob: bool) -> str:
    """A join of the n-th image as `_enrich_n`: its URL, or what is wrong with it."""
    # By way of another name, because the user's column may be called `content` or `source`.
    shown = "SELECT _enrich_shown"
    if blob:
        side = f"""SELECT CASE WHEN content IS NOT NULL THEN
            'data:' || {MEDIA_TYPE} || ';base64,' || to_base64(content) END AS _enrich_url,
            CASE WHEN content IS NULL THEN 'the image is NULL' WHEN _enrich_url IS NULL
            THEN 'the image is not a PNG, JPEG, WEBP or GIF' END AS _enrich_error,
            {render_picture_size()} AS _enrich_size
            FROM ({shown} AS content FROM (SELECT {image} AS _enrich_shown))"""
    else:
        pictures = f"{PICTURES_TABLE} AS picture"
        side = f"""SELECT
            CASE WHEN {_render_is_url("source")} THEN source ELSE picture.url END AS _enrich_url,
            CASE WHEN source IS NULL THEN 'the image is NULL' ELSE picture.error END
                AS _enrich_error,
            picture.size AS _enrich_size
            FROM ({shown} AS source FROM (SELECT {image} AS _enrich_shown))
                LEFT JOIN {pictures} ON path = source"""
    return f"\n    CROSS JOIN LATERAL ({side}) AS _enrich_{number}"


def _render_is_url(expression: str) -> str:
    starts = (f"starts_with({expression}, {quote_text(start)})" for start in URL_STARTS)
    return f"({' OR '.join(starts)})"


def _render_hashed_key(key: Mapping[str, str]) -> str:
    """SQL for the key as it is hashed."""
    # JSON as its text, for to_json() drops the spaces by which two keys may differ.
    if "JSON" not in key.values():
        return "key"
    return render_struct(
        {
            column: f"CAST(key.{quote_name(column)} AS VARCHAR)"
            if kind == "JSON"
            else f"key.{quote_name(column)}"
            for column, kind in key.items()
        }
    )


def render_custom_id(key: Mapping[str, str]) -> str:
    """SQL for the key itself if every provider accepts it, otherwise for a readable slug with a
    hash."""
    # Portable custom_ids are at most 64 of A-Z a-z 0-9 _ -: OpenAI documents no limit, but Together
    # has this length and Anthropic this alphabet. A key that already looks like a slug with a hash
    # is hashed as well, so that it cannot equal the custom_id of another key.
    texts = [f"CAST(key.{quote_name(column)} AS VARCHAR)" for column in key]
    if _is_whole_number(key):
        return texts[0]
    readable = f"regexp_replace(strip_accents(concat_ws('-', {', '.join(texts)})), "
    slug = f"left(trim({readable}'[^A-Za-z0-9]+', '-', 'g'), '-'), 40)"
    hashed = (
        f"{slug} || '_' || left(sha256(CAST(to_json({_render_hashed_key(key)}) AS VARCHAR)), 16)"
    )
    if len(key) > 1:
        return hashed
    fits = f"regexp_full_match({texts[0]}, '[A-Za-z0-9_-]{{1,64}}')"
    alike = f"regexp_full_match({texts[0]}, '.*_[0-9a-f]{{16}}')"
    return f"CASE WHEN {fits} AND NOT {alike} THEN {texts[0]} ELSE {hashed} END"
