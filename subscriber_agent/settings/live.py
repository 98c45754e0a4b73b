"""The gate to real money: three words at three places, and what opens it is printed before the last one. Pure.

    config       mode: approve or live, and an engine that is not paper
    environment  SUBSCRIBER_AGENT_LIVE=yes, where the agent runs
    friend       the phrase, typed once for this engine and these rules (`subscriber-agent live confirm`)

The typed word is kept as a `LiveConsent`. It counts for its engine's settings, its identity, and its rules or stricter
ones: what is looser, or another engine, asks again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from pydantic import ValidationError

from signal_contract.errors import ConfigInvalid
from subscriber_agent.risk.limits import Limits
from subscriber_agent.settings.config import AgentConfig, Mode
from subscriber_agent.settings.directions import Verdict, changes
from subscriber_agent.settings.fields import plain

LIVE_VARIABLE = "SUBSCRIBER_AGENT_LIVE"
_YES = "yes"
_TRADING = (Mode.APPROVE, Mode.LIVE)
_MOST_NAMED = 5


@dataclass(frozen=True, slots=True)
class LiveConsent:
    """The friend's word: who, on which engine with which settings, under which rules, and when (aware).

    `account` is the issuer of his creds, `engine_hash` that of the engine's own settings, `risk` the limits as plain
    values. There is no secret in it; it is kept at mode 0600 all the same, since it lets real money through.
    """

    user: str
    account: str
    engine: str
    engine_hash: str
    config_hash: str
    mode: str
    risk: Mapping[str, Any]
    at: datetime


@dataclass(frozen=True, slots=True)
class LiveGate:
    """Whether real money may be traded. `missing` says what is not given yet, `will_do` what will happen then.

    `phrase` is what the friend types, after he has read `will_do`. `is_needed` is false for a paper engine and for an
    agent that only notifies: nothing is missing then. `is_word_missing`: the phrase is the only thing that is.
    """

    phrase: str
    will_do: tuple[str, ...]
    missing: tuple[str, ...]
    is_needed: bool
    is_word_missing: bool = False

    @property
    def is_open(self) -> bool:
        """Open only when nothing is missing."""
        return not self.missing


def engine_label(config: AgentConfig) -> str:
    """How the engine is called in the phrase and the consent: its kind, for a plug-in also its name."""
    engine = config.engine
    return f"python {engine.python.name}".strip() if engine.kind == "python" else engine.kind


def phrase_of(user: str, engine: str) -> str:
    """What the friend types."""
    return f"{user} trades real money with {engine}"


def is_phrase(typed: str | None, phrase: str) -> bool:
    """Whether this was typed, letter by letter; only spaces around it are forgiven."""
    return typed is not None and typed.strip() == phrase


def consent_from(config: AgentConfig, *, user: str, account: str, at: datetime) -> LiveConsent:
    """What the friend's word, given now, stands for."""
    return LiveConsent(
        user=user,
        account=account,
        engine=engine_label(config),
        engine_hash=_engine_hash(config),
        config_hash=config.config_hash(),
        mode=config.mode.value,
        risk=plain(config.risk),
        at=at,
    )


def live_gate(
    config: AgentConfig,
    environ: Mapping[str, str],
    consent: LiveConsent | None,
    *,
    user: str,
    account: str,
    is_paper: bool,
) -> LiveGate:
    """Judge config, environment and the word that was kept; `is_paper` is what the engine itself says, once made."""
    engine = engine_label(config)
    phrase = phrase_of(user, engine)
    if is_paper or config.mode not in _TRADING:
        return LiveGate(phrase, (), (), is_needed=False)
    word = _objection(consent, config, user=user, account=account)
    missing = [f"{LIVE_VARIABLE}={_YES} in the environment"] if environ.get(LIVE_VARIABLE) != _YES else []
    if word:
        missing.append(f"your word ({word}): subscriber-agent live confirm")
    is_word_missing = bool(word) and len(missing) == 1
    return LiveGate(phrase, will_do(config, user), tuple(missing), is_needed=True, is_word_missing=is_word_missing)


