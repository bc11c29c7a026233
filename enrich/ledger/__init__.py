"""What was paid for: batches, runs, versions, the queue, budgets and costs."""
