"""The compiler: a model becomes SQL. The only place where SQL is generated.

    compilation  a model, checked against the warehouse and compiled
    quote        names and values, as DuckDB reads them
    body         a prompt becomes a request body: a constant prefix, and SQL for the rest
    inputs       a SELECT becomes a snapshot: key, custom_id, fingerprint, the row's part
    reader       result lines become rows
    judge        an answer is judged against the output
    tables       answers become the published table and its provenance

Generated statements are written as SQL text, so that they can be read; names and values enter them
only through `quote`, and what the user wrote enters them as written, after sqlglot has parsed it.
"""
