-- severity: warn
-- description: Urgent tickets that a person should read first, because the area is a guess.
SELECT ticket_id, area, confidence, summary
FROM ticket_triage
WHERE priority = 'urgent' AND confidence < 0.5
