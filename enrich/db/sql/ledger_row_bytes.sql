-- The bytes of the ledger for each of its requests, and how many these are.
SELECT (SELECT block_size * used_blocks FROM pragma_database_size() WHERE database_name = 'ledger') / count(*),
    count(*)
FROM ledger.requests
