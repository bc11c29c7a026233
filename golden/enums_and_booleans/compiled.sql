SELECT key, CAST(key."id" AS VARCHAR) AS custom_id,
    CASE WHEN error IS NULL THEN left(sha256('5bb584ab326b7702af3f22e7daf2367f633773c358e54846a87141d8bb67aa55' || tail), 32) END AS fingerprint,
    CASE WHEN error IS NULL THEN tail END AS tail,
    error, CAST(NULL AS VARCHAR) AS prompt, sizes, pictured, vector,
    CAST(NULL AS VARCHAR) AS copied_from, CAST(NULL AS VARCHAR) AS reuse, part,
    hash(tail) AS mark, CAST(NULL AS VARCHAR) AS was, CAST(NULL AS VARCHAR) AS was_version
FROM (
    SELECT {'id': inputs."id"} AS key,
        concat(to_json(concat(CAST((name) AS VARCHAR), ': ', CAST((coalesce(note, 'nothing')) AS VARCHAR))), '}]}') AS tail,
        CAST(NULL AS VARCHAR) AS error,
        CAST([] AS STRUCT(width BIGINT, height BIGINT)[]) AS sizes, 0 AS pictured,
        try_cast(NULL AS FLOAT[]) AS vector,
        CAST(NULL AS VARCHAR) AS part
    FROM (
SELECT * FROM (VALUES (1, 'oak', 'tall', 3), (2, 'birch', NULL, 5)) AS item(id, name, note, stars)
) AS inputs
)
