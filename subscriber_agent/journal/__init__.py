"""The agent's memory: one SQLite file. What is in it survives kill -9; what is not in it did not happen."""

from subscriber_agent.journal.journal import Journal
from subscriber_agent.journal.reader import JournalReader
from subscriber_agent.journal.rows import (
    ApprovalRow,
    ApprovalState,
    Arrival,
    ControlRow,
    FlattenRequest,
    Latch,
    LinkChange,
    LinkRow,
    Loosening,
    OrderIntent,
    OrderRow,
    Parked,
    Progress,
    Pruned,
    Recorded,
    SetAside,
    SignalRow,
    Stored,
    Tally,
)

__all__ = [
    "ApprovalRow",
    "ApprovalState",
    "Arrival",
    "ControlRow",
    "FlattenRequest",
    "Journal",
    "JournalReader",
    "Latch",
    "LinkChange",
    "LinkRow",
    "Loosening",
    "OrderIntent",
    "OrderRow",
    "Parked",
    "Progress",
    "Pruned",
    "Recorded",
    "SetAside",
    "SignalRow",
    "Stored",
    "Tally",
]
