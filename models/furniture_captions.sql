-- The rows to enrich: one request for each item, with its picture.
SELECT item_id, title, primary_image
FROM furniture
