-- How many of $requests of temp._enrich_todo, from row $start on, before which are $before bytes, cost no more than $left, at $bytewise USD for
-- each byte and $each USD for each request.
SELECT count(*) FROM temp._enrich_todo
WHERE n >= $start AND n < $start + $requests
    AND (upto - $before) * $bytewise + (n - $start + 1) * $each <= $left
