-- The number of responses with each outcome, for each batch being read.
SELECT batch, map(list(outcome), list(many)) FROM (
    SELECT batch, outcome, count(*) AS many
    FROM ledger.responses SEMI JOIN temp._enrich_reading USING (batch)
    GROUP BY ALL ORDER BY outcome
)
GROUP BY batch
