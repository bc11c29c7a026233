INSERT INTO ledger.waiting
VALUES ($model, $command, $after, $provider, $retry, $full_refresh, $max_cost, $invocation,
    $variables, now()::TIMESTAMP, $due_at, $where, $since)
