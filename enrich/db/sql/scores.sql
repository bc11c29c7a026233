-- The figures of a model's $columns against $labels, over all labels, for each version, the earliest version first.
SELECT prompt, evaluation.llm, "column", average, "rows", answered, accuracy, "precision", recall, f1,
    exact, normalized
FROM ledger.evaluations AS evaluation JOIN ledger.prompts AS version USING (prompt)
WHERE evaluation.model = $model AND labels = $labels AND label IS NULL
    AND list_contains($columns::VARCHAR[], "column")
ORDER BY "column", average, version.created_at
