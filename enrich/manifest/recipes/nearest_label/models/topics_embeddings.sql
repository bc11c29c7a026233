SELECT topic, description
FROM topics
