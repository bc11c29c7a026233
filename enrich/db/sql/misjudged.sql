-- The answers to temp._enrich_snapshot that another output judged last; those kept from an earlier version
-- are judged by its own.
CREATE OR REPLACE TEMP TABLE misjudged AS
SELECT batch, custom_id, content FROM ledger.responses
WHERE outcome IN ('ok', 'invalid') AND judged_by <> $judged_by AND status_code = 200
    AND fingerprint IN (SELECT fingerprint FROM temp._enrich_snapshot WHERE prompt IS NULL)
