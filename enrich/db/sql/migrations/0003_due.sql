-- When a run has to be done: what is left then is answered at once, by its provider's chat endpoint.
ALTER TABLE ledger.runs ADD COLUMN IF NOT EXISTS due_at TIMESTAMP;
ALTER TABLE ledger.waiting ADD COLUMN IF NOT EXISTS due_at TIMESTAMP;
-- When a batch was cancelled for that reason.
ALTER TABLE ledger.batches ADD COLUMN IF NOT EXISTS hurried_at TIMESTAMP;
