-- The versions that ask the llms after the first, in order, of the rows with which those before failed.
ALTER TABLE ledger.runs ADD COLUMN IF NOT EXISTS fallbacks VARCHAR[];
