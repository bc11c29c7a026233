SELECT * FROM (VALUES (1, 'oak', 'tall', 3), (2, 'birch', NULL, 5)) AS item(id, name, note, stars)
