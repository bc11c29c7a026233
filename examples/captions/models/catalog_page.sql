-- description: The catalog with its captions; items without a picture come last.
-- materialized: table
-- tags: catalog
SELECT item_id, title, price, caption, array_to_string(materials, ', ') AS materials, color
FROM catalog
LEFT JOIN item_captions USING (item_id)
ORDER BY caption IS NULL, item_id
