"""A SELECT becomes a snapshot: key, custom_id, fingerprint and the row's part of the body."""

from __future__ import annotations

from typing import TYPE_CHECKING

from enrich.compiler.body import REMOTE
from enrich.db.quote import quote_name, quote_text, render_struct

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from enrich.compiler.body import Body

WHOLE = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT")
NESTED = ("STRUCT", "MAP", "UNION", "LIST")
PICTURES = "temp._enrich_pictures"
ROWS = "temp._enrich_rows"

PNG = "hex(content[1:4]) = '89504E47'"
JPEG = "hex(content[1:3]) = 'FFD8FF'"
GIF = "hex(content[1:4]) = '47494638'"
WEBP = "hex(content[1:4]) = '52494646' AND hex(content[9:12]) = '57454250'"
MEDIA_TYPE = (
    f"CASE WHEN {PNG} THEN 'image/png' WHEN {JPEG} THEN 'image/jpeg' "
    f"WHEN {GIF} THEN 'image/gif' WHEN {WEBP} THEN 'image/webp' END"
)
HEAD = 262_144
"""So many bytes of a JPEG hold its size, even behind a thumbnail and a profile."""


def _number(places: str, *, content: str = "content") -> str:
    """The bytes at these places, the highest first, as a number."""
    digits = " || ".join(f"hex({content}[{place}:{place}])" for place in places.split())
    return f"CAST('0x' || {digits} AS BIGINT)"


def _jpeg_size() -> str:
    """The largest frame that a JPEG announces: a thumbnail inside it announces one, too.

    The markers SOF0 to SOF2 (ITU T.81), a length for one, three or four components, 8 bits.
    """
    marker = "FFC[012]00(?:0B|11|14)08([0-9A-F]{8})"
    frames = f"regexp_extract_all(hex(content[1:{HEAD}]), '{marker}', 1)"
    height, width = (f"CAST('0x' || frame[{at}:{at + 3}] AS BIGINT)" for at in (1, 5))
    sizes = f"list_transform({frames}, lambda frame: {{'width': {width}, 'height': {height}}})"
    return f"list_sort({sizes}, 'DESC')[1]"


def size() -> str:
    """SQL for the pixels of the picture `content`, by its header; NULL where that tells none."""

    def pair(width: str, height: str) -> str:
        return f"{{'width': {width}, 'height': {height}}}"

    png = pair(_number("17 18 19 20"), _number("21 22 23 24"))
    gif = pair(_number("8 7"), _number("10 9"))
    extended = pair(f"1 + {_number('27 26 25')}", f"1 + {_number('30 29 28')}")
    lossy = pair(f"{_number('28 27')} & 16383", f"{_number('30 29')} & 16383")
    bits = _number("25 24 23 22")
    lossless = pair(f"1 + ({bits} & 16383)", f"1 + (({bits} >> 14) & 16383)")
    return f"""CASE WHEN octet_length(content) < 30 THEN NULL WHEN {PNG} THEN {png}
        WHEN {GIF} THEN {gif} WHEN {JPEG} THEN {_jpeg_size()}
        WHEN hex(content[13:16]) = '56503858' THEN {extended}
        WHEN hex(content[13:16]) = '56503820' THEN {lossy}
        WHEN hex(content[13:16]) = '5650384C' THEN {lossless} END"""


SIZE = "STRUCT(width BIGINT, height BIGINT)"


def sizes() -> str:
    """How many pictures of the snapshot have which size, by their place among a row's pictures."""
    return """SELECT place, size.width, size.height, count(*) FROM (
    SELECT unnest(range(1, len(sizes) + 1)) AS place, unnest(sizes) AS size
    FROM temp._enrich_snapshot WHERE error IS NULL
) GROUP BY ALL"""


def texts() -> str:
    """How many rows of the snapshot can be asked, and the bytes of their requests without the
    pictures in them; $overhead are those of a line besides its custom_id and tail."""
    return """SELECT count(*), coalesce(sum(strlen(tail) - pictured + $overhead), 0)
FROM temp._enrich_snapshot WHERE error IS NULL"""


def materialized(select: str) -> str:
    """Keep the SELECT's rows, where they are read twice: once for their pictures."""
    return f"CREATE OR REPLACE TEMP TABLE _enrich_rows AS\n{select}"


