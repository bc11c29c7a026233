-- The same where most rows are unchanged, but not all: a new table of the others. DuckDB would read and update a
-- table from which most rows were deleted as slowly as if they were still there.
CREATE OR REPLACE TEMP TABLE _enrich_left AS
FROM temp._enrich_snapshot WHERE rowid NOT IN (SELECT line FROM temp._enrich_unchanged);
DROP TABLE temp._enrich_snapshot;
ALTER TABLE temp._enrich_left RENAME TO _enrich_snapshot
