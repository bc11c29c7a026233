-- How many rows of temp.settled failed, and how.
SELECT outcome, error, count(*) AS "rows" FROM temp.settled
WHERE outcome <> 'ok' GROUP BY ALL ORDER BY "rows" DESC, outcome, error
