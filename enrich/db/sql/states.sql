-- The state of each enrichment model after its latest run.
SELECT run.model, run.provider, concat_ws(', ', prompt.llm, (
        -- The first llm of a pack is asked about rows alone as well.
        SELECT string_agg(later.llm, ', ' ORDER BY list_position(run.fallbacks, later.prompt))
        FROM ledger.prompts AS later WHERE list_contains(run.fallbacks, later.prompt)
            AND later.llm <> prompt.llm
    )) AS llm, run.run, run."rows", run.requests, run.outcomes,
    coalesce(run.stale, 0) AS stale, run.held, coalesce(run.stopped, '') AS stopped, run.started_at, run.published_at,
    coalesce((
        SELECT arg_max(coalesce(nullif(batch.error, ''), batch.code), batch.ended_at)
        FROM ledger.batches AS batch
        WHERE batch.run = run.run AND lower(batch.status) = 'failed'
    ), '') AS failure
FROM ledger.runs AS run JOIN ledger.prompts AS prompt USING (prompt)
WHERE run.run = (SELECT max(latest.run) FROM ledger.runs AS latest WHERE latest.model = run.model)
ORDER BY run.model
