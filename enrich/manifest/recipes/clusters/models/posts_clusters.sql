-- description: The cluster of each post, by k-means with cosine similarity.
-- materialized: table
WITH RECURSIVE
-- The first center is an arbitrary post, always the same one. Each further center is the post that
-- is least similar to the centers so far.
seeds AS (
    SELECT [CAST(min_by(embedding, md5(CAST(post_id AS VARCHAR))) AS FLOAT[])] AS centers
    FROM posts_embeddings
    UNION ALL
    SELECT list_append(
        centers,
        CAST(
            min_by(
                embedding,
                list_max(list_transform(
                    centers, lambda center: enrich.cosine_similarity(center, embedding)
                ))
            ) AS FLOAT[]
        )
    )
    FROM seeds, posts_embeddings
    WHERE len(centers) < $clusters
    GROUP BY centers
),
-- In each round, every post joins its nearest center, which then moves to the middle of its posts.
rounds AS (
    SELECT 0 AS round, unnest(range(1, $clusters + 1)) AS cluster, unnest(centers) AS center
    FROM seeds
    WHERE len(centers) = $clusters
    UNION ALL
    SELECT round + 1, cluster, list(average ORDER BY place)
    FROM (
        SELECT round, cluster, place, avg(number) AS average
        FROM (
            SELECT
                any_value(round) AS round,
                max_by(cluster, enrich.cosine_similarity(center, embedding)) AS cluster,
                unnest(CAST(any_value(embedding) AS FLOAT[])) AS number,
                unnest(range(any_value(len(embedding)))) AS place
            FROM rounds, posts_embeddings
            WHERE round < $rounds
            GROUP BY post_id
        )
        GROUP BY round, cluster, place
    )
    GROUP BY round, cluster
)
SELECT
    post_id,
    max_by(cluster, enrich.cosine_similarity(center, embedding)) AS cluster,
    max(enrich.cosine_similarity(center, embedding)) AS similarity
FROM rounds, posts_embeddings
WHERE round = $rounds
GROUP BY post_id
