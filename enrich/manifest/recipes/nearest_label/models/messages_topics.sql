-- description: The topic whose description is most similar to each message.
-- materialized: table
-- key: message_id
SELECT
    message_id,
    nearest[1] AS topic,
    similarities[1] AS similarity,
    -- How much nearer this topic is than the second: a small margin means that it may be either.
    similarities[1] - similarities[2] AS margin
FROM (
    SELECT
        message_id,
        max_by(topic, similarity, 2) AS nearest,
        max(similarity, 2) AS similarities
    FROM (
        SELECT
            message_id,
            topic,
            array_cosine_similarity(message.embedding, label.embedding) AS similarity
        FROM messages_embeddings AS message, topics_embeddings AS label
    )
    GROUP BY message_id
)
