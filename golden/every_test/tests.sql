-- unique_id
SELECT * FROM "warehouse"."main"."golden" WHERE "id" IS NOT NULL QUALIFY count(*) OVER (PARTITION BY "id") > 1

-- not_null_score
SELECT * FROM "warehouse"."main"."golden" WHERE "score" IS NULL

-- accepted_values_kind
SELECT * FROM "warehouse"."main"."golden" WHERE CAST("kind" AS VARCHAR) NOT IN ('tree', 'shrub')

-- relationships_id
SELECT child.* FROM "warehouse"."main"."golden" AS child ANTI JOIN "plants" AS parent ON parent."id" = child."id"
WHERE child."id" IS NOT NULL

-- min_ok
SELECT * FROM "warehouse"."enrich"."golden" WHERE outcome <> 'ok' AND (SELECT count(*) FILTER (outcome = 'ok') / count(outcome) FROM "warehouse"."enrich"."golden") < 0.9

-- check_score_0
SELECT * FROM "warehouse"."main"."golden" WHERE NOT (score > 0)

-- drift_changed
SELECT now.*, {'kind': was."kind", 'score': was."score"} AS was FROM "warehouse"."main"."golden" AS now JOIN temp._enrich_before AS was USING ("id")
WHERE (CAST(now."kind" AS VARCHAR), CAST(now."score" AS VARCHAR)) IS DISTINCT FROM (CAST(was."kind" AS VARCHAR), CAST(was."score" AS VARCHAR)) AND (
    SELECT avg(CAST((CAST(now."kind" AS VARCHAR), CAST(now."score" AS VARCHAR)) IS DISTINCT FROM (CAST(was."kind" AS VARCHAR), CAST(was."score" AS VARCHAR)) AS INTEGER))
    FROM "warehouse"."main"."golden" AS now JOIN temp._enrich_before AS was USING ("id")
) > 0.2
