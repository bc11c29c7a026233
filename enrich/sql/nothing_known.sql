-- temp.known of a model that has no rows with such a key in the ledger.
CREATE OR REPLACE TEMP VIEW known AS
SELECT key, fingerprint, '' AS version FROM temp.snapshot WHERE false
