-- Every request of the batches being read gets its response; what no file holds did not come back.
INSERT INTO ledger.responses
SELECT run, request.batch, request.custom_id, request.fingerprint, request.attempt,
    CASE
        WHEN line.custom_id IS NULL THEN CASE WHEN unrun <> '' THEN 'expired' ELSE 'missing' END
        WHEN code IN ('batch_expired', 'batch_cancelled') THEN 'expired'
        WHEN status_code IS DISTINCT FROM 200 THEN 'error'
        WHEN refusal IS NOT NULL AND coalesce(content, '') = '' THEN 'refused'
        WHEN finish = 'content_filter' THEN 'refused'
        WHEN finish = 'length' THEN 'truncated'
        WHEN fault IS NOT NULL THEN 'invalid'
        ELSE 'ok'
    END AS outcome,
    CASE outcome
        WHEN 'ok' THEN NULL
        WHEN 'expired' THEN coalesce(message, nullif(unrun, ''))
        WHEN 'missing' THEN 'no line of the result files answers this request'
        WHEN 'error' THEN coalesce(message, code, CASE
            WHEN coalesce(status_code, 0) = 0 THEN 'the provider lost the request'
            ELSE 'HTTP status ' || status_code END)
        WHEN 'refused' THEN coalesce(nullif(refusal, ''), 'stopped by the content filter')
        WHEN 'truncated' THEN 'cut off at the limit of output tokens'
        ELSE fault
    END,
    status_code, finish, coalesce(content, refusal), llm, input_tokens, cached_tokens,
    output_tokens, reasoning_tokens, $judged_by, now()::TIMESTAMP
FROM ledger.requests AS request JOIN temp.reading AS reading ON reading.batch = request.batch
    LEFT JOIN temp.judged AS line
        ON line.batch = request.batch AND line.custom_id = request.custom_id
