-- The figures of every version that has been compared with labels, over whole columns.
SELECT model, prompt, llm, labels, "column", average, "rows", answered, accuracy, "precision", recall, f1,
    exact, normalized
FROM ledger.evaluations WHERE label IS NULL ORDER BY evaluated_at, model, "column", average
