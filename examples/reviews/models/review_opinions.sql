-- The rows to enrich: one request for each review. The stars stay out of it: the llm reads the text alone.
SELECT review_id, product, review
FROM reviews
