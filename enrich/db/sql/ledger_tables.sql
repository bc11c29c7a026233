-- The tables of the ledger, their columns and types, in order.
SELECT CASE WHEN schema_name = 'inputs' THEN 'inputs.' || table_name ELSE table_name END AS "table",
    list(column_name ORDER BY column_index), list(data_type ORDER BY column_index)
FROM duckdb_columns()
WHERE database_name = 'ledger' AND schema_name IN ('main', 'inputs')
GROUP BY ALL ORDER BY "table"
