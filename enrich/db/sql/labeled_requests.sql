-- Its requests.
INSERT INTO ledger.requests (batch, custom_id, fingerprint, attempt, tail, bytes)
SELECT $batch, custom_id, fingerprint, 1, tail, strlen(tail) FROM temp._enrich_labeling
