-- The ledger: what was asked, what it was asked of, and what came back. It is what was paid for.
CREATE SCHEMA IF NOT EXISTS ledger.inputs;

-- A version of a model: everything that decides its requests and how their answers are read.
CREATE TABLE IF NOT EXISTS ledger.prompts (
    prompt VARCHAR PRIMARY KEY, model VARCHAR, identity VARCHAR, llm VARCHAR, endpoint VARCHAR,
    response_format VARCHAR, output VARCHAR, prefix VARCHAR, text VARCHAR, query VARCHAR,
    created_at TIMESTAMP
);

-- A run of a model: the snapshot of its rows. `again` asks failed rows anew.
CREATE TABLE IF NOT EXISTS ledger.runs (
    run BIGINT PRIMARY KEY, model VARCHAR, prompt VARCHAR, provider VARCHAR, max_attempts INTEGER,
    retry VARCHAR[], again BOOLEAN, "rows" BIGINT, requests BIGINT, started_at TIMESTAMP,
    published_at TIMESTAMP, published_number BIGINT, outcomes VARCHAR, stale BIGINT
);

-- A batch and how far it is: each time is set when that step is done, and committed before the next.
-- `read_number` counts what was read: clocks may be put back.
CREATE TABLE IF NOT EXISTS ledger.batches (
    batch VARCHAR, run BIGINT, model VARCHAR, prompt VARCHAR, provider VARCHAR,
    requests BIGINT, bytes BIGINT, planned_at TIMESTAMP,
    uploading_at TIMESTAMP, input_file VARCHAR, intended_at TIMESTAMP,
    remote VARCHAR, status VARCHAR, completed BIGINT, failed BIGINT, code VARCHAR, error VARCHAR,
    result_files VARCHAR[], late INTEGER DEFAULT 0,
    tries INTEGER DEFAULT 0, submitted_at TIMESTAMP, ended_at TIMESTAMP,
    read_at TIMESTAMP, read_number BIGINT, outcomes VARCHAR, cancelled_at TIMESTAMP
);

-- What a ledger of an earlier enrich lacks.
ALTER TABLE ledger.batches ADD COLUMN IF NOT EXISTS uploading_at TIMESTAMP;
ALTER TABLE ledger.batches ADD COLUMN IF NOT EXISTS outcomes VARCHAR;
ALTER TABLE ledger.batches ADD COLUMN IF NOT EXISTS read_number BIGINT;
ALTER TABLE ledger.runs ADD COLUMN IF NOT EXISTS published_number BIGINT;

-- Files at a provider that no batch was made of, to be deleted there; `file` NULL: look for its name.
CREATE TABLE IF NOT EXISTS ledger.unused_files (
    provider VARCHAR, identity VARCHAR, batch VARCHAR, file VARCHAR, uploading_at TIMESTAMP
);

-- A request as it was sent: its body is the prompt's prefix followed by `tail`.
CREATE TABLE IF NOT EXISTS ledger.requests (
    batch VARCHAR, custom_id VARCHAR, fingerprint VARCHAR, attempt INTEGER,
    tail VARCHAR USING COMPRESSION zstd
);

-- What came back for a request: one row for each request of a batch that was read.
CREATE TABLE IF NOT EXISTS ledger.responses (
    run BIGINT, batch VARCHAR, custom_id VARCHAR, fingerprint VARCHAR, attempt INTEGER,
    outcome VARCHAR, reason VARCHAR, status_code INTEGER, finish VARCHAR,
    content VARCHAR USING COMPRESSION zstd,
    llm VARCHAR, input_tokens BIGINT, cached_tokens BIGINT, output_tokens BIGINT,
    reasoning_tokens BIGINT, judged_by VARCHAR, received_at TIMESTAMP
);
