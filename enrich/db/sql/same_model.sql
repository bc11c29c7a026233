-- Whether all runs of a model since run $run have the version and the llms of its latest run.
SELECT count(DISTINCT (prompt, fallbacks)) <= 1 FROM ledger.runs WHERE model = $model AND run >= $run
