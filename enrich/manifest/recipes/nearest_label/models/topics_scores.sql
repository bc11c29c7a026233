-- description: How often the nearest topic is the expected one, for each third of the margins.
SELECT
    third,
    count(*) AS messages,
    round(avg(CASE WHEN found.topic = expected.topic THEN 1 ELSE 0 END), 2) AS accuracy,
    round(min(margin), 2) AS from_margin,
    round(max(margin), 2) AS to_margin
FROM (SELECT *, ntile(3) OVER (ORDER BY margin DESC) AS third FROM messages_topics) AS found
JOIN messages_expected AS expected USING (message_id)
-- The last row is the total.
GROUP BY ROLLUP (third)
ORDER BY third NULLS LAST
