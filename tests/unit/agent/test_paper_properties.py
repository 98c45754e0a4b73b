"""Whatever happens to the pretend market: nothing is created from nothing, and the same history is the same account."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

from agent_samples import NOW, D
from hypothesis import given, settings
from hypothesis import strategies as st
from paper_samples import ENTRY, EXIT, STOP

from subscriber_agent.accounting.book import Leg, Side, book_from
from subscriber_agent.engines.engine import OutcomeState
from subscriber_agent.engines.paper import market
from subscriber_agent.engines.paper.legs import leg_of
from subscriber_agent.engines.paper.matching import fill_price, first_part, luck, worse
from subscriber_agent.engines.paper.turn import Turn
from subscriber_agent.engines.paper.values import Order, Standing, Terms, tick_of
from subscriber_agent.risk.decision import OrderType, TimeInForce

START = D(10_000)
PRICES = st.decimals("0.5", "40", places=2)
TERMS = st.builds(
    Terms,
    slippage=st.sampled_from([D(0), D("0.01")]),
    half_spread=st.sampled_from([D(0), D("0.005")]),
    latency=st.sampled_from([timedelta(0), timedelta(seconds=2)]),
    reject_percent=st.sampled_from([D(0), D(30)]),
    partial_percent=st.sampled_from([D(0), D(60)]),
    seed=st.integers(0, 5),
)
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["buy", "sell", "limit", "exit", "stop", "price", "price", "wait", "cancel"]),
        st.sampled_from(["A", "B"]),
        st.integers(1, 300).map(Decimal),
        PRICES,
        st.integers(0, 24),
    ),
    max_size=25,
)


class World:
    """A market in memory that checks, after each step, what must always hold."""

    def __init__(self, terms):
        self.terms, self.now = terms, NOW
        self.standing = Standing(book_from((), start_cash=START))
        self.orders, self.fills = {}, []

    def run(self, steps):
        for number, (what, ticker, quantity, price, pick) in enumerate(steps):
            self.now += timedelta(seconds=1)
            turn = Turn(self.standing)
            market.time_passed(turn, self.now, self.terms, None)
            self._do(turn, number, what, ticker, quantity, price, pick)
            self.standing = turn.standing()
            self._keep(turn)
            self.check()
        return self

    def _do(self, turn, number, what, ticker, quantity, price, pick):
        seen = {"ticker": ticker, "quantity": quantity, "reference_price": price, "reference_price_at": self.now}
        match what:
            case "price":
                market.price_came(turn, tick_of(ticker, price, self.now, self.terms), self.now, self.terms)
            case "wait":
                self.now += timedelta(seconds=3)
            case "cancel":
                market.cancel(turn, f"cs-{pick // 2}-{'entry' if pick % 2 else 'stop'}")
            case _:
                plan = self._plan(what, turn, seen, price)
                market.arrive(turn, f"cs-{number}-entry", plan, self.now, self.terms, None, None)

    def _plan(self, what, turn, seen, price):
        held = turn.book.positions.get(seen["ticker"])
        side = Side.SELL if held is None or held.quantity > 0 else Side.BUY
        protected = {"stop_price": price * D("0.9"), "target_price": price * D("1.1")}
        match what:
            case "buy":
                return replace(ENTRY, **seen, **protected)
            case "sell":
                turned = {"stop_price": price * D("1.1"), "target_price": price * D("0.9")}
                return replace(ENTRY, side=Side.SELL, **seen, **turned)
            case "limit":
                limit = {"order_type": OrderType.LIMIT, "limit_price": price * D("0.98")}
                return replace(ENTRY, time_in_force=TimeInForce.GTC, **limit, **seen, **protected)
            case "stop":
                return replace(STOP, **{**seen, "side": side, "stop_price": price * (1 + side.sign * D("0.05"))})
            case _:
                return replace(EXIT, **{**seen, "side": side})

    def _keep(self, turn):
        for order_id, order in turn.changed.items():
            before = self.orders.get(order_id)
            assert before is None or not before.state.is_final, "what has ended changes no more"
            assert before is None or order.filled >= before.filled
            self.orders[order_id] = order
        for fill in turn.fills:
            held = sum((each.side.sign * each.quantity for each in self.fills if each.ticker == fill.ticker), D(0))
            is_closing = held * fill.side.sign < 0 and fill.quantity <= abs(held)
            assert fill.leg is Leg.ENTRY or is_closing, "what closes opens nothing"
            self.fills.append(fill)

    def check(self):
        book = self.standing.book
        cash = START - sum((each.side.sign * each.quantity * each.price for each in self.fills), D(0))
        assert book.cash == cash, "cash moves by fills alone"
        for ticker in ("A", "B"):
            signed = [each.side.sign * each.quantity for each in self.fills if each.ticker == ticker]
            held = book.positions.get(ticker)
            assert (D(0) if held is None else held.quantity) == sum(signed, D(0))
            self._check_legs(ticker, D(0) if held is None else held.quantity)
        for order in self.orders.values():
            filled = sum((each.quantity for each in self.fills if each.order_id == order.order_id), D(0))
            assert order.filled == filled <= order.asked, "never more than asked"
            assert order.filled == filled <= max(order.plan.quantity, order.asked)
            assert (order.state is OutcomeState.FILLED) <= (filled == order.asked)
            assert order.state.is_working == (order.order_id in self.standing.orders)

    def _check_legs(self, ticker, held):
        """Legs together never close more than is held, and never open anything."""
        legs = [each for each in self.standing.orders.values() if each.entry_id and each.plan.ticker == ticker]
        for leg in (Leg.STOP, Leg.TARGET):
            mine = [each for each in legs if each.plan.leg is leg]
            assert sum((each.open for each in mine), D(0)) <= abs(held)
            assert all(each.plan.side.sign * held < 0 for each in mine)


@settings(max_examples=200, deadline=None)
@given(TERMS, STEPS)
def test_cash_and_shares_come_from_fills_alone_and_no_leg_closes_more_than_is_held(terms, steps):
    World(terms).run(steps)


@settings(max_examples=40, deadline=None)
@given(TERMS, STEPS)
def test_the_same_seed_and_history_is_the_same_account(terms, steps):
    one, other = World(terms).run(steps), World(terms).run(steps)
    assert (one.fills, one.orders) == (other.fills, other.orders)


@settings(max_examples=80, deadline=None)
@given(TERMS, STEPS.map(lambda steps: [each for each in steps if each[0] not in ("sell",)]))
def test_long_only_cash_never_goes_below_zero(terms, steps):
    assert World(terms).run(steps).standing.book.cash >= 0


@given(PRICES, st.sampled_from(list(Side)), TERMS)
def test_a_market_order_never_fills_better_than_the_price(price, side, terms):
    order = Order("o", replace(ENTRY, side=side), D(1), OutcomeState.ACCEPTED, NOW)
    got = fill_price(order, tick_of("ABCD", price, NOW, terms), terms)
    assert (got - price) * side.sign >= 0
    assert (worse(price, side, terms) - price) * side.sign >= 0


@given(PRICES, PRICES, st.sampled_from([Leg.STOP, Leg.TARGET]), st.sampled_from(list(Side)), TERMS)
def test_a_stop_fills_at_its_price_or_worse_and_a_target_at_its_own(seen, trigger, leg, side, terms):
    entry = Order(
        "o", replace(ENTRY, side=side, stop_price=trigger, target_price=trigger), D(1), OutcomeState.FILLED, NOW
    )
    order = leg_of(entry, leg, D(1), NOW)
    tick = tick_of("ABCD", seen, NOW, terms)
    got = fill_price(order, tick, terms)
    if leg is Leg.TARGET:
        is_reached = (tick.touch(order.plan.side) - trigger) * side.sign >= 0
        assert got == (trigger if is_reached else None)
    elif got is not None:
        assert (got - trigger) * side.sign <= 0
        assert (got - seen) * side.sign <= 0
    else:
        assert (tick.touch(order.plan.side) - trigger) * side.sign > 0


@given(st.text(max_size=40), st.integers(1, 10**6), st.integers(0, 10**6))
def test_a_first_part_is_some_of_it_and_whole_shares(order_id, shares, seed):
    part = first_part(order_id, D(shares), Terms(partial_percent=D(100), seed=seed))
    assert 1 <= part <= shares
    assert part == part.to_integral_value()
    assert part < shares or shares == 1


def test_luck_is_spread_evenly_and_stays_in_its_range():
    drawn = [luck(Terms(seed=9), f"o{number}", "x") for number in range(2000)]
    assert all(0 <= each < 100 for each in drawn)
    assert all(150 <= sum(low <= each < low + 10 for each in drawn) <= 250 for low in range(0, 100, 10))


def test_luck_is_the_same_on_every_machine():
    assert int(luck(Terms(seed=1), "cs-0-entry", "reject") * 1000) == 91_780
