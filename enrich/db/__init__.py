"""The door to DuckDB: databases, names in SQL, and who made which table."""
