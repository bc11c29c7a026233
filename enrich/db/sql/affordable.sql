-- How many of temp.todo, from the first on, cost no more than $left: $bytewise USD a byte, $each a
-- request.
SELECT count(*) FROM temp.todo WHERE upto * $bytewise + (n + 1) * $each <= $left
