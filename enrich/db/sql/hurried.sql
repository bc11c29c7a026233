-- From now on, run $run is answered by $provider.
UPDATE ledger.runs SET provider = $provider WHERE run = $run
