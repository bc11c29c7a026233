-- How many rows of temp._enrich_settled failed, and how.
SELECT outcome, error, count(*) AS "rows" FROM temp._enrich_settled
WHERE outcome <> 'ok' GROUP BY ALL ORDER BY "rows" DESC, outcome, error
