SELECT supplier_id, description
FROM supplier_items
