-- description: What is waiting for each team.
-- materialized: table
-- tags: support
SELECT
    team,
    count(*) AS tickets,
    count(*) FILTER (WHERE priority = 'urgent') AS urgent,
    count(*) FILTER (WHERE plan = 'enterprise') AS enterprise,
    min(opened_on) AS oldest,
    round(avg(confidence), 2) AS confidence
FROM ticket_triage
JOIN open_tickets USING (ticket_id)
JOIN product_areas USING (area)
GROUP BY team
ORDER BY urgent DESC, tickets DESC, team
