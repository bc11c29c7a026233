-- description: A price in a caption is wrong as soon as the price changes.
SELECT item_id, caption
FROM item_captions
WHERE regexp_matches(caption, '[€$£]|\d+[.,]\d\d')
