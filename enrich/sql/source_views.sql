-- The views that were made of sources.
SELECT view_name FROM duckdb_views()
WHERE database_name = 'warehouse' AND schema_name = 'main' AND starts_with(comment, $mark)
