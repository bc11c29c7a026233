-- How many of $requests of temp._enrich_todo, from row $start on, cost no more than $left, at $bytewise USD for
-- each byte and $each USD for each request.
SELECT count(*) FROM (
    SELECT n - $start + 1 AS many, sum(bytes) OVER (ROWS UNBOUNDED PRECEDING) AS upto
    FROM temp._enrich_todo WHERE n >= $start AND n < $start + $requests
) WHERE upto * $bytewise + many * $each <= $left
