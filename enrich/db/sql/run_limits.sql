-- The budgets of a model's last run in USD, by scope.
SELECT run, invocation, limits FROM ledger.runs WHERE model = $model ORDER BY run DESC LIMIT 1
