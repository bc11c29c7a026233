INSERT INTO ledger.runs
    (run, model, prompt, provider, max_attempts, retry, again, "rows", requests, started_at)
VALUES ($run, $model, $prompt, $provider, $max_attempts, $retry, $again, $rows, $requests,
    now()::TIMESTAMP)
