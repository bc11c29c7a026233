-- The last request of temp._enrich_todo that still fits into a batch that starts with row $start: the last of
-- a line, if rows share lines and any line fits.
SELECT coalesce(max(n) FILTER (ends), max(n)) AS last,
    coalesce(max(upto) FILTER (ends), max(upto))
FROM temp._enrich_todo
WHERE n >= $start AND n < $start + $requests::BIGINT AND upto <= $before::BIGINT + $bytes
