-- How many lines were judged, and how many requests they answer.
SELECT count(*), count(DISTINCT hash(batch, custom_id))
FROM temp._enrich_judged SEMI JOIN ledger.requests USING (batch, custom_id)
