-- Delete the earlier figures of a column for the versions that are being scored.
DELETE FROM ledger.evaluations
WHERE model = $model AND labels = $labels AND "column" = $column
    AND prompt IN (SELECT prompt FROM temp._enrich_scored)
