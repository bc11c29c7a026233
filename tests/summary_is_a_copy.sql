-- severity: warn
-- Summaries that are the description itself, word for word: nothing was summed up.
SELECT movie_id, title, summary
FROM movies_categories JOIN movies USING (movie_id)
WHERE summary = overview
