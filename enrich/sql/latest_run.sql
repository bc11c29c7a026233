SELECT run, model, prompt, provider, max_attempts, retry, again FROM ledger.runs
WHERE model = $model ORDER BY run DESC LIMIT 1
