-- The last of temp.todo that still fits into a batch which begins with row $start.
SELECT max(n), max(upto) FROM temp.todo
WHERE n >= $start AND n < $start + $requests::BIGINT AND upto <= $before::BIGINT + $bytes
