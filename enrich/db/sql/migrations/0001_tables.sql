-- The ledger: what was asked, of which llm, and what came back. It is what was paid for.
CREATE SCHEMA IF NOT EXISTS ledger.inputs;

-- A version of a model: everything that decides its requests and how their answers are read.
CREATE TABLE IF NOT EXISTS ledger.prompts (
    prompt VARCHAR PRIMARY KEY, model VARCHAR, identity VARCHAR, llm VARCHAR, endpoint VARCHAR,
    response_format VARCHAR, output VARCHAR, prefix VARCHAR, text VARCHAR, query VARCHAR,
    created_at TIMESTAMP, params VARCHAR, variables VARCHAR
);

-- A run of a model: the snapshot of its rows. `again` asks failed rows again. Only answers that were
-- read after the `since`-th batch count, or all of them for 0. `invocation` is the first run of the
-- same command, and `limits` is what may be spent, in USD; `held` names the tests that hold its table
-- back; `stopped` says why no more of it is sent.
CREATE TABLE IF NOT EXISTS ledger.runs (
    run BIGINT PRIMARY KEY, model VARCHAR, prompt VARCHAR, provider VARCHAR, max_attempts INTEGER,
    retry VARCHAR[], again BOOLEAN, "rows" BIGINT, requests BIGINT, started_at TIMESTAMP,
    published_at TIMESTAMP, published_number BIGINT, outcomes VARCHAR, stale BIGINT,
    since BIGINT, invocation BIGINT, limits MAP(VARCHAR, DOUBLE), held VARCHAR[], stopped VARCHAR
);

-- A batch and its progress: each time is set when that step is done, and committed before the next.
-- `read_number` counts the batches that have been read, since a clock may be set back. A batch of run
-- 0 is a preview. Prices are USD for a million tokens, NULL if unknown; `reserved` (USD) is the
-- estimate, and `cost` and the tokens are known once it has been read. `held` says which budget holds
-- it back; batches that were planned together are sent in the order of `part`.
CREATE TABLE IF NOT EXISTS ledger.batches (
    batch VARCHAR, run BIGINT, model VARCHAR, prompt VARCHAR, provider VARCHAR,
    requests BIGINT, bytes BIGINT, planned_at TIMESTAMP,
    uploading_at TIMESTAMP, input_file VARCHAR, intended_at TIMESTAMP,
    remote VARCHAR, status VARCHAR, completed BIGINT, failed BIGINT, code VARCHAR, error VARCHAR,
    result_files VARCHAR[], late INTEGER DEFAULT 0,
    tries INTEGER DEFAULT 0, submitted_at TIMESTAMP, ended_at TIMESTAMP,
    read_at TIMESTAMP, read_number BIGINT, outcomes VARCHAR, cancelled_at TIMESTAMP,
    held VARCHAR, input_price DOUBLE, cached_price DOUBLE, output_price DOUBLE, reserved DOUBLE,
    cost DOUBLE, input_tokens BIGINT, cached_tokens BIGINT, output_tokens BIGINT,
    reasoning_tokens BIGINT, part INTEGER
);

-- Files at a provider that no batch was created from, to be deleted there. If `file` is NULL, it is
-- looked up by its name.
CREATE TABLE IF NOT EXISTS ledger.unused_files (
    provider VARCHAR, identity VARCHAR, batch VARCHAR, file VARCHAR, uploading_at TIMESTAMP
);

-- A request as it was sent: its body is the prompt's prefix followed by `tail`.
CREATE TABLE IF NOT EXISTS ledger.requests (
    batch VARCHAR, custom_id VARCHAR, fingerprint VARCHAR, attempt INTEGER,
    tail VARCHAR USING COMPRESSION zstd, bytes BIGINT
);

-- What came back for a request: one row for each request of a batch that has been read.
CREATE TABLE IF NOT EXISTS ledger.responses (
    run BIGINT, batch VARCHAR, custom_id VARCHAR, fingerprint VARCHAR, attempt INTEGER,
    outcome VARCHAR, reason VARCHAR, status_code INTEGER, finish VARCHAR,
    content VARCHAR USING COMPRESSION zstd,
    llm VARCHAR, input_tokens BIGINT, cached_tokens BIGINT, output_tokens BIGINT,
    reasoning_tokens BIGINT, judged_by VARCHAR, received_at TIMESTAMP
);

