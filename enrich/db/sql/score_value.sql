-- How many values are as expected, by version.
INSERT INTO ledger.evaluations
WITH overall AS (
    SELECT prompt, count(*) AS many, count(*) FILTER (answered) AS answered,
        avg((said = expected)::INTEGER) FILTER (answered) AS accuracy
    FROM temp._enrich_scored GROUP BY prompt
)
SELECT $model, prompt, version.llm, $labels, $column, NULL, NULL, many, overall.answered, accuracy,
    NULL, NULL, NULL, NULL, NULL, now()::TIMESTAMP
FROM overall JOIN ledger.prompts AS version USING (prompt)
