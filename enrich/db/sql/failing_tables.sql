-- The tables of a schema with this comment.
SELECT table_name FROM duckdb_tables()
WHERE database_name = 'warehouse' AND schema_name = $schema AND comment = $mark
