"""Chat: batches that are answered through a server's `/v1/chat/completions`, row by row.

Most servers of llms speak nothing else. A worker on this machine (see `providers.executor`) asks
them as many rows at once as the server can take, and appends each answer as it comes.
"""
