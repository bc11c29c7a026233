-- How well labels were matched, by version: for each label, averaged over labels (macro), and over all that
-- was said (micro).
INSERT INTO ledger.evaluations
WITH said AS (
    SELECT prompt, line, unnest(said) AS label, true AS given FROM temp._enrich_scored WHERE answered
), expected AS (
    SELECT prompt, line, unnest(expected) AS label, true AS wanted FROM temp._enrich_scored WHERE answered
), counted AS (
    SELECT prompt, label, count(*) FILTER (given AND wanted) AS right_ones,
        count(*) FILTER (given AND wanted IS NULL) AS wrong, count(*) FILTER (given IS NULL) AS lost
    FROM said FULL JOIN expected USING (prompt, line, label) GROUP BY ALL
), figures AS (
    SELECT prompt, label, right_ones + lost AS many, right_ones / nullif(right_ones + wrong, 0) AS hit,
        right_ones / nullif(right_ones + lost, 0) AS found,
        2 * right_ones / (2 * right_ones + wrong + lost) AS balance
    FROM counted
), overall AS (
    SELECT prompt, count(*) AS many, count(*) FILTER (answered) AS answered,
        avg((said = expected)::INTEGER) FILTER (answered) AS accuracy
    FROM temp._enrich_scored GROUP BY prompt
), averaged AS (
    SELECT prompt, 'macro' AS average, avg(coalesce(hit, 0)) AS hit, avg(coalesce(found, 0)) AS found,
        avg(balance) AS balance
    FROM figures GROUP BY prompt
    UNION ALL
    SELECT prompt, 'micro', sum(right_ones) / nullif(sum(right_ones + wrong), 0),
        sum(right_ones) / nullif(sum(right_ones + lost), 0),
        2 * sum(right_ones) / nullif(sum(2 * right_ones + wrong + lost), 0)
    FROM counted GROUP BY prompt
), every AS (
    SELECT prompt, average, NULL AS label, many, answered, accuracy, hit, found, balance
    FROM overall LEFT JOIN averaged USING (prompt)
    UNION ALL
    SELECT prompt, NULL, label, many, NULL, NULL, hit, found, balance FROM figures
)
SELECT $model, prompt, version.llm, $labels, $column, average, label, many, answered, accuracy, hit,
    found, balance, NULL, NULL, now()::TIMESTAMP
FROM every JOIN ledger.prompts AS version USING (prompt)
