-- How many texts are as expected, by version: exactly, and without regard to case, accents, punctuation and
-- spaces.
INSERT INTO ledger.evaluations
WITH texts AS (
    SELECT prompt, answered, said[1] AS said, expected[1] AS expected,
        trim(regexp_replace(strip_accents(lower(said[1])), '[^\p{L}\p{N}]+', ' ', 'g')) AS plain,
        trim(regexp_replace(strip_accents(lower(expected[1])), '[^\p{L}\p{N}]+', ' ', 'g'))
            AS plain_expected
    FROM temp._enrich_scored
), overall AS (
    SELECT prompt, count(*) AS many, count(*) FILTER (answered) AS answered,
        avg((said IS NOT DISTINCT FROM expected)::INTEGER) FILTER (answered) AS exact,
        avg((plain IS NOT DISTINCT FROM plain_expected)::INTEGER) FILTER (answered) AS normalized
    FROM texts GROUP BY prompt
)
SELECT $model, prompt, version.llm, $labels, $column, NULL, NULL, many, overall.answered, NULL, NULL,
    NULL, NULL, exact, normalized, now()::TIMESTAMP
FROM overall JOIN ledger.prompts AS version USING (prompt)
