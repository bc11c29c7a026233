-- For vectors: the k rows of a table whose vectors in a column are most similar to a vector, best first, without those
-- that cannot be compared; and how similar two vectors are, from -1 to 1, whether they are arrays or lists.
CREATE MACRO IF NOT EXISTS warehouse.enrich.nearest(source, vectors, vector, k) AS TABLE
SELECT *, list_cosine_similarity(
    CAST(COLUMNS(lambda name: lower(name) = lower(vectors)) AS FLOAT[]), CAST(vector AS FLOAT[])
) AS similarity
FROM (FROM query_table(source) WHERE COLUMNS(lambda name: lower(name) = lower(vectors)) IS NOT NULL)
WHERE isfinite(similarity) ORDER BY similarity DESC LIMIT k;
CREATE MACRO IF NOT EXISTS warehouse.enrich.cosine_similarity(one, other) AS
    list_cosine_similarity(CAST(one AS FLOAT[]), CAST(other AS FLOAT[]))
