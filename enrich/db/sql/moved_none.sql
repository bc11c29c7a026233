-- Rows whose cells are as before and whose request is another, because the version is: none yet.
CREATE OR REPLACE TEMP TABLE _enrich_moved (line BIGINT, fingerprint VARCHAR, version VARCHAR)