def check_gate(gate: LiveGate, engine: str) -> None:
    """Raise ConfigInvalid with everything that is missing unless the gate is open or not needed."""
    if not gate.is_open:
        raise ConfigInvalid(
            f"real money is behind {engine}, and the gate to it is shut; missing",
            violations=gate.missing,
            hint="Nothing was started. `subscriber-agent live status` shows each part of the gate.",
        )


def check_engine_fits(config: AgentConfig, *, engine: str, is_paper: bool) -> None:
    """Raise ConfigInvalid where mode and engine do not belong together: live on paper, paper on real money.

    `is_paper` is the engine's own word; where its settings say otherwise, nobody knows whose money it is.
    """
    if is_paper != config.engine.is_paper:
        words = {True: "pretend money", False: "real money"}
        raise ConfigInvalid(
            f"{engine} says that it trades {words[is_paper]}, and its settings say {words[config.engine.is_paper]}",
            hint="Correct the section of the engine: `subscriber-agent engine show`.",
        )
    if config.mode is Mode.LIVE and is_paper:
        raise ConfigInvalid(
            f"mode live needs an engine with real money behind it, and {engine} has none",
            hint="Use mode paper, or approve to be asked before each entry; `subscriber-agent engine list` has others.",
        )
    if config.mode is Mode.PAPER and not is_paper:
        raise ConfigInvalid(
            f"mode paper trades pretend money only, and {engine} counts as real money",
            hint="Use mode approve to be asked before each entry, live to trade by itself, or notify to look on. If no "
            "money is behind it, its section of the config can say so (is_paper: true, or a paper endpoint).",
        )


def _engine_hash(config: AgentConfig) -> str:
    document = [config.engine.kind, plain(config.engine.chosen)]
    return hashlib.sha256(orjson.dumps(document, option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]


def _objection(consent: LiveConsent | None, config: AgentConfig, *, user: str, account: str) -> str:
    """Why a word does not count for this config; "" when it does."""
    if consent is None:
        return "not given yet, or its file cannot be trusted"
    if (consent.user, consent.account) != (user, account):
        return f"it was given by {consent.user}, of another identity"
    if (consent.engine, consent.engine_hash) != (engine_label(config), _engine_hash(config)):
        return "the engine's settings are not the ones of then"
    if consent.config_hash == config.config_hash():
        return ""
    return _looser(consent, config)


def _looser(consent: LiveConsent, config: AgentConfig) -> str:
    try:
        limits = Limits.model_validate(dict(consent.risk))
        before = config.model_copy(update={"mode": Mode(consent.mode), "risk": limits})
    except (ValidationError, ValueError):
        return "the rules of then cannot be read by this version"
    looser = [each.key for each in changes(before, config) if each.direction is Verdict.LOOSER]
    if not looser:
        return ""
    more = f" and {len(looser) - _MOST_NAMED} more" if len(looser) > _MOST_NAMED else ""
    return f"looser since then: {', '.join(looser[:_MOST_NAMED])}{more}"


def will_do(config: AgentConfig, user: str) -> tuple[str, ...]:
    """What happens once the gate is open, in sentences for the friend."""
    risk = config.risk
    if config.mode is Mode.APPROVE:
        asking = "; you are asked before each entry"
    elif risk.approve_above_usd < risk.max_notional_usd:
        asking = f"; you are asked before each above {risk.approve_above_usd:f} USD"
    else:
        asking = ", without asking"
    return (
        f"{user}'s signals become orders at {engine_label(config)}, with real money{asking}",
        f"up to {risk.max_notional_usd:f} USD an order, {risk.max_open_positions} positions, "
        f"{risk.max_exposure_percent:f} % of equity in all",
        f"up to {risk.max_trades_per_day} entries a day, {risk.max_orders_per_minute} a minute",
        f"no entries after a day's loss of {risk.daily_loss_percent:f} % or {risk.daily_loss_usd:f} USD, a week's of "
        f"{risk.weekly_loss_percent:f} %, or {risk.max_drawdown_percent:f} % below the highest equity",
        "short sales are allowed" if risk.allow_shorts else "no short sales",
        "positions are closed when a loss limit breaks"
        if risk.flatten_on_breach
        else "positions stay open when a loss limit breaks, with their stops",
        "stops, time exits and `flatten` close positions in every case, without asking",
    )
