-- Which databases have functions of this name, and the SQL of those that are the user's own macros.
SELECT DISTINCT database_name, CASE WHEN NOT internal THEN macro_definition END
FROM duckdb_functions() WHERE lower(function_name) = $name
