-- The answer of an endpoint for embeddings; `content` is then what people see of it.
ALTER TABLE ledger.responses ADD COLUMN IF NOT EXISTS vector FLOAT[];
