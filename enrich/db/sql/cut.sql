-- The last request of temp._enrich_todo that still fits into a batch that starts with row $start.
SELECT max(n), max(upto) FROM temp._enrich_todo
WHERE n >= $start AND n < $start + $requests::BIGINT AND upto <= $before::BIGINT + $bytes
