"""The executor: batches that are answered on this machine, request by request.

A batch is a folder. Its worker is a process of its own that outlives the command that started it,
holds the lock of the folder for as long as it lives, and appends each answer as it comes. Whoever
polls therefore knows from the lock alone whether the worker lives, and starts it again if not.

    ROOT/ID/batch.json      the job: written once
    ROOT/ID/input.jsonl     the requests
    ROOT/ID/output.jsonl    the answers, one line each, appended
    ROOT/ID/state.json      the state: replaced whole, only by whoever holds the lock
    ROOT/ID/cancel          exists if somebody asked for it
    ROOT/ID/lock, pid, log  of the worker
    ROOT/ID/start.lock      held by whoever starts the worker, until it holds its own
    ROOT/engine.lock        held by the one worker that is answering

A provider needs a module that calls `worker.run_worker` with a function that opens its engines, and
passes the name of that module to `batches.FolderBatches`, which has the methods of a provider.
"""
