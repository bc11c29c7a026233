-- Whether the ledger says what version it is.
SELECT 1 FROM duckdb_columns()
WHERE database_name = 'ledger' AND schema_name = 'main' AND table_name = 'identity'
    AND column_name = 'version'
