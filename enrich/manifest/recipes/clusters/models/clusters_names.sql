-- The ten posts in the middle of each cluster show what it is about.
SELECT
    cluster,
    count(*) AS posts,
    array_to_string(max_by(body, similarity, 10), chr(10)) AS examples
FROM posts_clusters
JOIN posts USING (post_id)
GROUP BY cluster
