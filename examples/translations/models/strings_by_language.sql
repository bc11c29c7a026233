-- description: Every string in every language that the project asks for, with the terms of the glossary in it.
SELECT
    string_id,
    language,
    language_name,
    address,
    screen,
    source,
    most_letters,
    coalesce(
        (
            SELECT string_agg(term || ' = ' || translation, ', ' ORDER BY term)
            FROM glossary
            WHERE glossary.language = languages.language AND contains(lower(source), term)
        ),
        'none'
    ) AS terms
FROM interface_strings
CROSS JOIN languages
WHERE list_contains($languages, language)
