-- The schema for the provenance of each model.
CREATE SCHEMA IF NOT EXISTS warehouse.enrich
