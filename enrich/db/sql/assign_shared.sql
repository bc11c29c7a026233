-- Those of the llm at $place are kept as the requests of $batch: those batches may be withdrawn.
INSERT INTO ledger.requests (batch, custom_id, fingerprint, attempt, tail, bytes)
SELECT $batch, custom_id, fingerprint, 1, tail, strlen(tail)
FROM temp._enrich_asked SEMI JOIN (FROM temp._enrich_shared WHERE place = $place) USING (line)
