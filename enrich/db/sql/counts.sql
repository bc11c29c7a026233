-- How often each outcome came out of the batches being read.
SELECT batch, map(list(outcome), list(many)) FROM (
    SELECT batch, outcome, count(*) AS many
    FROM ledger.responses SEMI JOIN temp._enrich_reading USING (batch)
    GROUP BY ALL ORDER BY outcome
)
GROUP BY batch
