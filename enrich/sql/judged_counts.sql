-- How many lines were judged, and of how many requests.
SELECT count(*), count(DISTINCT hash(batch, custom_id)) FROM temp.judged
