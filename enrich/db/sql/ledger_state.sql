-- A hash that changes with the contents of the ledger. Requests and responses only come and go with their
-- batches, so counting them is enough.
SELECT md5(concat_ws(' ',
    (SELECT bit_xor(hash(prompts)) FROM ledger.prompts),
    (SELECT bit_xor(hash(runs)) FROM ledger.runs),
    (SELECT bit_xor(hash(batches)) FROM ledger.batches),
    (SELECT bit_xor(hash(unused_files)) FROM ledger.unused_files),
    (SELECT bit_xor(hash(waiting)) FROM ledger.waiting),
    (SELECT bit_xor(hash(evaluations)) FROM ledger.evaluations),
    (SELECT count(*) FROM ledger.requests), (SELECT count(*) FROM ledger.responses)
))
