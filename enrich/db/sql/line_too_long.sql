-- A request that is larger than a whole batch file can never be sent.
UPDATE temp._enrich_snapshot
SET error = 'the request has ' || (strlen(tail) + $overhead) || ' bytes, more than a batch file may',
    fingerprint = NULL
WHERE strlen(tail) + strlen(custom_id) + $overhead > $bytes
