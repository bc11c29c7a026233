-- The columns of $table that have an index of their own.
SELECT constraint_column_names[1] FROM duckdb_constraints()
WHERE database_name = 'ledger' AND schema_name = 'main' AND table_name = $table
    AND constraint_type = 'PRIMARY KEY'
