-- Every version of every model with the answers that it was given: for each outcome, how many, and what
-- they cost in USD.
SELECT version.model, prompt, version.llm, version.created_at, version.text, version.query,
    version.params, version.output, coalesce(answers, 0) AS answers, coalesce(ok, 0) AS ok, cost,
    coalesce(previews, 0) AS previews
FROM ledger.prompts AS version LEFT JOIN (
    SELECT prompt, count(*) AS answers, count(*) FILTER (outcome = 'ok') AS ok
    FROM ledger.responses JOIN (SELECT batch, prompt FROM ledger.batches) USING (batch)
    GROUP BY prompt
) USING (prompt) LEFT JOIN (
    SELECT prompt, sum(cost) AS cost, count(*) FILTER (run = 0) AS previews
    FROM ledger.batches GROUP BY prompt
) USING (prompt)
ORDER BY version.created_at, prompt
