"""The agent's memory: one SQLite file. What is in it survives kill -9; what is not in it did not happen."""

from subscriber_agent.journal.journal import Journal
from subscriber_agent.journal.reader import JournalReader
from subscriber_agent.journal.rows import (
    Arrival,
    Latch,
    LinkState,
    OrderIntent,
    OrderRow,
    Parked,
    Recorded,
    SetAside,
    SignalRow,
    Stored,
    Tally,
)

__all__ = [
    "Arrival",
    "Journal",
    "JournalReader",
    "Latch",
    "LinkState",
    "OrderIntent",
    "OrderRow",
    "Parked",
    "Recorded",
    "SetAside",
    "SignalRow",
    "Stored",
    "Tally",
]
