-- temp._enrich_known of a model that has no rows with such a key in the ledger.
CREATE OR REPLACE TEMP VIEW _enrich_known AS
SELECT key, fingerprint, '' AS version FROM temp._enrich_snapshot WHERE false
