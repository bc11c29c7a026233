-- The batches whose answers a batch waits for before it is planned again: those that carry its requests for other
-- models or, of a run with a budget, the first ones, which show what its requests cost. None of it is sent itself.
ALTER TABLE ledger.batches ADD COLUMN IF NOT EXISTS awaits VARCHAR[];
-- How many batches had been read when a run started.
ALTER TABLE ledger.runs ADD COLUMN IF NOT EXISTS read_before BIGINT;
