-- Where the provenance of each model stands.
CREATE SCHEMA IF NOT EXISTS warehouse.enrich
