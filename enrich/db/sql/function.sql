-- Whose the functions of a name are, and the SQL of those that are macros of the user's own.
SELECT DISTINCT database_name, CASE WHEN NOT internal THEN macro_definition END
FROM duckdb_functions() WHERE lower(function_name) = $name
