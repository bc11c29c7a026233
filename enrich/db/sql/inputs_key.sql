-- The type of the key in the ledger's table of a model's rows.
SELECT data_type FROM duckdb_columns()
WHERE database_name = 'ledger' AND schema_name = 'inputs' AND table_name = $model
    AND column_name = 'key'