def described(select: str, images: tuple[str, ...]) -> str:
    """The names and types of the image expressions."""
    columns = ", ".join(f"{image} AS i{number}" for number, image in enumerate(images))
    return f"DESCRIBE SELECT {columns} FROM (\n{select}\n) AS inputs"


def paths(images: tuple[str, ...]) -> str:
    """The distinct files that the image expressions name."""
    sides = (f"SELECT {image} AS path FROM {ROWS} AS inputs" for image in images)
    union = "\nUNION\n".join(sides)
    return f"SELECT DISTINCT path FROM ({union}) WHERE path IS NOT NULL AND NOT {_remote('path')}"


def data_urls() -> str:
    """Fill `temp._enrich_pictures`.

    $given and $found are lists of equal length: the path in the cell, the file to read or NULL;
    $faults says what is wrong where there is no file.
    """
    return f"""INSERT INTO temp._enrich_pictures
WITH wanted AS (
    SELECT unnest($given) AS path, unnest($found) AS file, unnest($faults) AS fault
), files AS (
    SELECT filename, content, {MEDIA_TYPE} AS media_type, {size()} AS size
    FROM read_blob($globs)
)
SELECT path, size, 'data:' || media_type || ';base64,' || to_base64(content) AS url,
    CASE WHEN url IS NULL THEN
        coalesce(fault, 'the image ''' || path || ''' is not a PNG, JPEG, WEBP or GIF')
    END AS error
FROM wanted LEFT JOIN files ON filename = file"""


def no_pictures() -> str:
    """Declare `temp._enrich_pictures`: a file as a `data:` URL, or what is wrong with it."""
    return (
        "CREATE OR REPLACE TEMP TABLE _enrich_pictures "
        f"(path VARCHAR, size {SIZE}, url VARCHAR, error VARCHAR)"
    )


def snapshot(
    select: str,
    *,
    key: Mapping[str, str],
    body: Body,
    digest: str,
    blobs: tuple[bool, ...] = (),
    kept: bool = False,
) -> str:
    """The SELECT that gives one row for each row of `select`:

    key STRUCT, custom_id, fingerprint, tail, error, prompt, sizes, pictured; where `error` says why
    a row cannot be asked, the others are NULL; `prompt`, NULL so far, is the earlier version whose
    answer a row keeps; `sizes` are the pixels of its pictures, NULL where unknown, and `pictured`
    the bytes of those that stand in the request. `key` maps the key's columns to their types,
    `blobs` tells which images are BLOBs. `kept`: the rows are in `temp._enrich_rows`.
    """
    columns = {column: f"inputs.{quote_name(column)}" for column in key}
    source = f"{ROWS} AS inputs" if kept else f"(\n{select}\n) AS inputs"
    joins = "".join(
        _picture(number, image, blobs[number]) for number, image in enumerate(body.images)
    )
    names = [f"_enrich_{number}" for number in range(len(body.images))]
    errors = [f"{name}._enrich_error" for name in names]
    sizes = ", ".join(f"{name}._enrich_size" for name in names)
    inside = " + ".join(
        f"CASE WHEN starts_with({name}._enrich_url, 'data:') "
        f"THEN strlen({name}._enrich_url) ELSE 0 END"
        for name in names
    )
    return f"""SELECT key, {_custom_id(key)} AS custom_id,
    CASE WHEN error IS NULL THEN left(sha256({quote_text(digest)} || tail), 32) END AS fingerprint,
    CASE WHEN error IS NULL THEN tail END AS tail,
    error, CAST(NULL AS VARCHAR) AS prompt, sizes, pictured
FROM (
    SELECT {render_struct(columns)} AS key,
        {body.tail} AS tail,
        {f"coalesce({', '.join(errors)})" if errors else "CAST(NULL AS VARCHAR)"} AS error,
        CAST([{sizes}] AS {SIZE}[]) AS sizes, {inside or "0"} AS pictured
    FROM {source}{joins}
)"""


