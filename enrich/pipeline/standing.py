"""Standing: how the models are, where a turn would change nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from enrich.ledger.state import list_states
from enrich.pipeline.deliver import has_copies
from enrich.results import Listed

if TYPE_CHECKING:
    from enrich.ledger.state import State
    from enrich.pipeline.workspace import Workspace


def find_quiet_states(workspace: Workspace) -> Listed[State] | None:
    """Returns the states of all enrichment models if nothing is under way, waits, or is to be
    published, copied, deleted or backed up; None otherwise, or if a state needs a hint from the
    model's files."""
    if workspace.config.backup is not None or has_copies(workspace.config):
        return None
    with workspace.files.open_ledger() as database:
        if database.call("unpublished") or not database.call("quiet")[0][0]:
            return None
        states = list_states(database)
    if any(state.stopped or state.failure for state in states):
        return None
    return Listed(states)
