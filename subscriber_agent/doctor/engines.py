"""Whether the engine that the config names can take orders; nothing is ordered. Only this module here asks engines."""

from __future__ import annotations

from dataclasses import dataclass

from signal_contract.doctor.finding import Verdict, fail, ok, warn
from subscriber_agent.settings.config import AgentConfig
from subscriber_agent.settings.live import check_engine_fits

_SLOW_S = 2.0


@dataclass(frozen=True, slots=True)
class EngineFacts:
    """An engine as it answered: its name, whether no real money is behind it, how long it took in seconds.

    `trouble` is why it cannot be used (empty: it can); `is_blocked` the broker's word on the account, None: unknown.
    """

    name: str
    is_paper: bool
    took_s: float = 0.0
    trouble: str = ""
    is_blocked: bool | None = None


async def engine_facts(config: AgentConfig) -> EngineFacts:
    """Ask the config's engine how it is. Raises ConfigInvalid where mode and engine do not go together."""
    check_engine_fits(config, engine=config.engine.kind, is_paper=True)
    return EngineFacts(config.engine.kind, is_paper=True)


def judged_engine(facts: EngineFacts) -> Verdict:
    """D24: reachable, and the account open. Pure."""
    money = "no real money" if facts.is_paper else "REAL MONEY"
    if facts.trouble:
        return fail(f"{facts.name} ({money}): {facts.trouble}")
    text = f"{facts.name} ({money}) answers" + (f" after {facts.took_s:.1f} s" if facts.took_s else "")
    if facts.is_blocked:
        return warn(f"{text}; the broker has blocked the account", "ask your broker")
    return warn(text) if facts.took_s > _SLOW_S else ok(text)
