-- The rows to enrich: one request for each open ticket.
SELECT ticket_id, subject, body, plan
FROM open_tickets
