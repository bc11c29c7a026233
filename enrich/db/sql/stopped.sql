-- Keep why the latest run of a model sends no more of what it planned; NULL if it does.
UPDATE ledger.runs SET stopped = $why
WHERE run = (SELECT max(latest.run) FROM ledger.runs AS latest WHERE latest.model = $model)
