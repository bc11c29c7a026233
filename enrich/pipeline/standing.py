"""Standing: how the models are, where a turn would change nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from enrich.ledger.batch import BATCHES_FOLDER
from enrich.ledger.state import list_states
from enrich.manifest.kept_files import FileRule
from enrich.pipeline.deliver import has_copies
from enrich.results import Listed

if TYPE_CHECKING:
    from enrich.ledger.state import State
    from enrich.manifest.config import Config
    from enrich.pipeline.workspace import Workspace


def find_quiet_states(workspace: Workspace) -> Listed[State] | None:
    """Returns the states of all enrichment models if nothing is under way, waits, or is to be
    published, copied, deleted or backed up; None otherwise, or if a state needs a hint from the
    model's files."""
    config = workspace.config
    if config.backup is not None or has_copies(config) or _has_leftovers(config):
        return None
    with workspace.files.open_ledger() as database:
        if database.call("unpublished") or not database.call("quiet")[0][0]:
            return None
        states = list_states(database)
    if any(state.stopped or state.failure for state in states):
        return None
    return Listed(states)


def _has_leftovers(config: Config) -> bool:
    """Whether there may be files of batches to be compressed or removed: see `upkeep`."""
    if config.keep_files.word == "all":
        return False
    batches = config.work / BATCHES_FOLDER
    return config.keep_files != FileRule() or (batches.exists() and any(batches.iterdir()))
