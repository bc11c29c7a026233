-- description: A summary that only repeats the subject says nothing new.
SELECT ticket_id, subject, summary
FROM ticket_triage
JOIN tickets USING (ticket_id)
WHERE lower(trim(summary, ' .')) = lower(trim(subject, ' .'))
