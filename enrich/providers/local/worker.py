"""The worker of a local batch: `python -m enrich.providers.local.worker FOLDER`."""

from enrich.providers.executor.worker import run_worker
from enrich.providers.local.llama import open_engines

if __name__ == "__main__":
    run_worker(open_engines)
