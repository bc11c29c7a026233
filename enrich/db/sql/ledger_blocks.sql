-- The bytes of the ledger's blocks that are in use.
SELECT block_size * used_blocks FROM pragma_database_size() WHERE database_name = 'ledger'
