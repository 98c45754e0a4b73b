"""The fold over what was posted: the file alone tells the same story, and no leg outlives its shares."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal as D

from hypothesis import given
from hypothesis import strategies as st

from subscriber_agent.accounting.book import Leg, Side
from subscriber_agent.engines.engine import OutcomeState, order_id_from
from subscriber_agent.engines.webhook.assumed import (
    Assumed,
    answer_record,
    cancelled_record,
    intent_record,
    refused_record,
    settled_record,
)
from subscriber_agent.risk.decision import OrderPlan, OrderType, TimeInForce

AT = datetime(2026, 3, 2, 15, 0, tzinfo=UTC)
CASH = D(100_000)
ENDS = (OutcomeState.FILLED, OutcomeState.REJECTED, OutcomeState.UNKNOWN, None)


def a_plan(ticker: str, side: Side, leg: Leg, quantity: int) -> OrderPlan:
    is_entry, sign = leg is Leg.ENTRY, side.sign
    return OrderPlan(
        ticker,
        side,
        leg,
        D(quantity),
        OrderType.MARKET,
        None,
        D(10 - sign) if is_entry else None,
        D(10 + sign) if is_entry else None,
        TimeInForce.DAY,
        D(10),
        AT,
        "fda",
    )


class Live:
    """An account with its file: every record is applied as it is written."""

    def __init__(self) -> None:
        self.account = Assumed(CASH)
        self.records: list[dict] = []
        self.now = AT

    def write(self, record) -> None:
        self.records.append(record)
        self.account.apply(record)

    def post(self, ticker: str, side: Side, leg: Leg, quantity: int, end: OutcomeState | None) -> None:
        order_id = order_id_from(f"s{len(self.records)}", "alice", leg)
        plan = a_plan(ticker, side, leg, quantity)
        objection = self.account.objection(plan)
        if objection is not None:
            self.write(refused_record(order_id, plan, objection, self.now))
            return
        self.write(intent_record(order_id, plan, self.account.price_for(plan), self.now))
        if end is not None:
            self.write(answer_record(order_id, end, "", self.now))

    def see(self, ticker: str, price: int) -> None:
        for record in self.account.seen(ticker, D(price), self.now):
            self.write(record)

    def cancel(self, number: int) -> None:
        entries = self.account.working()
        if entries:
            self.write(cancelled_record(entries[number % len(entries)].order_id, self.now))

    def settle(self, quantity: int) -> None:
        for sent in self.account.unknown[:1]:
            self.write(settled_record(sent.order_id, D(quantity), D(10), self.now))


_TICKERS = st.sampled_from(("AAAA", "BBBB"))
_ACTIONS = st.one_of(
    st.tuples(
        st.just("post"),
        _TICKERS,
        st.sampled_from(Side),
        st.sampled_from((Leg.ENTRY, Leg.EXIT)),
        st.integers(1, 9),
        st.sampled_from(ENDS),
    ),
    st.tuples(st.just("see"), _TICKERS, st.integers(8, 12)),
    st.tuples(st.just("cancel"), st.integers(0, 3)),
    st.tuples(st.just("settle"), st.integers(0, 9)),
)


def lived(actions) -> Live:
    live = Live()
    for name, *words in actions:
        live.now += timedelta(seconds=1)
        getattr(live, name)(*words)
    return live


@given(st.lists(_ACTIONS, max_size=25))
def test_the_file_alone_tells_the_same_story(actions):
    live = lived(actions)
    again = Assumed(CASH)
    for record in live.records:
        again.apply(record)
    assert again.sent == live.account.sent
    assert again.book.cash == live.account.book.cash
    assert {ticker: each.quantity for ticker, each in again.book.positions.items()} == {
        ticker: each.quantity for ticker, each in live.account.book.positions.items()
    }


@given(st.lists(_ACTIONS, max_size=25))
def test_no_leg_would_close_more_than_is_held(actions):
    account = lived(actions).account
    for entry in account.working():
        held = account.held(entry.plan.ticker) * entry.plan.side.sign
        assert all(each.protects <= held for each in entry.legs.values() if each.state.is_working)


@given(st.lists(_ACTIONS, max_size=25))
def test_cash_moves_only_by_what_is_said_to_have_filled(actions):
    account = lived(actions).account
    flows = [D(0)]
    for sent in account.sent.values():
        sign = sent.plan.side.sign
        flows.append(-sign * sent.quantity * (sent.outcome.price or 0))
        flows.extend(sign * leg.quantity * (leg.price or 0) for leg in sent.legs.values())
    assert account.book.cash == CASH + sum(flows)


def test_an_order_that_is_refused_is_one_record_so_no_kill_makes_it_look_posted():
    live = Live()
    live.post("AAAA", Side.SELL, Leg.EXIT, 5, None)
    assert len(live.records) == 1
    assert [each.state for each in live.account.sent.values()] == [OutcomeState.REJECTED]


def test_what_a_person_says_counts_once_and_only_for_what_is_unknown():
    live = Live()
    live.post("AAAA", Side.BUY, Leg.ENTRY, 5, OutcomeState.UNKNOWN)
    live.settle(5)
    live.write(live.records[-1])
    live.write(answer_record(live.records[0]["order_id"], OutcomeState.REJECTED, "too late", live.now))
    assert live.account.held("AAAA") == 5
    assert live.account.unknown == ()


def test_two_settled_orders_in_one_ticker_keep_their_own_legs():
    live = Live()
    live.post("AAAA", Side.BUY, Leg.ENTRY, 5, OutcomeState.UNKNOWN)
    live.settle(0)
    assert live.account.held("AAAA") == 0
    live.post("AAAA", Side.BUY, Leg.ENTRY, 5, OutcomeState.FILLED)
    assert live.account.held("AAAA") == 5
