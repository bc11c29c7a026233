SELECT key, left(trim(regexp_replace(strip_accents(concat_ws('-', CAST(key."id" AS VARCHAR), CAST(key."name" AS VARCHAR))), '[^A-Za-z0-9]+', '-', 'g'), '-'), 40) || '_' || left(sha256(CAST(to_json(key) AS VARCHAR)), 16) AS custom_id,
    CASE WHEN error IS NULL THEN left(sha256('aacc6f71ffeed7fde80ae38234a0d586bb7ec48d5993fc7eda4cd2bdbfc41bb0' || tail), 32) END AS fingerprint,
    CASE WHEN error IS NULL THEN tail END AS tail,
    error, CAST(NULL AS VARCHAR) AS prompt, sizes, pictured, vector,
    CAST(NULL AS VARCHAR) AS copied_from, CAST(NULL AS VARCHAR) AS reuse, part,
    hash(tail) AS mark, CAST(NULL AS VARCHAR) AS was, CAST(NULL AS VARCHAR) AS was_version
FROM (
    SELECT {'id': inputs."id", 'name': inputs."name"} AS key,
        concat(to_json(concat(CAST((name) AS VARCHAR), ': ', CAST((coalesce(note, 'nothing')) AS VARCHAR))), '}]}') AS tail,
        CAST(NULL AS VARCHAR) AS error,
        CAST([] AS STRUCT(width BIGINT, height BIGINT)[]) AS sizes, 0 AS pictured,
        try_cast(NULL AS FLOAT[]) AS vector,
        CAST(NULL AS VARCHAR) AS part
    FROM (
SELECT * FROM (VALUES (1, 'oak', 'tall', 3), (2, 'birch', NULL, 5)) AS item(id, name, note, stars)
) AS inputs
)
