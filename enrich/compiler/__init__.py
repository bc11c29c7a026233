"""The compiler: a model becomes SQL. The only place where SQL is generated.

    compilation  a model, checked against the warehouse and compiled
    version      what a model was when it last ran, and what is different now
    body         a prompt becomes a request body: a constant prefix, and SQL for the rest
    inputs       a SELECT becomes a snapshot: key, custom_id, fingerprint, the row's part
    reader       result lines become rows
    answer       the answer inside what an llm wrote
    judge        an answer is judged against the output
    tables       answers become the published table and its provenance
    history      the answers that rows had before, and the life of one row
    comparison   two answers to each row of a sample, side by side
    scores       answers beside labels

Functions called `render_...` return SQL. Statements are written as text, so that they can be read;
names and values enter them only through `db.quote`, and what the user wrote enters them as written,
after sqlglot has parsed it.
"""
