"""The gate to real money: three words at three places, and what opens it is printed before the last one. Pure.

No engine of this version has real money behind it, so `run` refuses mode `live`; the gate is what will stand there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from signal_contract.errors import ConfigInvalid
from subscriber_agent.settings.config import AgentConfig, Mode

LIVE_VARIABLE = "SUBSCRIBER_AGENT_LIVE"
_YES = "yes"


@dataclass(frozen=True, slots=True)
class LiveGate:
    """Whether real money may be traded. `missing` says what is not given yet, `will_do` what will happen then.

    `phrase` is what the friend types, after he has read `will_do`.
    """

    phrase: str
    will_do: tuple[str, ...]
    missing: tuple[str, ...]

    @property
    def is_open(self) -> bool:
        """Open only when nothing is missing."""
        return not self.missing


def live_gate(
    config: AgentConfig, environ: Mapping[str, str], typed: str | None, *, user: str, engine: str, is_paper: bool
) -> LiveGate:
    """Judge the config's mode, the variable SUBSCRIBER_AGENT_LIVE=yes and the typed phrase; all three must be there.

    `typed` is exactly what was typed, None before the question. Only spaces around it are forgiven.
    """
    phrase = f"{user} trades real money with {engine}"
    missing = []
    if is_paper:
        missing.append(f"an engine that is not paper: {engine} has no money behind it")
    if config.mode is not Mode.LIVE:
        missing.append("mode: live in the config")
    if environ.get(LIVE_VARIABLE) != _YES:
        missing.append(f"{LIVE_VARIABLE}={_YES} in the environment")
    if typed is None or typed.strip() != phrase:
        missing.append(f"the phrase, typed exactly: {phrase}")
    return LiveGate(phrase, _will_do(config, user, engine), tuple(missing))


def check_engine_fits(config: AgentConfig, *, engine: str, is_paper: bool) -> None:
    """Raise ConfigInvalid for mode `live` with an engine that only pretends."""
    if config.mode is Mode.LIVE and is_paper:
        raise ConfigInvalid(
            f"mode live needs an engine with real money behind it, and {engine} has none",
            hint="This version has no live engine. Use mode paper, or approve to be asked before each entry.",
        )


def _will_do(config: AgentConfig, user: str, engine: str) -> tuple[str, ...]:
    risk = config.risk
    is_asked = risk.approve_above_usd < risk.max_notional_usd
    asking = f"; you are asked before each above {risk.approve_above_usd:f} USD" if is_asked else ", without asking"
    return (
        f"{user}'s signals become orders at {engine}, with real money{asking}",
        f"up to {risk.max_notional_usd:f} USD an order, {risk.max_open_positions} positions, "
        f"{risk.max_exposure_percent:f} % of equity in all",
        f"up to {risk.max_trades_per_day} entries a day, {risk.max_orders_per_minute} a minute",
        f"no entries after a day's loss of {risk.daily_loss_percent:f} % or {risk.daily_loss_usd:f} USD, a week's of "
        f"{risk.weekly_loss_percent:f} %, or {risk.max_drawdown_percent:f} % below the highest equity",
        "short sales are allowed" if risk.allow_shorts else "no short sales",
        "positions are closed when a loss limit breaks"
        if risk.flatten_on_breach
        else "positions stay open when a loss limit breaks, with their stops",
    )
