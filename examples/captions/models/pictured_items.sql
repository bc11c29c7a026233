-- description: The items of the catalog that have a picture: pictures/ITEM_ID.png.
-- tags: catalog
SELECT item_id, title, listed_color, content AS picture
FROM catalog
JOIN read_blob('pictures/*.png') AS file ON parse_filename(filename, true) = item_id
