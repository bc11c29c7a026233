-- Its responses.
INSERT INTO ledger.responses (run, batch, custom_id, fingerprint, attempt, outcome, status_code, content, llm,
    input_tokens, cached_tokens, output_tokens, reasoning_tokens, judged_by, received_at)
SELECT $run, $batch, custom_id, fingerprint, 1, 'ok', 200, answer, 'triage', 0, 0, 0, 0, $judged_by,
    now()::TIMESTAMP
FROM temp._enrich_labeling
