-- The number of rows of temp._enrich_settled that failed, by outcome and error.
SELECT outcome, error, count(*) AS "rows" FROM temp._enrich_settled
WHERE outcome <> 'ok' GROUP BY ALL ORDER BY "rows" DESC, outcome, error
