-- description: Each notice with the first notice of its group of duplicates, or itself.
-- materialized: table
--
-- The first notice travels along the pairs: in each round, a notice takes the lowest first notice
-- of those that it pairs with, until nothing changes any more.
WITH RECURSIVE links AS (
    SELECT notice_id, other_id FROM near_duplicates
    UNION ALL
    SELECT other_id, notice_id FROM near_duplicates
),
groups (notice_id, first_id) USING KEY (notice_id) AS (
    SELECT DISTINCT notice_id, notice_id FROM links
    UNION
    SELECT links.other_id, min(changed.first_id)
    FROM groups AS changed
    JOIN links USING (notice_id)
    JOIN recurring.groups AS present ON present.notice_id = links.other_id
    WHERE changed.first_id < present.first_id
    GROUP BY links.other_id
)
SELECT notice_id, coalesce(first_id, notice_id) AS first_id
FROM notices_embeddings
LEFT JOIN groups USING (notice_id)
