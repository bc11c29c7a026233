-- What enrich made in this warehouse, so that it never replaces what it did not make.
CREATE SCHEMA IF NOT EXISTS warehouse.enrich;

CREATE TABLE IF NOT EXISTS warehouse.enrich._relations (
    name VARCHAR, kind VARCHAR, digest VARCHAR, made_at TIMESTAMP
);
