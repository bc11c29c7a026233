-- Rows whose cells are unchanged and whose request differs only because the version does: none yet.
CREATE OR REPLACE TEMP TABLE _enrich_moved (line BIGINT, fingerprint VARCHAR, version VARCHAR)
