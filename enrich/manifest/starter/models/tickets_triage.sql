-- The rows to enrich: one request for each ticket.
SELECT ticket_id, subject, body
FROM tickets
