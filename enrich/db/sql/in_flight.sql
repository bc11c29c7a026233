-- The requests in flight, and of which model: they are not sent again. Each is in one batch.
CREATE OR REPLACE TEMP TABLE _enrich_in_flight AS
SELECT fingerprint, batch, model FROM ledger.requests JOIN temp._enrich_under_way USING (batch)
