-- Models with batches that have been read since their table was last created; also other models, if any of
-- their rows wait for a request that another model has asked, or asks again after it has failed.
SELECT run.model FROM ledger.runs AS run
WHERE run.run = (SELECT max(latest.run) FROM ledger.runs AS latest WHERE latest.model = run.model)
    AND EXISTS (
        SELECT 1 FROM ledger.batches AS batch
        WHERE (batch.model = run.model OR len(list_filter(json_keys(run.outcomes), lambda word: word <> 'ok')) > 0)
            AND batch.run > 0 AND (lower(batch.status) <> 'failed' OR len(batch.result_files) > 0)
            AND batch.read_number > coalesce(run.published_number, 0)
    )
