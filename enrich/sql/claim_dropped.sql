DELETE FROM warehouse.enrich._relations WHERE lower(name) = lower($name)
