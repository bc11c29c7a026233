-- description: Each post with the name of its cluster.
SELECT post_id, body, cluster, name
FROM posts
JOIN posts_clusters USING (post_id)
LEFT JOIN clusters_names USING (cluster)
