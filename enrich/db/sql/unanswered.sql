-- Whether any row of temp._enrich_settled has no ok answer to its present request.
SELECT count(*) > 0 FROM temp._enrich_settled WHERE outcome IS DISTINCT FROM 'ok'
