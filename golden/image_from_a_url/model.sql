SELECT 1 AS id, 'A chair' AS title, 'https://example.com/chair.jpg' AS picture
