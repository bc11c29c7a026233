-- The versions of $model whose requests another model asks as well, because all that rows have in common is the
-- same.
SELECT DISTINCT own.prompt FROM ledger.prompts AS own
    JOIN ledger.prompts AS other USING (identity, endpoint, prefix)
WHERE own.model = $model AND other.model <> $model ORDER BY own.prompt
