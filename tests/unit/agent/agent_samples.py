"""Signals, books and configs that the agent's tests start from; each test changes what it is about."""

import base64
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from signal_contract.codec import encode, signal_id_from
from signal_contract.control import Control, Verb, control_bytes
from signal_contract.invite import Invite
from signal_contract.model import Action, Classifier, ClassifierMode, Event, Market, News, Priority, Session, Signal
from signal_contract.nkey import KeyKind, KeyPair
from subscriber_agent.accounting.book import Book, Position
from subscriber_agent.accounting.ledger import Ledger, SessionStarted
from subscriber_agent.journal import Arrival
from subscriber_agent.risk.decide import decide
from subscriber_agent.risk.decision import CheckResult, Decision
from subscriber_agent.risk.limits import Limits
from subscriber_agent.risk.market import Health
from subscriber_agent.risk.market import Market as MarketView
from subscriber_agent.settings.config import AgentConfig

NOW = datetime(2026, 1, 2, 14, 30, tzinfo=UTC)
KEY = "ed25519:" + "A" * 43
TODAY = NOW.date()
CALM = Ledger().after(SessionStarted(TODAY, NOW, Decimal(10_000)))
PAPER = MarketView(
    engine="paper", is_paper=True, latest_revision=1, session=Session.REGULAR, session_day=TODAY, ledger=CALM
)
# An engine with real money behind it about which everything is known; its books say `is_blocked=False`.
REAL = replace(PAPER, engine="real", is_paper=False, health=Health.OK, is_ledger_mismatch=False)
# A paper account whose history is not kept, so that a book of any worth has lost nothing.
UNTRACKED = replace(PAPER, ledger=None)
# Shares of equity out of the way, to look at another cap alone.
WIDE = {f"max_{each}_exposure_percent": 100 for each in ("ticker", "catalyst", "sector")}
NO_SHARES = {"max_exposure_percent": 100, **WIDE}
# Tests that run at the hour of the machine trade at every hour.
ANY_TIME = {"sessions": ["pre", "regular", "after", "closed"]}


def D(text: str | int) -> Decimal:
    return Decimal(text)


def a_signal(news: str = "news-1", **changes: Any) -> Signal:
    """A buy at 5.00, stop 4.75, target 6, published now; `changes` replace fields and are validated."""
    action = changes.get("action", Action.BUY)
    ticker = changes.get("ticker", "ABCD")
    fields: dict[str, Any] = {
        "schema_version": 1,
        "signal_id": signal_id_from(news, ticker, action),
        "revision": 1,
        "event": Event.NEW,
        "action": action,
        "ticker": ticker,
        "catalyst": "fda",
        "catalysts": ("fda", "partnership"),
        "confidence": D("0.92"),
        "score": None,
        "sentiment": None,
        "reference_price": D(5),
        "reference_price_at": NOW,
        "stop_price": D("4.75"),
        "target_price": D(6),
        "suggested_size_fraction": None,
        "news": News(id=news, title="Words", url=None, source="test", published_at=None),
        "market": Market(),
        "classified_at": NOW - timedelta(seconds=1),
        "published_at": NOW,
        "expires_at": NOW + timedelta(hours=2),
        "classifier": Classifier(name="test", version="1", mode=ClassifierMode.LLM, degraded=False),
        "priority": Priority.NORMAL,
        "meta": {},
    }
    if changes.get("reference_price", 1) is None:
        changes["reference_price_at"] = None
    return Signal.model_validate({**fields, **changes})


def a_short(**changes: Any) -> Signal:
    return a_signal(**{"action": Action.SELL, "stop_price": D("5.25"), "target_price": D(4), **changes})


def a_close(**changes: Any) -> Signal:
    fields = {
        "action": Action.CLOSE,
        "catalyst": "fraud",
        "catalysts": ("fraud",),
        "stop_price": None,
        "target_price": None,
        "expires_at": None,
    }
    return a_signal(**{**fields, **changes})


def a_revision(signal: Signal, revision: int, event: Event = Event.UPDATE, **changes: Any) -> Signal:
    return signal.model_copy(update={"revision": revision, "event": event, **changes})


