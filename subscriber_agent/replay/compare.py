"""Where two configs part: the signals that came out otherwise, what each did, and why. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from subscriber_agent.replay.simulate import Replay
from subscriber_agent.replay.step import Step
from subscriber_agent.risk.decision import instant_text, text_of


@dataclass(frozen=True, slots=True)
class Difference:
    """One signal under two configs."""

    first: Step
    second: Step

    @property
    def is_traded(self) -> bool:
        """Whether at least one of them traded it: two refusals with different reasons move no money."""
        return self.first.price is not None or self.second.price is not None

    def as_dict(self) -> dict[str, Any]:
        return {**head_dict(self.first), "results": [result_dict(self.first), result_dict(self.second)]}


def differences(first: Replay, second: Replay) -> list[Difference]:
    """Signals whose outcome, side, quantity or price differ: those that one of them traded first, in stream order.

    Both replays must come from one pass over the same signals; raises ValueError otherwise.
    """
    pairs = zip(first.steps, second.steps, strict=True)
    found = [Difference(a, b) for a, b in pairs if a.result != b.result]
    return sorted(found, key=lambda each: not each.is_traded)


def head_dict(step: Step) -> dict[str, Any]:
    """Which signal it is."""
    return {
        "number": step.number,
        "published_at": instant_text(step.published_at),
        "signal_id": step.signal_id,
        "revision": step.revision,
        "event": step.event.value,
        "action": step.action.value,
        "ticker": step.ticker,
        "catalyst": step.catalyst,
    }


def result_dict(step: Step) -> dict[str, Any]:
    """What became of it: `outcome` as in `signals`, shares, USD a share, and why."""
    return {
        "outcome": step.label,
        "side": None if step.side is None else step.side.value,
        "quantity": None if step.quantity is None else text_of(step.quantity),
        "price": None if step.price is None else text_of(step.price),
        "why": step.why,
    }
