SELECT CASE table_type WHEN 'VIEW' THEN 'VIEW' ELSE 'TABLE' END FROM information_schema.tables
WHERE table_catalog = 'warehouse' AND table_schema = 'main' AND lower(table_name) = lower($name)
