-- description: Each item of the shop with the supplier's item that is most similar, or NULL.
-- materialized: table
SELECT
    item_id,
    CASE WHEN similarity >= $threshold THEN nearest_id END AS supplier_id,
    -- What the item is most similar to, even if that is not similar enough.
    nearest_id,
    similarity
FROM (
    SELECT
        item_id,
        max_by(supplier_id, similarity) AS nearest_id,
        max(similarity) AS similarity
    FROM (
        SELECT
            item_id,
            supplier_id,
            array_cosine_similarity(ours.embedding, theirs.embedding) AS similarity
        FROM shop_embeddings AS ours, supplier_embeddings AS theirs
    )
    GROUP BY item_id
)
