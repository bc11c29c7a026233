-- The figures of the $columns of a model's version $prompt against $labels, label by label.
SELECT "column", label, "rows", "precision", recall, f1
FROM ledger.evaluations
WHERE model = $model AND labels = $labels AND prompt = $prompt AND label IS NOT NULL
    AND list_contains($columns::VARCHAR[], "column")
ORDER BY "column", "rows" DESC, label
