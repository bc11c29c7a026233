-- description: How often each product is praised or blamed, by aspect.
-- tags: reviews
SELECT
    product,
    aspect,
    count(*) AS reviews,
    round(avg(score)) AS score,
    round(avg(stars), 1) AS stars
FROM review_opinions
JOIN reviews USING (review_id), unnest(list_distinct(aspects)) AS each (aspect)
GROUP BY product, aspect
ORDER BY product, reviews DESC, aspect
