-- What each film is about, as a vector: films with similar stories are close to each other.
SELECT movie_id, title, overview
FROM movies
