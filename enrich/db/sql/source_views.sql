-- The views that were created from sources, and their comments.
SELECT view_name, comment FROM duckdb_views()
WHERE database_name = 'warehouse' AND schema_name = 'main' AND starts_with(comment, $mark)
