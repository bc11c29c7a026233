-- The rows to enrich: one request for each film.
SELECT movie_id, title, year, overview, tagline
FROM movies
