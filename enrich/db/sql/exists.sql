-- The table or view of a name, and its comment.
SELECT 'TABLE', comment FROM duckdb_tables()
WHERE database_name = 'warehouse' AND schema_name = $schema AND lower(table_name) = lower($name)
UNION ALL
SELECT 'VIEW', comment FROM duckdb_views()
WHERE database_name = 'warehouse' AND schema_name = $schema AND lower(view_name) = lower($name)
