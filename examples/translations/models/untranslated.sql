-- description: What is still missing before each language can be shipped.
SELECT
    language,
    count(*) AS strings,
    count(translation) AS translated,
    count(*) FILTER (WHERE len(translation) > most_letters) AS too_long,
    count(note) AS with_a_note
FROM strings_by_language
LEFT JOIN translations USING (string_id, language)
GROUP BY language
ORDER BY language
