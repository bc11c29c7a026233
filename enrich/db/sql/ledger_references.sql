-- What in the ledger refers to something that is not there: the table, the fault, and how many rows have it.
WITH faults AS (
    SELECT 'batches' AS "table", 'name no prompt that is there' AS fault, count(*) AS many
    FROM ledger.batches ANTI JOIN ledger.prompts USING (prompt)
    UNION ALL
    SELECT 'batches', 'belong to no run that is there', count(*)
    FROM ledger.batches ANTI JOIN ledger.runs USING (run) WHERE run <> 0
    UNION ALL
    SELECT 'batches', 'are there twice', count(*) - count(DISTINCT batch) FROM ledger.batches
    UNION ALL
    SELECT 'batches', 'have another number of requests than they were sent with', count(*)
    FROM ledger.batches AS batch LEFT JOIN (
        SELECT batch, count(*) AS there FROM ledger.requests GROUP BY batch
    ) AS sent ON sent.batch = batch.batch
    WHERE coalesce(sent.there, 0) <> batch.requests
    UNION ALL
    SELECT 'batches', 'were read, and have another number of responses than requests', count(*)
    FROM ledger.batches AS batch LEFT JOIN (
        SELECT batch, count(*) AS there FROM ledger.responses GROUP BY batch
    ) AS answered ON answered.batch = batch.batch
    WHERE batch.read_at IS NOT NULL AND coalesce(answered.there, 0) <> batch.requests
    UNION ALL
    SELECT 'requests', 'belong to no batch that is there', count(*)
    FROM ledger.requests ANTI JOIN ledger.batches USING (batch)
    UNION ALL
    SELECT 'responses', 'belong to no batch that is there', count(*)
    FROM ledger.responses ANTI JOIN ledger.batches USING (batch)
    UNION ALL
    SELECT 'responses', 'belong to no request that is there', count(*)
    FROM ledger.responses ANTI JOIN ledger.requests USING (batch, custom_id)
    UNION ALL
    SELECT 'runs', 'name no prompt that is there', count(*)
    FROM (
        SELECT prompt FROM ledger.runs UNION ALL SELECT unnest(fallbacks) FROM ledger.runs
    ) ANTI JOIN ledger.prompts USING (prompt)
)
FROM faults WHERE many > 0
