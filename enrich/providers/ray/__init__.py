"""Ray: batches that run as jobs on a cluster of the user's, which is asked over its Jobs API.

Ray places the work and keeps none of it. What is asked and what is answered lies on a storage that
this machine and the nodes both reach; what is there decides what is left to do, whatever has become
of an actor, of the driver, of a node or of the cluster.

    STORAGE/ID/batch.json            the job: written once, last
    STORAGE/ID/input.jsonl           the requests
    STORAGE/ID/attempts/N.json       the jobs on the cluster so far: only the highest may work
    STORAGE/ID/parts/N-SEAT-START*   the answers of one actor, which nobody else writes
    STORAGE/ID/halves/N.json         one half of what is secret, until the driver takes it
    STORAGE/ID/state.json            how far it is, and the driver's sign of life
    STORAGE/ID/end.json              how it ended: written once
    STORAGE/ID/cancel                exists if somebody asked for it
    STORAGE/ID.allowance.json        what it may cost

On this machine: `provider`, `attempts`, `jobs`, `package`. On the cluster: `driver`, which hands
out rows, its `crew`, and the `actor` with the engines of `providers.chat` and `providers.local`.
"""
