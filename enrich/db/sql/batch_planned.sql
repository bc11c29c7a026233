INSERT INTO ledger.batches
    (batch, run, model, prompt, provider, requests, bytes, planned_at, input_price, cached_price,
    output_price, reserved, part, held, awaits)
VALUES ($batch, $run, $model, $prompt, $provider, $requests, $bytes, now()::TIMESTAMP, $input_price,
    $cached_price, $output_price, $reserved, $part, $held, $awaits)
