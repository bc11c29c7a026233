-- With how many requests of version $prompt its llm has failed so far, and how many it has answered in any way.
SELECT count(*) FILTER (NOT ok), count(*) FROM (
    SELECT bool_or(outcome = 'ok') AS ok FROM ledger.responses
    WHERE batch IN (SELECT batch FROM ledger.batches WHERE prompt = $prompt) AND outcome <> 'expired'
    GROUP BY fingerprint
)
