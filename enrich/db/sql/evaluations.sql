-- How well each version of a model matched the labels: one row for each figure.
CREATE OR REPLACE TABLE warehouse.enrich.evaluations AS
SELECT * FROM ledger.evaluations ORDER BY evaluated_at, model, "column", label NULLS FIRST
