UPDATE ledger.responses AS response
SET outcome = CASE WHEN fault IS NULL THEN 'ok' ELSE 'invalid' END,
    reason = fault, judged_by = $judged_by
FROM temp._enrich_rejudged AS judged
WHERE judged.batch = response.batch AND judged.custom_id = response.custom_id
