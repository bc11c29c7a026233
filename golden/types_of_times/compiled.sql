SELECT key, CAST(key."id" AS VARCHAR) AS custom_id,
    CASE WHEN error IS NULL THEN left(sha256('74f61267fb5e293988f5739ce2fe22d42f12a7e6db29c65ab8d23694686d3f01' || tail), 32) END AS fingerprint,
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
