-- Forget the responses of the batches being read, to settle them anew.
DELETE FROM ledger.responses WHERE batch IN (SELECT batch FROM temp._enrich_reading)
