INSERT INTO warehouse.enrich._relations VALUES ($name, $kind, $digest, now()::TIMESTAMP)
