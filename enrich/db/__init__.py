"""The door to DuckDB: databases, names in SQL, and who created which table."""
