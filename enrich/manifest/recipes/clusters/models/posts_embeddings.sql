SELECT post_id, body
FROM posts
