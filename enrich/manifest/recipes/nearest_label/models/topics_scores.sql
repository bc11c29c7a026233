-- description: How often the nearest topic is the expected one, for each third of the margins.
SELECT
    -- The row without a third is for all messages.
    third,
    count(*) AS messages,
    round(avg(CASE WHEN found.topic = expected.topic THEN 1 ELSE 0 END), 2) AS accuracy,
    CAST(min(margin) AS DECIMAL(4, 2)) AS from_margin,
    CAST(max(margin) AS DECIMAL(4, 2)) AS to_margin
FROM (SELECT *, ntile(3) OVER (ORDER BY margin DESC) AS third FROM messages_topics) AS found
JOIN messages_expected AS expected USING (message_id)
GROUP BY ROLLUP (third)
ORDER BY third NULLS LAST
