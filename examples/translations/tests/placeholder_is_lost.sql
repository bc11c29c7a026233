-- severity: warn
-- description: A translation without a placeholder of its source would show a hole to the user.
SELECT string_id, language, source, translation
FROM translations
JOIN strings_by_language USING (string_id, language)
WHERE list_sort(regexp_extract_all(source, '\{\w+\}'))
   <> list_sort(regexp_extract_all(translation, '\{\w+\}'))
