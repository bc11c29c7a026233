"""enrich: a SELECT and a prompt become a DuckDB table."""
