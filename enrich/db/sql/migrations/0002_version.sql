-- The number of the last migration that this ledger has been through.
ALTER TABLE ledger.identity ADD COLUMN IF NOT EXISTS version INTEGER;
