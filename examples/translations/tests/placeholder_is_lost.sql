-- severity: warn
-- description: A translation without a placeholder of its source would show a hole to the user.
SELECT string_id, language, source, translation
FROM translations
JOIN interface_strings USING (string_id)
WHERE list_sort(regexp_extract_all(source, '\{\w+\}'))
   <> list_sort(regexp_extract_all(translation, '\{\w+\}'))
