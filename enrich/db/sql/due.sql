-- The open batches of models whose latest run had to be done by $moment, except those that were cut short
-- then. One that is answered at once already is among them.
SELECT batch.batch FROM ledger.batches AS batch JOIN ledger.runs AS run USING (model)
WHERE run.run = (SELECT max(latest.run) FROM ledger.runs AS latest WHERE latest.model = run.model)
    AND batch.run > 0 AND batch.read_at IS NULL AND run.due_at <= $moment
    AND batch.hurried_at IS NULL AND batch.cancelled_at IS NULL
