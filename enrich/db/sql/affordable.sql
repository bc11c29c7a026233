-- How many requests of temp._enrich_todo, from the first on, cost no more than $left, at $bytewise USD for
-- each byte and $each USD for each request.
SELECT count(*) FROM temp._enrich_todo WHERE upto * $bytewise + (n + 1) * $each <= $left
