-- Rows that have not changed and are answered need no further step.
DELETE FROM temp._enrich_snapshot WHERE rowid IN (SELECT line FROM temp._enrich_unchanged)
