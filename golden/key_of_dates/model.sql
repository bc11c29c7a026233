SELECT DATE '2026-01-01' AS day, 1.50::DECIMAL(5, 2) AS price, 'oak' AS name, NULL AS note
