"""How the classifier is doing, told by its own process through `<data>/publisher/classifier.json`.

The bot's process writes it, whichever publisher sends the heartbeats reads it: so friends see a bot that stands still
even when the signals are relayed by another process that is in good health.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

from pydantic import ValidationError

from publisher.pulse import write_whole
from signal_contract.heartbeat import ClassifierState

CLASSIFIER_FILE = "classifier.json"
# A standstill is to be seen until somebody acts, over a long weekend too; who has ended cleanly takes the file away.
SAID_FOR = timedelta(days=7)
_MAX_BYTES = 4096


def write_classifier(path: Path, state: ClassifierState) -> None:
    """Replace the file, mode 0600, as a whole. Raises StorageFailed."""
    write_whole(path, state.model_dump_json().encode() + b"\n")


def read_classifier(path: Path, now: datetime) -> ClassifierState | None:
    """What the classifier last said; None when there is nothing, nothing sound, or nothing of the last 7 days."""
    try:
        if path.stat().st_size > _MAX_BYTES:
            return None
        state = ClassifierState.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None
    if state.last_cycle_at is None or now - state.last_cycle_at > SAID_FOR:
        return None
    return state