def a_position(ticker: str = "ABCD", quantity: int = 100, price: str = "5", **changes: Any) -> Position:
    fields: dict[str, Any] = {
        "ticker": ticker,
        "quantity": D(quantity),
        "average_price": D(price),
        "last_price": D(price),
        "opened_at": NOW,
        "opened_by": "cs-0-entry",
    }
    return Position(**{**fields, **changes})


def a_book(cash: str | None = "10000", *positions: Position, **changes: Any) -> Book:
    held = {each.ticker: each for each in positions}
    return Book(cash=None if cash is None else D(cash), positions=held, **changes)


def decided(signal=None, book=None, market=PAPER, now=NOW, *, show_all=False, **limits) -> Decision:
    """The decision about an ordinary signal in an ordinary world, but for what is named."""
    return decide(signal or a_signal(), book or a_book(), some_limits(**limits), market, now, show_all=show_all)


def code_of(*args, **kwargs):
    return decided(*args, **kwargs).code


def outcome_of(decision: Decision, name: str) -> CheckResult:
    return next(each for each in decision.checks if each.name == name)


def some_limits(**changes: Any) -> Limits:
    return Limits.model_validate(changes)


def a_config(data: Path, **changes: Any) -> AgentConfig:
    """A config for paper that trades at every hour, unless `risk` names its sessions."""
    changes["risk"] = {**ANY_TIME, **changes.get("risk", {})}
    fields = {"servers": ["nats://127.0.0.1:4222"], "creds": "x.creds", "publisher_key": KEY, "data": str(data)}
    return AgentConfig.model_validate({**fields, **changes})


def a_user_jwt(public_key: str, name: str = "alice", *, account: str = "ACCOUNT", **claims: Any) -> str:
    """A user JWT as the operator makes it, but for its signature, which only the server checks."""
    details = {"type": "user", "version": 2, "issuer_account": account, "tags": ["role:subscriber"]}
    body = {"sub": public_key, "name": name, "iss": account, "nats": details, **claims}
    header, payload = (base64.urlsafe_b64encode(json.dumps(each).encode()).decode().rstrip("=") for each in ({}, body))
    return f"{header}.{payload}.signature"


def an_invite(name: str = "alice", pair: KeyPair | None = None, *, account: str = "ACCOUNT", **changes: Any) -> Invite:
    """An invite for a server that is away; the seed is in it unless `pair` is the friend's own. Issued at NOW."""
    key = pair or KeyPair.generate(KeyKind.USER)
    expires_at = changes.get("expires_at")
    claims = {} if expires_at is None else {"exp": int(expires_at.timestamp())}
    fields: dict[str, Any] = {
        "name": name,
        "servers": ["nats://127.0.0.1:1"],
        "user_jwt": a_user_jwt(key.public, name, account=account, **claims),
        "seed": key.seed if pair is None else None,
        "public_key": key.public,
        "durable": f"sub_{name}",
        "publisher_key": KEY,
        "filters": ["signals.fda.*"],
        "entitlement_in_words": "everything on fda",
        "expires_at": None,
        "issued_at": NOW,
        "starter_config": starter(name),
    }
    return Invite.model_validate({**fields, **changes})


def starter(name: str, *more: str) -> str:
    lines = [
        'servers: ["nats://127.0.0.1:1"]',
        f"creds: {name}.creds",
        f"data: {name}-data",
        f'publisher_key: "{KEY}"',
        "risk: {}",
        *more,
    ]
    return "\n".join(lines) + "\n"


def an_arrival(seq: int, signal: Signal, at: datetime = NOW) -> Arrival:
    return Arrival(seq, signal.subject, encode(signal), at, signal, None, "")


def a_control(
    seq: int, verb: Verb, *, control_id: int | None = None, minute: int | None = None, **changes: Any
) -> Arrival:
    """A word of the operator at `seq`, issued `minute` minutes after NOW (by itself: `seq`); its id is its number."""
    issued_at = NOW + timedelta(minutes=seq if minute is None else minute)
    number = seq if control_id is None else control_id
    fields = {"control_id": f"{number:032x}", "verb": verb, "user": None, "reason": "because", "issued_at": issued_at}
    control = Control.model_validate({**fields, **changes})
    return Arrival(seq, control.subject, control_bytes(control), NOW, None, None, "", control=control)
