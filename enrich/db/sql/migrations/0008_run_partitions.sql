-- The partitions that a run worked on, as a condition; '' for all.
ALTER TABLE ledger.runs ADD COLUMN IF NOT EXISTS partitions VARCHAR;
