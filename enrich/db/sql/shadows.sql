-- The user's own macros that have the names of DuckDB's functions.
SELECT DISTINCT own.function_name FROM duckdb_functions() AS own SEMI JOIN (
    SELECT lower(function_name) AS name FROM duckdb_functions() WHERE internal
) AS known ON lower(own.function_name) = known.name
WHERE NOT own.internal ORDER BY 1
