SELECT key, CAST(key."id" AS VARCHAR) AS custom_id,
    CASE WHEN error IS NULL THEN left(sha256('5e92938d7209fee47664e98a9dea7b13083ed966ec08c038a43674679463b760' || tail), 32) END AS fingerprint,
    CASE WHEN error IS NULL THEN tail END AS tail,
    error, CAST(NULL AS VARCHAR) AS prompt, sizes, pictured, vector,
    CAST(NULL AS VARCHAR) AS copied_from, CAST(NULL AS VARCHAR) AS reuse, part,
    hash(tail) AS mark, CAST(NULL AS VARCHAR) AS was, CAST(NULL AS VARCHAR) AS was_version
FROM (
    SELECT {'id': inputs."id"} AS key,
        concat(to_json(concat(CAST((title) AS VARCHAR))), '},{"type":"image_url","image_url":{"url":', to_json(_enrich_0._enrich_url), ',"detail":"low"}}]}]}') AS tail,
        coalesce(_enrich_0._enrich_error) AS error,
        CAST([_enrich_0._enrich_size] AS STRUCT(width BIGINT, height BIGINT)[]) AS sizes, CASE WHEN starts_with(_enrich_0._enrich_url, 'data:') THEN strlen(_enrich_0._enrich_url) ELSE 0 END AS pictured,
        try_cast(NULL AS FLOAT[]) AS vector,
        CAST(NULL AS VARCHAR) AS part
    FROM temp._enrich_rows AS inputs
    CROSS JOIN LATERAL (SELECT
            CASE WHEN (starts_with(source, 'http://') OR starts_with(source, 'https://') OR starts_with(source, 'data:')) THEN source ELSE picture.url END AS _enrich_url,
            CASE WHEN source IS NULL THEN 'the image is NULL' ELSE picture.error END
                AS _enrich_error,
            picture.size AS _enrich_size
            FROM (SELECT _enrich_shown AS source FROM (SELECT (picture) AS _enrich_shown))
                LEFT JOIN temp._enrich_pictures AS picture ON path = source) AS _enrich_0
)
