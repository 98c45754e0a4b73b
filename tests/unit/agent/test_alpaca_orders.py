"""Alpaca: what is sent for a plan, what is not sent at all, and when. Pure."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signal_contract.model import Session
from subscriber_agent.accounting.book import Leg, Side
from subscriber_agent.accounting.calendar import NYSE
from subscriber_agent.engines.alpaca.day_end import DayEnd
from subscriber_agent.engines.alpaca.orders import body_from, exit_limit, is_on_tick, needs_quote, objection
from subscriber_agent.engines.alpaca.sdk import Lost
from subscriber_agent.engines.alpaca.settings import AlpacaSettings
from subscriber_agent.risk.decision import OrderPlan, OrderType, TimeInForce
from subscriber_agent.risk.market import Quote

NOW = datetime(2026, 3, 2, 15, 0, tzinfo=UTC)
SETTINGS = AlpacaSettings()
FRACTIONS = AlpacaSettings(fractional_shares=True)
ENTRY = OrderPlan(
    ticker="ACME",
    side=Side.BUY,
    leg=Leg.ENTRY,
    quantity=Decimal(10),
    order_type=OrderType.LIMIT,
    limit_price=Decimal("10.10"),
    stop_price=Decimal("9.50"),
    target_price=Decimal("11.20"),
    time_in_force=TimeInForce.DAY,
    reference_price=Decimal(10),
    reference_price_at=NOW,
    catalyst="fda",
)
SHORT = replace(ENTRY, side=Side.SELL, limit_price=Decimal(10), stop_price=Decimal(11), target_price=Decimal(9))
EXIT = replace(
    ENTRY,
    side=Side.SELL,
    leg=Leg.EXIT,
    order_type=OrderType.MARKET,
    limit_price=None,
    stop_price=None,
    target_price=None,
)
STOP = replace(EXIT, leg=Leg.STOP, order_type=OrderType.STOP, stop_price=Decimal("9.5"), time_in_force=TimeInForce.GTC)
EXTENDED = {"extended_hours": True}


@pytest.mark.parametrize(
    ("plan", "session", "settings", "words"),
    [
        (ENTRY, Session.REGULAR, SETTINGS, None),
        (SHORT, Session.REGULAR, SETTINGS, None),
        (replace(ENTRY, quantity=Decimal(0)), Session.REGULAR, SETTINGS, "nothing"),
        (replace(ENTRY, quantity=Decimal("NaN")), Session.REGULAR, SETTINGS, "nothing"),
        (replace(ENTRY, quantity=Decimal("1.5")), Session.REGULAR, SETTINGS, "not switched on"),
        (replace(ENTRY, quantity=Decimal("1.5")), Session.REGULAR, FRACTIONS, None),
        (replace(ENTRY, quantity=Decimal("1.0000000001")), Session.REGULAR, FRACTIONS, "nine decimals"),
        (replace(ENTRY, limit_price=Decimal("10.105")), Session.REGULAR, SETTINGS, "limit price"),
        (replace(ENTRY, stop_price=Decimal("9.505")), Session.REGULAR, SETTINGS, "stop price"),
        (replace(ENTRY, target_price=Decimal("-1")), Session.REGULAR, SETTINGS, "target price"),
        (replace(ENTRY, limit_price=None), Session.REGULAR, SETTINGS, "limit order without"),
        (replace(STOP, stop_price=None), Session.REGULAR, SETTINGS, "stop order without"),
        (replace(ENTRY, stop_price=Decimal("10.10")), Session.REGULAR, SETTINGS, "less than a cent"),
        (replace(SHORT, stop_price=Decimal(10)), Session.REGULAR, SETTINGS, "less than a cent"),
        (replace(SHORT, target_price=Decimal(12)), Session.REGULAR, SETTINGS, "stop's side"),
        (ENTRY, Session.PRE, SETTINGS, "regular session"),
        (ENTRY, Session.CLOSED, SETTINGS, "regular session"),
        (ENTRY, None, SETTINGS, "regular session"),
        (replace(ENTRY, **EXTENDED), Session.PRE, SETTINGS, None),
        (replace(ENTRY, **EXTENDED), Session.CLOSED, SETTINGS, "closed"),
        (replace(ENTRY, **EXTENDED), None, SETTINGS, "closed"),
        (replace(ENTRY, **EXTENDED), Session.PRE, AlpacaSettings(extended_hours=False), "switched off"),
        (replace(ENTRY, **EXTENDED, order_type=OrderType.MARKET), Session.PRE, SETTINGS, "limit orders"),
        (replace(ENTRY, **EXTENDED, time_in_force=TimeInForce.GTC), Session.PRE, SETTINGS, "for the day"),
        (EXIT, Session.CLOSED, SETTINGS, None),
        (EXIT, None, SETTINGS, None),
        (STOP, Session.AFTER, SETTINGS, None),
    ],
    ids=str,
)
def test_what_is_not_sent(
    plan: OrderPlan, session: Session | None, settings: AlpacaSettings, words: str | None
) -> None:
    said = objection(plan, session, settings)
    assert (said is None) if words is None else (said is not None and words in said)


@pytest.mark.parametrize(
    ("plan", "expected"),
    [
        (ENTRY, ("gtc", "bracket")),
        (replace(ENTRY, target_price=None), ("gtc", "oto")),
        (replace(ENTRY, stop_price=None), ("gtc", "oto")),
        (replace(ENTRY, stop_price=None, target_price=None), ("day", None)),
        (replace(ENTRY, **EXTENDED), ("day", None)),
        (replace(ENTRY, quantity=Decimal("1.5")), ("day", None)),
        (EXIT, ("day", None)),
        (STOP, ("gtc", None)),
        (replace(STOP, quantity=Decimal("1.5")), ("day", None)),
    ],
    ids=["bracket", "stop", "target", "bare", "extended", "fraction", "exit", "stop_order", "fractional_stop"],
)
def test_only_entries_of_whole_shares_in_the_regular_session_have_legs(
    plan: OrderPlan, expected: tuple[str, str | None]
) -> None:
    body = body_from(plan, "cs-1-entry", None, SETTINGS)
    assert (body["time_in_force"], body.get("order_class")) == expected


def test_numbers_are_sent_as_text() -> None:
    body = body_from(replace(ENTRY, limit_price=Decimal("0.1234")), "cs-1-entry", None, SETTINGS)
    values = [*body.values(), *body["stop_loss"].values(), *body["take_profit"].values()]
    assert not any(isinstance(each, float | int | Decimal) for each in values)
    assert body["limit_price"] == "0.1234"


@pytest.mark.parametrize("session", list(Session), ids=str)
@pytest.mark.parametrize("plan", [EXIT, STOP, ENTRY], ids=["exit", "stop", "entry"])
def test_only_a_market_exit_outside_the_regular_session_wants_a_quote(plan: OrderPlan, session: Session) -> None:
    expected = plan is EXIT and session in (Session.PRE, Session.AFTER)
    assert needs_quote(plan, session, SETTINGS) is expected
    assert needs_quote(plan, session, AlpacaSettings(extended_hours=False)) is False


@pytest.mark.parametrize(
    ("side", "bid", "ask", "last", "expected"),
    [
        (Side.SELL, "10", "10.1", "10", "9.9"),
        (Side.BUY, "10", "10.1", "10", "10.21"),
        (Side.SELL, None, "10.1", "8", "7.92"),
        (Side.SELL, "0.5003", None, None, "0.4952"),
        (Side.SELL, "1.005", None, None, "0.9949"),
        (Side.SELL, "0.0001", None, None, None),
        (Side.SELL, None, None, None, None),
    ],
    ids=["sale", "purchase", "last", "cheap", "across_one", "too_cheap", "none"],
)
def test_an_exit_may_go_a_band_beyond_the_quote(
    side: Side, bid: str | None, ask: str | None, last: str | None, expected: str | None
) -> None:
    prices = [None if each is None else Decimal(each) for each in (bid, ask, last)]
    found = exit_limit(side, Quote(*prices, NOW), Decimal(1))
    assert found == (None if expected is None else Decimal(expected))


@given(st.decimals("0.01", "5000", places=4), st.decimals(0, 10, places=2), st.sampled_from(list(Side)))
def test_an_exit_s_limit_is_on_its_tick_and_never_short_of_the_band(price: Decimal, band: Decimal, side: Side) -> None:
    found = exit_limit(side, Quote(price, price, price, NOW), band)
    wanted = price * (100 + side.sign * band) / 100
    assert found is not None
    assert is_on_tick(found)
    assert (found - wanted) * side.sign >= 0


class Broker:
    """Withdraws at the `tries`-th time."""

    def __init__(self, tries: int = 1) -> None:
        self.asked: list[str] = []
        self._tries = tries

    async def withdraw(self, order_id: str) -> bool:
        self.asked.append(order_id)
        if len(self.asked) < self._tries:
            raise Lost("no answer")
        return True


@pytest.mark.parametrize(
    ("now", "is_over"),
    [
        (datetime(2026, 3, 2, 20, 59, tzinfo=UTC), False),
        (datetime(2026, 3, 2, 21, 0, tzinfo=UTC), True),
        (datetime(2026, 3, 3, 15, 0, tzinfo=UTC), True),
        (datetime(2026, 3, 8, 15, 0, tzinfo=UTC), True),
        (datetime(2190, 3, 2, 15, 0, tzinfo=UTC), True),
    ],
    ids=["open", "closed", "next_day", "weekend", "beyond_the_calendar"],
)
async def test_an_entry_for_the_day_is_withdrawn_once_its_session_is_over(now: datetime, is_over: bool) -> None:
    broker = Broker()
    watch = DayEnd(NYSE, lambda: now, broker.withdraw)
    watch.add("cs-1-entry", NOW)
    await watch.tick()
    await watch.tick()
    assert broker.asked == (["cs-1-entry"] if is_over else [])


async def test_a_withdrawal_that_fails_is_tried_again() -> None:
    broker = Broker(tries=3)
    watch = DayEnd(NYSE, lambda: datetime(2026, 3, 2, 22, 0, tzinfo=UTC), broker.withdraw)
    watch.add("cs-1-entry", NOW)
    for _ in range(4):
        await watch.tick()
    assert len(broker.asked) == 3


def test_the_day_of_an_entry_is_new_york_s() -> None:
    watch = DayEnd(NYSE, lambda: NOW, Broker().withdraw)
    watch.add("cs-1-entry", datetime(2026, 3, 3, 1, 0, tzinfo=UTC))
    assert watch._days == {"cs-1-entry": date(2026, 3, 2)}


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"endpoint": "Live"}, "paper, live"),
        ({"feed": "otc"}, "iex, sip"),
        ({"trading_url": "http://example.com"}, "this machine"),
        ({"trading_url": "https://api.alpaca.markets"}, "this machine"),
        ({"data_url": "http://user:word@127.0.0.1"}, "without a user"),
        ({"trading_url": "ftp://127.0.0.1"}, "this machine"),
        ({"timeout_s": "0"}, "greater than 0"),
        ({"secret_key": "x"}, "Extra"),
    ],
    ids=lambda value: next(iter(value.values())) if isinstance(value, dict) else "",
)
def test_settings_that_are_refused(values: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        AlpacaSettings(**values)


def test_addresses_follow_the_endpoint() -> None:
    assert SETTINGS.trading_base == "https://paper-api.alpaca.markets"
    assert SETTINGS.stream_url == "wss://paper-api.alpaca.markets/stream"
    assert AlpacaSettings(endpoint="live").trading_base == "https://api.alpaca.markets"
    assert AlpacaSettings(trading_url="http://127.0.0.1:1/").stream_url == "ws://127.0.0.1:1/stream"
