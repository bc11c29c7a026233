-- The rows to enrich: one request for each string and language.
SELECT *
FROM strings_by_language
