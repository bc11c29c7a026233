INSERT INTO ledger.batches (batch, run, model, prompt, provider, requests, bytes, planned_at)
VALUES ($batch, $run, $model, $prompt, $provider, $requests, $bytes, now()::TIMESTAMP)
