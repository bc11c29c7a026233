-- What a column's figures were for the versions that are scored now.
DELETE FROM ledger.evaluations
WHERE model = $model AND labels = $labels AND "column" = $column
    AND prompt IN (SELECT prompt FROM temp._enrich_scored)
