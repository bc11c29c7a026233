-- The rows of temp._enrich_snapshot that were answered by labels, unless the ledger has these answers already.
CREATE OR REPLACE TEMP TABLE _enrich_labeling AS
SELECT any_value(custom_id) AS custom_id, fingerprint, any_value(tail) AS tail, any_value(answer) AS answer
FROM temp._enrich_snapshot AS snapshot JOIN temp._enrich_triaged AS triaged ON triaged.line = snapshot.rowid
WHERE reuse = 'triaged' AND fingerprint NOT IN (
    SELECT fingerprint FROM ledger.responses WHERE outcome = 'ok' AND batch IN (
        SELECT batch FROM ledger.batches WHERE coalesce(read_number, 1) > $since
    )
)
GROUP BY fingerprint
