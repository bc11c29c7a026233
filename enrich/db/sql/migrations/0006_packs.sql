-- Of a version whose rows share requests: how many a request holds at most; 0 for one row alone.
ALTER TABLE ledger.prompts ADD COLUMN IF NOT EXISTS pack INTEGER DEFAULT 0;
-- In which line of its batch such a row is, and its number in that line.
ALTER TABLE ledger.requests ADD COLUMN IF NOT EXISTS pack BIGINT;
ALTER TABLE ledger.requests ADD COLUMN IF NOT EXISTS pack_row BIGINT;
