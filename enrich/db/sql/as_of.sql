-- What tells this ledger from an older copy of it in which other things have happened since: which batch was
-- the $read-th to be read, and when run $run started.
SELECT left(md5(concat_ws(' ', (SELECT min(batch) FROM ledger.batches WHERE read_number = $read),
    (SELECT started_at FROM ledger.runs WHERE run = $run))), 8)
