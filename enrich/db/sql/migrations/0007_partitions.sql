-- The partitions that a queued model was to work on: a condition, and the first of them; '' for all.
ALTER TABLE ledger.waiting ADD COLUMN IF NOT EXISTS partitions_where VARCHAR;
ALTER TABLE ledger.waiting ADD COLUMN IF NOT EXISTS partitions_since VARCHAR;
