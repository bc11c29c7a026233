INSERT INTO ledger.requests
SELECT $batch, custom_id, fingerprint, attempt, tail FROM temp.todo WHERE n BETWEEN $first AND $last
