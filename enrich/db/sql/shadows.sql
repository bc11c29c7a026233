-- The user's own macros that have the names of DuckDB's functions.
SELECT own FROM (
    SELECT lower(function_name) AS name, bool_or(internal) AS known,
        any_value(function_name) FILTER (NOT internal) AS own
    FROM duckdb_functions() GROUP BY name
)
WHERE known AND own IS NOT NULL ORDER BY own
