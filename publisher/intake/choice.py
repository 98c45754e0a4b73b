"""Which catalyst a record is published under, and which ride along. Pure."""

from __future__ import annotations

from typing import Any

from publisher.intake.outcome import RefusalCode, Unusable
from signal_contract.catalysts import CATALYSTS, OTHER, Stance, leading_catalyst
from signal_contract.model import Action

_MAX_CATALYSTS = 32


def hits_from(value: Any) -> list[str]:
    """Known categories of a record, in its order and once each; the tag `unknown` and its like do not count."""
    names = value if isinstance(value, list | dict) else []
    cleaned = (name.strip().lower() for name in names if isinstance(name, str))
    return list(dict.fromkeys(name for name in cleaned if name in CATALYSTS and name != OTHER))


def _with_stance(hits: list[str], stance: Stance) -> list[str]:
    return [name for name in hits if CATALYSTS[name].stance is stance]


def catalyst_for(action: Action, hits: list[str]) -> str:
    """The catalyst of the subject: the strongest BUY one for an entry, the CLOSE one for an exit, else the leading one.

    Raises Unusable (CATALYST_CONFLICT) for a buy on news that says close or keep away: one of the two is wrong.
    """
    against = _with_stance(hits, Stance.CLOSE) + _with_stance(hits, Stance.AVOID)
    if action.is_entry and against:
        raise Unusable(RefusalCode.CATALYST_CONFLICT, f"a {action.value} on {against[0]} news")
    if action.is_entry:
        return leading_catalyst(_with_stance(hits, Stance.BUY))
    return leading_catalyst(_with_stance(hits, Stance.CLOSE) or hits)


def is_avoided(hits: list[str]) -> bool:
    """Whether the news says to keep away."""
    return CATALYSTS[leading_catalyst(hits)].stance is Stance.AVOID


def action_without_signal(hits: list[str], *, avoid_as_watch: bool = False) -> Action | None:
    """What an item without a trading signal stands for: `close` on distress, else `watch`.

    On AVOID news nothing, or `watch` when the operator asked for it.
    """
    stance = CATALYSTS[leading_catalyst(hits)].stance
    if stance is Stance.AVOID:
        return Action.WATCH if avoid_as_watch else None
    return Action.CLOSE if stance is Stance.CLOSE else Action.WATCH


def all_catalysts(leading: str, hits: list[str]) -> tuple[str, ...]:
    """The leading catalyst first, then every other one that was hit."""
    return tuple(dict.fromkeys([leading, *hits]))[:_MAX_CATALYSTS]