-- Models that a command will run once the models in `after` have finished; `invocation` is the
-- command's first run, once there is one, and `variables` is a mapping as YAML.
CREATE TABLE IF NOT EXISTS ledger.waiting (
    model VARCHAR, command VARCHAR, "after" VARCHAR[], provider VARCHAR, "retry" BOOLEAN,
    full_refresh BOOLEAN, max_cost DOUBLE, invocation BIGINT, variables VARCHAR, since TIMESTAMP
);

-- How a version's answers compare with labels: for a column, or for one label of it. Of the labeled
-- `rows`, `answered` have an answer.
CREATE TABLE IF NOT EXISTS ledger.evaluations (
    model VARCHAR, prompt VARCHAR, llm VARCHAR, labels VARCHAR, "column" VARCHAR, average VARCHAR,
    label VARCHAR, "rows" BIGINT, answered BIGINT, accuracy DOUBLE, "precision" DOUBLE, recall DOUBLE, f1 DOUBLE,
    exact DOUBLE, normalized DOUBLE, evaluated_at TIMESTAMP
);

-- Which ledger this is: tables in a warehouse name it.
CREATE TABLE IF NOT EXISTS ledger.identity (id VARCHAR);
INSERT INTO ledger.identity (id)
SELECT CAST(uuid() AS VARCHAR) WHERE NOT EXISTS (SELECT 1 FROM ledger.identity);

-- Columns that the ledger of an earlier enrich lacks.
ALTER TABLE ledger.prompts ADD COLUMN IF NOT EXISTS params VARCHAR;
ALTER TABLE ledger.prompts ADD COLUMN IF NOT EXISTS variables VARCHAR;
ALTER TABLE ledger.runs ADD COLUMN IF NOT EXISTS published_number BIGINT;
ALTER TABLE ledger.runs ADD COLUMN IF NOT EXISTS since BIGINT;
ALTER TABLE ledger.runs ADD COLUMN IF NOT EXISTS invocation BIGINT;
ALTER TABLE ledger.runs ADD COLUMN IF NOT EXISTS limits MAP(VARCHAR, DOUBLE);
ALTER TABLE ledger.runs ADD COLUMN IF NOT EXISTS held VARCHAR[];
ALTER TABLE ledger.runs ADD COLUMN IF NOT EXISTS stopped VARCHAR;
ALTER TABLE ledger.requests ADD COLUMN IF NOT EXISTS bytes BIGINT;
ALTER TABLE ledger.batches ADD COLUMN IF NOT EXISTS uploading_at TIMESTAMP;
ALTER TABLE ledger.batches ADD COLUMN IF NOT EXISTS outcomes VARCHAR;
ALTER TABLE ledger.batches ADD COLUMN IF NOT EXISTS read_number BIGINT;
ALTER TABLE ledger.batches ADD COLUMN IF NOT EXISTS held VARCHAR;
ALTER TABLE ledger.batches ADD COLUMN IF NOT EXISTS input_price DOUBLE;
ALTER TABLE ledger.batches ADD COLUMN IF NOT EXISTS cached_price DOUBLE;
ALTER TABLE ledger.batches ADD COLUMN IF NOT EXISTS output_price DOUBLE;
ALTER TABLE ledger.batches ADD COLUMN IF NOT EXISTS reserved DOUBLE;
ALTER TABLE ledger.batches ADD COLUMN IF NOT EXISTS cost DOUBLE;
ALTER TABLE ledger.batches ADD COLUMN IF NOT EXISTS input_tokens BIGINT;
ALTER TABLE ledger.batches ADD COLUMN IF NOT EXISTS cached_tokens BIGINT;
ALTER TABLE ledger.batches ADD COLUMN IF NOT EXISTS output_tokens BIGINT;
ALTER TABLE ledger.batches ADD COLUMN IF NOT EXISTS reasoning_tokens BIGINT;
ALTER TABLE ledger.batches ADD COLUMN IF NOT EXISTS part INTEGER;
UPDATE ledger.batches AS batch SET
    input_tokens = seen.input_tokens, cached_tokens = seen.cached_tokens,
    output_tokens = seen.output_tokens, reasoning_tokens = seen.reasoning_tokens
FROM (
    SELECT batch, coalesce(sum(input_tokens), 0) AS input_tokens,
        coalesce(sum(cached_tokens), 0) AS cached_tokens,
        coalesce(sum(output_tokens), 0) AS output_tokens,
        coalesce(sum(reasoning_tokens), 0) AS reasoning_tokens
    FROM ledger.responses WHERE batch IN (
        SELECT batch FROM ledger.batches WHERE read_at IS NOT NULL AND input_tokens IS NULL
    ) GROUP BY batch
) AS seen
WHERE seen.batch = batch.batch;
