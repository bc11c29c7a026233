INSERT INTO ledger.prompts (prompt, model, identity, llm, endpoint, response_format, output, prefix, text,
    query, created_at, params, variables, pack)
VALUES ($prompt, $model, $identity, $llm, $endpoint, $response_format, $output, $prefix, $text,
    $query, now()::TIMESTAMP, $params, $variables, $pack)
ON CONFLICT (prompt) DO UPDATE SET text = excluded.text, pack = excluded.pack
