"""The executor: batches that are answered on this machine, request by request.

A batch is a folder. Its worker is a process of its own that outlives the command that started it,
holds the folder's lock as long as it lives, and appends each answer as it comes. So whoever polls
sees from the lock alone whether somebody works, and starts the worker again if not.

    ROOT/ID/batch.json      what was asked for: written once
    ROOT/ID/input.jsonl     the requests
    ROOT/ID/output.jsonl    the answers, one line each, appended
    ROOT/ID/state.json      how it stands: replaced whole, by the lock's holder only
    ROOT/ID/cancel          there when somebody asked for it
    ROOT/ID/lock, pid, log  the worker's
    ROOT/ID/start.lock      held by whoever starts the worker, until it holds its own
    ROOT/engine.lock        held by the one worker that answers

A provider brings a module that calls `worker.run_worker` with what opens its engines, and gives the
module's name to `batches.FolderBatches`, which has the methods of a provider.
"""
