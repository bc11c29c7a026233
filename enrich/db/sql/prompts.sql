-- Every version of every model: what was asked, of which llm, and for which columns.
CREATE OR REPLACE TABLE warehouse.enrich.prompts AS
SELECT prompt, model, llm, endpoint, response_format, output, params, variables, text, query,
    created_at
FROM ledger.prompts ORDER BY created_at, prompt
