-- drift_changed
SELECT now.*, {'kind': was."kind", 'uses': was."uses", 'score': was."score"} AS was FROM "warehouse"."main"."golden" AS now JOIN temp._enrich_before AS was USING ("id")
WHERE (CAST(now."kind" AS VARCHAR), CAST(now."uses" AS VARCHAR), CAST(now."score" AS VARCHAR)) IS DISTINCT FROM (CAST(was."kind" AS VARCHAR), CAST(was."uses" AS VARCHAR), CAST(was."score" AS VARCHAR)) AND (
    SELECT avg(CAST((CAST(now."kind" AS VARCHAR), CAST(now."uses" AS VARCHAR), CAST(now."score" AS VARCHAR)) IS DISTINCT FROM (CAST(was."kind" AS VARCHAR), CAST(was."uses" AS VARCHAR), CAST(was."score" AS VARCHAR)) AS INTEGER))
    FROM "warehouse"."main"."golden" AS now JOIN temp._enrich_before AS was USING ("id")
) > 0.2

-- drift_labels
SELECT * FROM (
    SELECT 'kind' AS "column", label,
        coalesce(was.share, 0) AS before, coalesce(present.share, 0) AS now
    FROM (SELECT CAST(label AS VARCHAR) AS label,
        count(*) / (SELECT count(*) FROM temp._enrich_before) AS share
    FROM (SELECT "kind" AS label FROM temp._enrich_before) WHERE label IS NOT NULL GROUP BY label) AS was FULL JOIN (SELECT CAST(label AS VARCHAR) AS label,
        count(*) / (SELECT count(*) FROM "warehouse"."main"."golden") AS share
    FROM (SELECT "kind" AS label FROM "warehouse"."main"."golden") WHERE label IS NOT NULL GROUP BY label) AS present USING (label)
) WHERE abs(now - before) > 0.1
    AND (SELECT count(*) FROM temp._enrich_before) > 0 AND (SELECT count(*) FROM "warehouse"."main"."golden") > 0
UNION ALL
SELECT * FROM (
    SELECT 'uses' AS "column", label,
        coalesce(was.share, 0) AS before, coalesce(present.share, 0) AS now
    FROM (SELECT CAST(label AS VARCHAR) AS label,
        count(*) / (SELECT count(*) FROM temp._enrich_before) AS share
    FROM (SELECT unnest(list_distinct("uses")) AS label FROM temp._enrich_before) WHERE label IS NOT NULL GROUP BY label) AS was FULL JOIN (SELECT CAST(label AS VARCHAR) AS label,
        count(*) / (SELECT count(*) FROM "warehouse"."main"."golden") AS share
    FROM (SELECT unnest(list_distinct("uses")) AS label FROM "warehouse"."main"."golden") WHERE label IS NOT NULL GROUP BY label) AS present USING (label)
) WHERE abs(now - before) > 0.1
    AND (SELECT count(*) FROM temp._enrich_before) > 0 AND (SELECT count(*) FROM "warehouse"."main"."golden") > 0

-- drift_nulls
SELECT * FROM (
    SELECT 'kind' AS "column", (SELECT avg(CAST("kind" IS NULL AS INTEGER)) FROM temp._enrich_before) AS before, (SELECT avg(CAST("kind" IS NULL AS INTEGER)) FROM "warehouse"."main"."golden") AS now
) WHERE abs(now - before) > 0.05
UNION ALL
SELECT * FROM (
    SELECT 'uses' AS "column", (SELECT avg(CAST("uses" IS NULL AS INTEGER)) FROM temp._enrich_before) AS before, (SELECT avg(CAST("uses" IS NULL AS INTEGER)) FROM "warehouse"."main"."golden") AS now
) WHERE abs(now - before) > 0.05
UNION ALL
SELECT * FROM (
    SELECT 'score' AS "column", (SELECT avg(CAST("score" IS NULL AS INTEGER)) FROM temp._enrich_before) AS before, (SELECT avg(CAST("score" IS NULL AS INTEGER)) FROM "warehouse"."main"."golden") AS now
) WHERE abs(now - before) > 0.05
