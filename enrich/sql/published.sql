-- What came of a run so far, kept so that nobody has to count again.
UPDATE ledger.runs SET published_at = now()::TIMESTAMP,
    outcomes = (
        SELECT CAST(json_group_object(coalesce(outcome, 'pending'), many) AS VARCHAR)
        FROM (SELECT outcome, count(*) AS many FROM temp.settled GROUP BY outcome)
    ),
    stale = (SELECT count(*) FROM temp.settled WHERE stale)
WHERE run = $run
