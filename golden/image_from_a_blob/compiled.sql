SELECT key, CAST(key."id" AS VARCHAR) AS custom_id,
    CASE WHEN error IS NULL THEN left(sha256('d6ae587ed9202c8889a8e5379ea7eb5a35ace53943b0022f43bbeb296ce33411' || tail), 32) END AS fingerprint,
    CASE WHEN error IS NULL THEN tail END AS tail,
    error, CAST(NULL AS VARCHAR) AS prompt, sizes, pictured, vector,
    CAST(NULL AS VARCHAR) AS copied_from, CAST(NULL AS VARCHAR) AS reuse, part,
    hash(tail) AS mark, CAST(NULL AS VARCHAR) AS was, CAST(NULL AS VARCHAR) AS was_version
FROM (
    SELECT {'id': inputs."id"} AS key,
        concat(to_json(_enrich_0._enrich_url), '}}]}]}') AS tail,
        coalesce(_enrich_0._enrich_error) AS error,
        CAST([_enrich_0._enrich_size] AS STRUCT(width BIGINT, height BIGINT)[]) AS sizes, CASE WHEN starts_with(_enrich_0._enrich_url, 'data:') THEN strlen(_enrich_0._enrich_url) ELSE 0 END AS pictured,
        try_cast(NULL AS FLOAT[]) AS vector,
        CAST(NULL AS VARCHAR) AS part
    FROM temp._enrich_rows AS inputs
    CROSS JOIN LATERAL (SELECT CASE WHEN content IS NOT NULL THEN
            'data:' || CASE WHEN hex(content[1:4]) = '89504E47' THEN 'image/png' WHEN hex(content[1:3]) = 'FFD8FF' THEN 'image/jpeg' WHEN hex(content[1:4]) = '47494638' THEN 'image/gif' WHEN hex(content[1:4]) = '52494646' AND hex(content[9:12]) = '57454250' THEN 'image/webp' END || ';base64,' || to_base64(content) END AS _enrich_url,
            CASE WHEN content IS NULL THEN 'the image is NULL' WHEN _enrich_url IS NULL
            THEN 'the image is not a PNG, JPEG, WEBP or GIF' END AS _enrich_error,
            CASE WHEN octet_length(content) < 30 THEN NULL WHEN hex(content[1:4]) = '89504E47' THEN {'width': CAST('0x' || hex(content[17:17]) || hex(content[18:18]) || hex(content[19:19]) || hex(content[20:20]) AS BIGINT), 'height': CAST('0x' || hex(content[21:21]) || hex(content[22:22]) || hex(content[23:23]) || hex(content[24:24]) AS BIGINT)}
        WHEN hex(content[1:4]) = '47494638' THEN {'width': CAST('0x' || hex(content[8:8]) || hex(content[7:7]) AS BIGINT), 'height': CAST('0x' || hex(content[10:10]) || hex(content[9:9]) AS BIGINT)} WHEN hex(content[1:3]) = 'FFD8FF' THEN list_sort(list_transform(regexp_extract_all(hex(content[1:262144]), 'FFC[012]00(?:0B|11|14)08([0-9A-F]{8})', 1), lambda frame: {'width': CAST('0x' || frame[5:8] AS BIGINT), 'height': CAST('0x' || frame[1:4] AS BIGINT)}), 'DESC')[1]
        WHEN hex(content[13:16]) = '56503858' THEN {'width': 1 + CAST('0x' || hex(content[27:27]) || hex(content[26:26]) || hex(content[25:25]) AS BIGINT), 'height': 1 + CAST('0x' || hex(content[30:30]) || hex(content[29:29]) || hex(content[28:28]) AS BIGINT)}
        WHEN hex(content[13:16]) = '56503820' THEN {'width': CAST('0x' || hex(content[28:28]) || hex(content[27:27]) AS BIGINT) & 16383, 'height': CAST('0x' || hex(content[30:30]) || hex(content[29:29]) AS BIGINT) & 16383}
        WHEN hex(content[13:16]) = '5650384C' THEN {'width': 1 + (CAST('0x' || hex(content[25:25]) || hex(content[24:24]) || hex(content[23:23]) || hex(content[22:22]) AS BIGINT) & 16383), 'height': 1 + ((CAST('0x' || hex(content[25:25]) || hex(content[24:24]) || hex(content[23:23]) || hex(content[22:22]) AS BIGINT) >> 14) & 16383)} END AS _enrich_size
            FROM (SELECT _enrich_shown AS content FROM (SELECT (picture) AS _enrich_shown))) AS _enrich_0
)
