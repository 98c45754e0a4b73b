"""What became of what was missed, counted: `37 missed: 33 stale, 2 retracted, 2 acted on`. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from subscriber_agent.engines.engine import OutcomeState

CONTROL, PARKED = "CONTROL", "PARKED"
_ACTED_ON = (OutcomeState.FILLED, OutcomeState.ACCEPTED, OutcomeState.UNKNOWN)
_WORDS = {
    OutcomeState.REJECTED.value: "rejected by the engine",
    "RETRACTION": "retractions",
    "CONTROL": "from the operator",
    "PARKED": "set aside",
    "WATCH_ONLY": "to watch",
    "NOTIFY_ONLY": "would have been acted on",
}


@dataclass(slots=True)
class CatchUp:
    """Counts each missed message once: a signal by its label, the operator's words and what was parked as such."""

    counts: Counter[str] = field(default_factory=Counter)

    def as_dict(self) -> dict[str, Any]:
        """`missed` is the sum of `outcomes`."""
        return {
            "missed": self.counts.total(),
            "outcomes": dict(self.counts.most_common()),
            "acted_on": sum(self.counts[each.value] for each in _ACTED_ON),
        }


def outcomes_text(outcomes: Mapping[str, int]) -> str:
    """`33 stale, 2 retracted, 2 acted on`; what was acted on comes last."""
    acted_on = sum(count for label, count in outcomes.items() if label in _ACTED_ON)
    parts = [f"{count} {_word(label)}" for label, count in outcomes.items() if label not in _ACTED_ON]
    if acted_on:
        parts.append(f"{acted_on} acted on")
    return ", ".join(parts)


def _word(label: str) -> str:
    return _WORDS.get(label, label.lower().replace("_", " "))