def key_faults(key: Mapping[str, str]) -> str:
    """Keys of the snapshot that are NULL in a part, or stand for several rows; three of each."""
    absent = " OR ".join(f"key.{quote_name(column)} IS NULL" for column in key)
    return f"""SELECT fault, list(CAST(key AS VARCHAR) ORDER BY first)[:3], count(*) FROM (
    SELECT 'NULL' AS fault, key, min(rowid) AS first FROM temp._enrich_snapshot
    WHERE {absent} GROUP BY key
    UNION ALL
    SELECT 'not unique', key, min(rowid) FROM temp._enrich_snapshot
    GROUP BY key HAVING count(*) > 1
)
GROUP BY fault ORDER BY fault"""


def same_ids(key: Mapping[str, str]) -> str:
    """Keys that have one custom_id with another key; three of them. A whole number is its own."""
    if len(key) == 1 and next(iter(key.values())).removeprefix("U") in WHOLE:
        return "SELECT NULL, NULL WHERE false"
    return """SELECT custom_id, list(CAST(key AS VARCHAR) ORDER BY rowid)[:3]
FROM temp._enrich_snapshot GROUP BY custom_id HAVING count(*) > 1 LIMIT 1"""


def asked(key: Iterable[str]) -> str:
    """The snapshot's rows in their order: the key as text, its values alone, fingerprint, error."""
    values = ", ".join(f"CAST(key.{quote_name(column)} AS VARCHAR)" for column in key)
    return f"""SELECT CAST(key AS VARCHAR), concat_ws(', ', {values}), fingerprint, error
FROM temp._enrich_snapshot ORDER BY rowid"""


def _picture(number: int, image: str, blob: bool) -> str:
    """Join the n-th image as `_enrich_n`: its URL, or what is wrong with it."""
    if blob:
        side = f"""SELECT CASE WHEN content IS NOT NULL THEN
            'data:' || {MEDIA_TYPE} || ';base64,' || to_base64(content) END AS _enrich_url,
            CASE WHEN content IS NULL THEN 'the image is NULL' WHEN _enrich_url IS NULL
            THEN 'the image is not a PNG, JPEG, WEBP or GIF' END AS _enrich_error,
            {size()} AS _enrich_size
            FROM (SELECT {image} AS content)"""
    else:
        side = f"""SELECT
            CASE WHEN {_remote("source")} THEN source ELSE picture.url END AS _enrich_url,
            CASE WHEN source IS NULL THEN 'the image is NULL' ELSE picture.error END
                AS _enrich_error,
            picture.size AS _enrich_size
            FROM (SELECT {image} AS source) LEFT JOIN {PICTURES} AS picture ON path = source"""
    return f"\n    CROSS JOIN LATERAL ({side}) AS _enrich_{number}"


def _remote(expression: str) -> str:
    starts = (f"starts_with({expression}, {quote_text(start)})" for start in REMOTE)
    return f"({' OR '.join(starts)})"


def _whole(key: Mapping[str, str]) -> str:
    """SQL for the key as it is hashed: JSON as its text, for `to_json` drops the spaces that make
    two keys differ."""
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


def _custom_id(key: Mapping[str, str]) -> str:
    """The key itself where it fits what every provider takes, else a readable slug and a hash.

    Portable custom_ids are up to 64 of A-Z a-z 0-9 _ -. A key that looks like a slug with its hash
    is hashed too, so the two can never meet.
    """
    texts = [f"CAST(key.{quote_name(column)} AS VARCHAR)" for column in key]
    if len(key) == 1 and next(iter(key.values())).removeprefix("U") in WHOLE:
        return texts[0]
    readable = f"regexp_replace(strip_accents(concat_ws('-', {', '.join(texts)})), "
    slug = f"left(trim({readable}'[^A-Za-z0-9]+', '-', 'g'), '-'), 40)"
    hashed = f"{slug} || '_' || left(sha256(CAST(to_json({_whole(key)}) AS VARCHAR)), 16)"
    if len(key) > 1:
        return hashed
    fits = f"regexp_full_match({texts[0]}, '[A-Za-z0-9_-]{{1,64}}')"
    alike = f"regexp_full_match({texts[0]}, '.*_[0-9a-f]{{16}}')"
    return f"CASE WHEN {fits} AND NOT {alike} THEN {texts[0]} ELSE {hashed} END"
