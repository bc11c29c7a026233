-- The last request of temp._enrich_todo that still fits into a batch that starts with row $start, and the bytes up
-- to it: the last of a line, if rows share lines and any line fits.
SELECT coalesce(max(n) FILTER (ends), max(n)) AS last, coalesce(max(upto) FILTER (ends), max(upto))
FROM (
    SELECT n, ends, sum(bytes) OVER (ROWS UNBOUNDED PRECEDING) AS upto
    FROM temp._enrich_todo WHERE n >= $start AND n < $start + $requests::BIGINT
) WHERE upto <= $bytes
