SELECT key, CAST(key."id" AS VARCHAR) AS custom_id,
    CASE WHEN error IS NULL THEN left(sha256('aacc6f71ffeed7fde80ae38234a0d586bb7ec48d5993fc7eda4cd2bdbfc41bb0' || tail), 32) END AS fingerprint,
    CASE WHEN error IS NULL THEN tail END AS tail,
    error, CAST(NULL AS VARCHAR) AS prompt, sizes, pictured, vector,
    CAST(NULL AS VARCHAR) AS copied_from, CAST(NULL AS VARCHAR) AS reuse, part,
    hash(tail) AS mark, CAST(NULL AS VARCHAR) AS was, CAST(NULL AS VARCHAR) AS was_version
FROM (
    SELECT {'id': inputs."id"} AS key,
        concat(to_json(concat('In a ', 'dry', ' tone: ', CAST((name) AS VARCHAR))), '}]}') AS tail,
        CAST(NULL AS VARCHAR) AS error,
        CAST([] AS STRUCT(width BIGINT, height BIGINT)[]) AS sizes, 0 AS pictured,
        try_cast(NULL AS FLOAT[]) AS vector,
        CAST(NULL AS VARCHAR) AS part
    FROM (
SELECT * FROM (VALUES (1, 'oak', 'tall', 3), (2, 'birch', NULL, 5)) AS item(id, name, note, stars) WHERE stars >= 4
) AS inputs
)
