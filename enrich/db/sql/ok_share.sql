-- Of the requests of version $prompt whose batches have been read: how many are ok, and how many there are.
SELECT coalesce(sum(coalesce((outcomes->>'$.ok')::BIGINT, 0)), 0), coalesce(sum(requests), 0)
FROM ledger.batches WHERE prompt = $prompt AND read_at IS NOT NULL
