-- The run before which failures do not count for this one, 0 if all do; NULL: `again` and `since` say so.
ALTER TABLE ledger.runs ADD COLUMN IF NOT EXISTS forgives BIGINT;
