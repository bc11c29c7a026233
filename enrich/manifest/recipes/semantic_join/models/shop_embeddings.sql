SELECT item_id, title
FROM shop_items
