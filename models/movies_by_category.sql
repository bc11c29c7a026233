-- description: How the films spread over the categories.
-- tags: films
-- An enrichment joined with its source.
SELECT category, count(*) AS films, min(year) AS earliest, list(title ORDER BY year)[:3] AS some
FROM movies
JOIN movies_categories USING (movie_id), unnest(categories) AS each (category)
GROUP BY category
ORDER BY films DESC, category
