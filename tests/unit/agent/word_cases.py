"""One case for each thing that a check can say: what people and programs read in `explain`, held in a golden file."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from agent_samples import (
    NOW,
    PAPER,
    REAL,
    TODAY,
    UNTRACKED,
    D,
    a_book,
    a_close,
    a_position,
    a_short,
    a_signal,
    decided,
)

from signal_contract.model import Action, Classifier, ClassifierMode, Event, Market, Session
from subscriber_agent.accounting.book import Fill, Leg, Side, WorkingEntry
from subscriber_agent.accounting.ledger import Latched, LatchKind, Ledger, SessionStarted, Traded
from subscriber_agent.risk.decision import Decision
from subscriber_agent.risk.market import Capabilities, Health, Quote, Symbol, TradingState

_QUOTED = Capabilities(quotes=True, symbols=True, fractions=True, extended_hours=True)


def _paper(**changes: Any) -> Any:
    return replace(PAPER, **changes)


def _real(**changes: Any) -> Any:
    return replace(REAL, **changes)


def _lost(*kinds: LatchKind) -> Ledger:
    ledger = Ledger().after(SessionStarted(TODAY, NOW, D(10_000)))
    for kind in kinds:
        ledger = ledger.after(Latched(kind, TODAY, NOW))
    return ledger


def _streak(ticker: str, losses: int) -> Ledger:
    ledger = _lost()
    for _ in range(losses):
        for side, price in ((Side.BUY, 5), (Side.SELL, 4)):
            ledger = ledger.after(Traded(Fill("o", ticker, side, Leg.EXIT, D(1), D(price), NOW)))
    return ledger


def _listed(**market: Any) -> Any:
    return a_signal(market=Market(**market))


_DEGRADED = Classifier(name="test", version="1", mode=ClassifierMode.LLM, degraded=True)
_EVERYTHING = {
    "own_stop_percent": "5",
    "own_target_percent": "30",
    "trailing_stop_percent": "2.50",
    "max_hold_s_by_catalyst": {"fda": 3600},
    "fixed_usd": 3000,
}
_THREE = [a_position(f"T{n}", 100, catalyst="fda", sector="Energy") for n in range(3)]

CASES: dict[str, dict[str, Any]] = {
    "ordinary": {},
    "short": {"signal": a_short(), "allow_shorts": True},
    "short, shorts off": {"signal": a_short()},
    "exit": {"signal": a_close(), "book": a_book("1", a_position())},
    "exit without position": {"signal": a_close()},
    "exit under way": {"signal": a_close(), "book": a_book("1", a_position(), exiting={"ABCD": D(100)})},
    "exit of a short": {"signal": a_close(), "book": a_book("1", a_position("ABCD", -10))},
    "watch": {"signal": a_signal(action=Action.WATCH)},
    "retraction": {"signal": a_signal().model_copy(update={"event": Event.RETRACT})},
    "notify": {"market": _paper(notify_only=True)},
    "halted": {"market": _paper(local_state=TradingState.HALTED)},
    "reducing": {"market": _paper(operator_state=TradingState.REDUCING)},
    "withdrawn, superseded": {"market": _paper(is_retracted=True, latest_revision=3)},
    "acted on": {"book": a_book(acted_ids=frozenset({a_signal().signal_id}))},
    "drill": {"signal": a_signal(meta={"drill": "yes"}), "market": _real()},
    "old, skewed": {"now": NOW + timedelta(hours=3), "market": _paper(clock_skew_s=D("12.25"))},
    "from the future": {"now": NOW - timedelta(seconds=20), "market": _paper(clock_skew_s=D("2.5"))},
    "no clock": {"market": _paper(clock_skew_s=None)},
    "low confidence": {"signal": a_signal(confidence=D("0.10"))},
    "denied": {
        "deny_catalysts": ["fda", "partnership"],
        "deny_tickers": ["ABCD"],
        "deny_sources": ["test"],
        "deny_sectors": ["energy"],
        "signal": _listed(sector="Energy"),
    },
    "not allowed": {"allow_catalysts": ["offering", "other"], "allow_tickers": ["X"], "allow_sectors": ["tech"]},
    "allows nothing": {"allow_catalysts": [], "deny_sectors": ["*"]},
    "another sector": {"allow_sectors": ["tech"], "signal": _listed(sector="Energy")},
    "its sector": {"allow_sectors": ["energy"], "signal": _listed(sector="Energy")},
    "degraded": {"signal": a_signal(classifier=_DEGRADED), "refuse_degraded": True},
    "degraded, passed": {"signal": a_signal(classifier=_DEGRADED)},
    "not degraded": {"refuse_degraded": True},
    "no price": {"signal": a_signal(reference_price=None)},
    "too dear": {"max_price_usd": 4},
    "filters met": {"signal": _listed(market_cap_usd=D(900), rvol=D("1.50")), "min_market_cap_usd": 9, "min_rvol": 1},
    "filters not met": {"signal": _listed(market_cap_usd=D(9), rvol=D(1)), "min_market_cap_usd": 90, "min_rvol": 2},
    "filters unknown": {"min_market_cap_usd": 90, "min_rvol": 2, "allow_sectors": ["tech"]},
    "unknown passes": {
        "min_market_cap_usd": 90,
        "min_rvol": 2,
        "allow_sectors": ["tech"],
        "unknown_sector": "pass",
        "unknown_market_cap": "pass",
        "unknown_rvol": "pass",
    },
    "quote, ran away": {"market": _paper(quote=Quote(D("5.09"), D("5.10"), None, NOW))},
    "quote, fine": {"market": _paper(quote=Quote(D("4.99"), D("5.01"), None, NOW), capabilities=_QUOTED)},
    "no quote": {"market": _paper(capabilities=_QUOTED)},
    "real, everything known": {
        "market": _real(
            symbol=Symbol(False, True, True, True),
            quote=Quote(D(5), D(5), None, NOW),
            capabilities=_QUOTED,
            health=Health.PROBE,
            session=Session.AFTER,
        ),
        "book": a_book(is_blocked=False),
        "sessions": ["after"],
        "allow_fractions": True,
        "fixed_usd": 499,
    },
    "real, everything bad": {
        "market": _real(
            symbol=Symbol(True, False, False, False),
            capabilities=_QUOTED,
            health=Health.OPEN,
            session=Session.CLOSED,
            is_ledger_mismatch=True,
        ),
        "signal": a_short(),
        "allow_shorts": True,
        "book": a_book(is_blocked=True),
        "sessions": ["closed"],
    },
    "real, nothing known": {
        "market": _real(ledger=None, health=None, is_ledger_mismatch=None, session=None, capabilities=_QUOTED),
        "signal": a_short(),
        "allow_shorts": True,
        "limit_day_trades": True,
    },
    "engine without shorts": {
        "market": _paper(capabilities=Capabilities(shorts=False, brackets=False)),
        "signal": a_short(),
        "allow_shorts": True,
    },
    "short, broker lends": {
        "market": _paper(symbol=Symbol(False, True, True, True)),
        "signal": a_short(),
        "allow_shorts": True,
    },
    "extended hours, engine cannot": {"market": _real(session=Session.PRE), "sessions": ["pre"]},
    "every session, none known": {
        "market": _paper(session=None),
        "sessions": ["pre", "regular", "after", "closed"],
    },
    "no session allowed": {"sessions": []},
    "no stop, no target": {"signal": a_signal(stop_price=None, target_price=None)},
    "stop and target on the wrong side": {"signal": a_signal(stop_price=D("5.10"), target_price=D("4.90"))},
    "stop too far": {"signal": a_signal(stop_price=D(4))},
    "short stop on the wrong side": {
        "signal": a_short(stop_price=D("4.90"), target_price=D("5.10")),
        "allow_shorts": True,
    },
    "everything of one's own, cut down": _EVERYTHING,
    "too small": {"fixed_usd": 4},
    "part of a share": {"fixed_usd": 4, "allow_fractions": True, "min_notional_usd": 0},
    "nothing to size by": {"sizing": "suggested"},
    "oversize refused": {"oversize": "refuse", "max_notional_usd": 400, "max_quantity": 60},
    "quantity cut": {"max_quantity": 60},
    "full": {
        "book": a_book("1000", *_THREE, working=(WorkingEntry("ABCD", D(5), Side.SELL),)),
        "market": UNTRACKED,
        "max_open_positions": 4,
    },
    "held": {"book": a_book("10000", a_position()), "market": UNTRACKED},
    "account unknown": {"book": a_book(None)},
    "exposures": {
        "book": a_book("8500", *_THREE),
        "market": UNTRACKED,
        "max_exposure_percent": 16,
        "max_ticker_exposure_percent": 1,
        "max_catalyst_exposure_percent": 15,
        "max_sector_exposure_percent": 15,
        "max_leverage": "0.16",
        "signal": _listed(sector="energy"),
    },
    "latched": {"market": _paper(ledger=_lost(*LatchKind))},
    "losing": {"book": a_book("9000")},
    "another day": {"market": _paper(session_day=None)},
    "streak and cooldown": {"market": _paper(ledger=_streak("ABCD", 3)), "now": NOW + timedelta(seconds=30)},
    "streak over": {"market": _paper(ledger=_streak("ABCD", 1)), "cooldown_s": 0},
    "day trades": {"market": _paper(ledger=_streak("X", 2)), "limit_day_trades": True, "max_day_trades": 2},
    "many entries": {"book": a_book(entry_times=(NOW,) * 20)},
    "no cash": {"cash_reserve_percent": 100},
    "approval": {"market": _paper(approve_all=True)},
    "approval above": {"approve_above_usd": 100},
    "approved": {"market": _paper(approve_all=True, approvals=frozenset({(a_signal().signal_id, 1)}))},
    "below a cent": {
        "signal": a_signal(reference_price=D("0.50004"), stop_price=D("0.48"), target_price=D("0.6")),
        "market": _real(),
    },
}  # fmt: skip


def case_of(name: str) -> Decision:
    """The decision about a case, with every check shown."""
    return decided(**CASES[name], show_all=True)


def words_document() -> dict[str, Any]:
    """Each case's decision; of its checks those that say something else than for an ordinary entry."""
    usual = {each.name: each for each in case_of("ordinary").checks}
    return {
        name: {
            **(decision := case_of(name)).as_dict(),
            "checks": [
                each.as_dict() for each in decision.checks if name == "ordinary" or each != usual.get(each.name)
            ],
        }
        for name in CASES
    }
