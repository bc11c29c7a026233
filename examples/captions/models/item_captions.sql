-- The rows to enrich: one request for each item, with its picture.
SELECT item_id, title, picture
FROM pictured_items
