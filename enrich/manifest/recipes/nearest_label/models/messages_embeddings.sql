SELECT message_id, text
FROM messages
