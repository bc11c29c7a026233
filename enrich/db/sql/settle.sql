-- Every request of the batches being read gets its response; what is in no file did not come back. An answer
-- that was cut off at its limit is complete all the same if it is the JSON that was asked for: only white
-- space can follow it.
INSERT INTO ledger.responses (run, batch, custom_id, fingerprint, attempt, outcome, reason, status_code, finish,
    content, llm, input_tokens, cached_tokens, output_tokens, reasoning_tokens, judged_by, received_at, vector)
SELECT run, request.batch, request.custom_id, request.fingerprint, request.attempt,
    CASE
        WHEN line.custom_id IS NULL THEN CASE WHEN unrun <> '' THEN 'expired' ELSE 'missing' END
        WHEN code IN ('batch_expired', 'batch_cancelled') THEN 'expired'
        WHEN code IN ('unreadable_line', 'left_out') THEN 'invalid'
        WHEN status_code IS DISTINCT FROM 200 THEN CASE
            WHEN regexp_matches(lower(code), 'content_?(filter|policy)|responsibleai|moderation|inspection')
                THEN 'refused' ELSE 'error' END
        WHEN refusal <> '' AND coalesce(content, '') = '' THEN 'refused'
        WHEN ending = 'filter' THEN 'refused'
        WHEN ending = 'limit' THEN CASE WHEN $whole AND fault IS NULL
            AND regexp_matches(content, '(?s)^\s*\{.*\}\s*$') THEN 'ok' ELSE 'truncated' END
        WHEN ending = 'other' OR content IS NULL THEN 'error'
        WHEN fault IS NOT NULL THEN 'invalid'
        ELSE 'ok'
    END AS outcome,
    CASE outcome
        WHEN 'ok' THEN NULL
        WHEN 'expired' THEN coalesce(message, nullif(unrun, ''))
        WHEN 'missing' THEN CASE WHEN run = 0
            THEN 'no answer came back, and the call may have been billed'
            ELSE 'no line of the result files answers this request' END
        WHEN 'error' THEN coalesce(message, code, CASE
            WHEN coalesce(status_code, 0) = 0 THEN 'the provider lost the request'
            WHEN status_code <> 200 THEN 'HTTP status ' || status_code
            WHEN ending = 'other' THEN 'the answer ended with ''' || finish || ''''
            ELSE 'the response holds no answer' END)
        WHEN 'refused' THEN coalesce(nullif(refusal, ''), message, 'stopped by the content filter')
        WHEN 'truncated' THEN 'cut off at the limit of output tokens'
        ELSE CASE code WHEN 'unreadable_line' THEN 'the result line is not JSON'
            WHEN 'left_out' THEN 'the answer to its pack leaves it out' ELSE fault END
    END,
    status_code, finish, coalesce(content, refusal), llm, input_tokens, cached_tokens,
    output_tokens, reasoning_tokens, $judged_by, now()::TIMESTAMP, vector
FROM ledger.requests AS request JOIN temp._enrich_reading AS reading ON reading.batch = request.batch
    LEFT JOIN temp._enrich_judged AS line
        ON line.batch = request.batch AND line.custom_id = request.custom_id
