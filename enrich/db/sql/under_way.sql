-- The batches whose requests are in flight. What a budget holds is not: any model may ask it. What only waits to
-- see what others of its run cost is, as long as these are under way.
CREATE OR REPLACE TEMP VIEW _enrich_under_way AS
WITH unread AS (FROM ledger.batches WHERE read_at IS NULL)
SELECT batch, model FROM unread WHERE held IS NULL AND awaits IS NULL
UNION ALL
SELECT batch, model FROM unread WHERE held IS NOT NULL AND list_has_any(awaits, (
    SELECT list(first.batch) FROM unread AS first WHERE first.held IS NULL AND first.awaits IS NULL
))
