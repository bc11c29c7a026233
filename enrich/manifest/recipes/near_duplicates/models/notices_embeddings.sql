SELECT notice_id, body
FROM notices
