-- The version whose $columns were last scored against $labels; of several, the one with the most rows.
SELECT prompt FROM ledger.evaluations WHERE model = $model AND labels = $labels AND label IS NULL
    AND list_contains($columns::VARCHAR[], "column")
ORDER BY evaluated_at DESC, "rows" DESC LIMIT 1
