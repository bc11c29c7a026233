-- description: Pairs of notices that say nearly the same, without comparing all with all.
-- materialized: table
--
-- Most numbers of two similar vectors lie on the same side of the middle. So whether each number is
-- above or below it makes a text of signs, which is cut into bands. Rows that have the same signs
-- in any band are candidates, and only these are compared.
WITH size AS (
    SELECT
        count(*) AS n,
        -- Twice as many rows need one more sign for blocks that stay as small.
        greatest(4, CAST(ceil(log2(greatest(count(*), 1))) AS INTEGER) - 1) AS signs_of_band
    FROM notices_embeddings
),
-- The middle of all vectors; 10,000 of them show well enough where it is.
middle AS (
    SELECT list(average ORDER BY place) AS numbers
    FROM (
        SELECT place, avg(number) AS average
        FROM (
            SELECT
                unnest(CAST(embedding AS FLOAT[])) AS number,
                unnest(range(len(embedding))) AS place
            FROM (FROM notices_embeddings ORDER BY md5(CAST(notice_id AS VARCHAR)) LIMIT 10000)
        )
        GROUP BY place
    )
),
signed AS (
    SELECT
        notice_id,
        list_sum(CAST(embedding AS FLOAT[])) AS sum,
        array_to_string(
            list_transform(
                list_zip(CAST(embedding AS FLOAT[]), numbers),
                lambda pair: CASE WHEN pair[1] > pair[2] THEN '+' ELSE '-' END
            ),
            ''
        ) AS signs
    FROM notices_embeddings, middle
),
banded AS (
    SELECT
        notice_id,
        sum,
        band,
        substr(signs, 1 + band * signs_of_band, signs_of_band) AS signs
    FROM signed, size, range($bands) AS bands (band)
    WHERE (band + 1) * signs_of_band <= len(signs)
),
-- A block is the rows with the same signs in one band, in the order of another measure, so that
-- similar rows are near each other in a large block, too.
blocks AS (
    SELECT
        notice_id,
        band,
        signs,
        row_number() OVER (PARTITION BY band, signs ORDER BY sum, notice_id) AS place,
        count(*) OVER (PARTITION BY band, signs) AS length
    FROM banded
),
candidates AS (
    SELECT DISTINCT
        least(one.notice_id, other.notice_id) AS notice_id,
        greatest(one.notice_id, other.notice_id) AS other_id
    FROM (
        SELECT
            notice_id,
            band,
            signs,
            unnest(range(place + 1, least(place + $neighbors, length) + 1)) AS place
        FROM blocks
        WHERE length > 1
    ) AS one
    JOIN blocks AS other USING (band, signs, place)
)
SELECT
    notice_id,
    other_id,
    array_cosine_similarity(one.embedding, other.embedding) AS similarity
FROM candidates
JOIN notices_embeddings AS one USING (notice_id)
JOIN notices_embeddings AS other ON other.notice_id = other_id
WHERE similarity >= $threshold
