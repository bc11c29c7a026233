-- How many of temp._enrich_todo, from the first on, cost no more than $left: $bytewise USD a byte, $each a
-- request.
SELECT count(*) FROM temp._enrich_todo WHERE upto * $bytewise + (n + 1) * $each <= $left
