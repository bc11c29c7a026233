-- description: Tickets that somebody still has to answer, with the customer's plan.
-- tags: support
SELECT ticket_id, opened_on, subject, body, customer, plan
FROM tickets
JOIN customers USING (customer_id)
WHERE status = 'open'
