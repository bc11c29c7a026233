-- They are batch $batch: requests that were never sent, and whose answers cost nothing.
INSERT INTO ledger.batches (batch, run, model, prompt, provider, requests, bytes, planned_at, status, completed,
    failed, ended_at, read_at, read_number, outcomes, reserved, cost, input_tokens, cached_tokens, output_tokens,
    reasoning_tokens, part, input_price, cached_price, output_price)
SELECT $batch, $run, $model, $prompt, $provider, count(*), sum(strlen(tail)), now()::TIMESTAMP, 'completed',
    count(*), 0, now()::TIMESTAMP, now()::TIMESTAMP,
    (SELECT coalesce(max(read_number), 1) + 1 FROM ledger.batches),
    CAST(json_object('ok', count(*)) AS VARCHAR), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0
FROM temp._enrich_labeling HAVING count(*) > 0
