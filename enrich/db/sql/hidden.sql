-- The user's own macros and views in the warehouse, in lower case, and their SQL. The comments of views that
-- enrich created match $mark.
SELECT lower(function_name), macro_definition FROM duckdb_functions()
WHERE database_name = 'warehouse' AND function_type IN ('macro', 'table_macro')
UNION ALL
SELECT lower(view_name), regexp_replace(sql, '(?is)^CREATE\s+VIEW\s.*?\sAS\s', '')
FROM duckdb_views()
WHERE database_name = 'warehouse' AND schema_name = 'main' AND NOT internal
    AND coalesce(comment, '') NOT LIKE $mark
