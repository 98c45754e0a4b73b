"""What must hold for every signal, book and set of limits."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal, getcontext, localcontext

import orjson
from agent_samples import NOW, PAPER, TODAY, a_book, a_close, a_position, a_short, a_signal
from hypothesis import given, settings
from hypothesis import strategies as st

from signal_contract.catalysts import CATALYSTS
from signal_contract.model import Session
from subscriber_agent.accounting.book import Fill, Leg, Side, WorkingEntry
from subscriber_agent.accounting.ledger import Ledger, SessionStarted, Traded
from subscriber_agent.risk.decide import decide
from subscriber_agent.risk.decision import Verdict
from subscriber_agent.risk.limits import Limits
from subscriber_agent.risk.market import Capabilities, Health, Quote, Symbol, TradingState

D = Decimal


def money(low, high, places=2):
    """Spread over the whole range; `st.decimals` clings to its lower end, where no order is ever made."""
    scale = 10**places
    return st.integers(int(D(low) * scale), int(D(high) * scale)).map(lambda units: D(units) / scale)


limits = st.builds(
    Limits,
    min_confidence=st.sampled_from([D("0.5"), D("0.7"), D("0.95")]),
    max_age_s=money(60, 300),
    min_price_usd=money("0.01", "0.50"),
    max_price_usd=money(20, 1000),
    max_stop_distance_percent=money(8, 50),
    allow_shorts=st.just(True),
    sizing=st.sampled_from(["fixed_usd", "percent_of_equity", "risk_per_trade", "suggested", "kelly"]),
    fixed_usd=money(1, 5000),
    equity_percent=money(1, 100),
    min_notional_usd=money(0, 20),
    max_notional_usd=money(20, 3000),
    max_quantity=st.integers(1, 2000),
    max_buying_power_percent=money(1, 100),
    max_open_positions=st.integers(2, 8),
    max_exposure_percent=money(5, 100),
    max_orders_per_minute=st.integers(1, 6),
    max_trades_per_day=st.integers(2, 9),
    cash_reserve_percent=money(0, 60),
    risk_percent=money("0.1", 10),
    suggested_factor=money("0.5", 5),
    kelly_factor=money("0.1", 1),
    kelly_cap_percent=money(1, 25),
    max_price_move_percent=st.one_of(money(0, 1), *[money(1, 5)] * 3),
    own_stop_percent=st.sampled_from([D(0), D(5)]),
    allow_fractions=st.booleans(),
    max_ticker_exposure_percent=money(5, 100),
    max_catalyst_exposure_percent=money(20, 100),
    max_sector_exposure_percent=money(20, 100),
    daily_loss_percent=money(1, 10),
    max_losing_streak=st.integers(1, 4),
    cooldown_s=money(0, 4000),
    max_leverage=money("0.2", 1),
    approve_above_usd=money(100, 5000),
)


@st.composite
def entries(draw):
    price = draw(money("0.05", 40, 4))
    distance = draw(money("0.5", 12)) / 100
    build = draw(st.sampled_from([a_signal, a_short]))
    sign = -1 if build is a_signal else 1
    stop = (price * (1 + sign * distance)).quantize(D("0.0000001"))
    confidence = draw(st.sampled_from([D("0.6"), D("0.9"), D(1), D(1), D(1)]))
    target = draw(st.sampled_from([None, (price * (1 - sign * D("0.2"))).quantize(D("0.01"))]))
    return build(
        reference_price=price,
        stop_price=stop,
        target_price=target or None,
        confidence=confidence,
        suggested_size_fraction=draw(st.sampled_from([D("0.03"), D("0.2"), D(1)])),
    )


@st.composite
def books(draw):
    held = [
        a_position(f"T{index}", draw(st.integers(-100, 100).filter(bool)), str(draw(money("0.1", 20))))
        for index in range(draw(st.integers(0, 3)))
    ]
    working = draw(st.lists(st.builds(WorkingEntry, st.just("W1"), money(0, 500)), max_size=1))
    times = draw(st.lists(st.integers(0, 90_000), max_size=4))
    return a_book(
        str(draw(st.one_of(*[money(5000, 50_000)] * 4, money(-1000, 5000)))),
        *held,
        working=tuple(working),
        entry_times=tuple(NOW - timedelta(seconds=each) for each in times),
        is_blocked=False,
    )


@st.composite
def worlds(draw, signal, book):
    """A market that would mostly let the entry through: on paper or not, with a quote or not, after some losses."""
    start = (book.equity or D(1000)) * draw(st.sampled_from([*[D(1)] * 4, D("1.005"), D("1.05")]))
    ledger = Ledger().after(SessionStarted(TODAY, NOW, start))
    for ago_s in draw(st.lists(st.integers(0, 20_000), max_size=2)):
        at = NOW - timedelta(seconds=ago_s)
        for side, price in ((Side.BUY, D(5)), (Side.SELL, D(4))):
            ledger = ledger.after(
                Traded(Fill("o", draw(st.sampled_from(["ABCD", "X", "Y"])), side, Leg.EXIT, D(1), price, at))
            )
    around = signal.reference_price * (100 + draw(money(-2, 1))) / 100
    return replace(
        PAPER,
        is_paper=draw(st.booleans()),
        ledger=ledger,
        health=draw(st.sampled_from([Health.OK, Health.PROBE])),
        is_ledger_mismatch=False,
        quote=draw(st.sampled_from([None, Quote(around, around, around, NOW)])),
        capabilities=Capabilities(fractions=True),
        symbol=Symbol(False, True, True, draw(st.booleans())),
    )


def in_a_world(data, signal, book):
    return data.draw(worlds(signal, book))


def _looser_or_equal(draw, rules):
    """The same rules with each limit left alone or loosened."""
    more = {
        "max_age_s": money(0, 100),
        "max_stop_distance_percent": money(0, 0),
        "fixed_usd": money(0, 5000),
        "equity_percent": money(0, 0),
        "max_notional_usd": money(0, 3000),
        "max_quantity": st.integers(0, 2000),
        "max_open_positions": st.integers(0, 4),
        "max_orders_per_minute": st.integers(0, 4),
        "max_trades_per_day": st.integers(0, 4),
        "max_price_usd": money(0, 1000),
        "suggested_factor": money(0, 0),
        "risk_percent": money(0, 0),
        "kelly_factor": money(0, 0),
        "max_losing_streak": st.integers(0, 3),
        "approve_above_usd": money(0, 3000),
    }
    shares = (
        "equity_percent",
        "max_exposure_percent",
        "max_buying_power_percent",
        "max_ticker_exposure_percent",
        "max_catalyst_exposure_percent",
        "max_sector_exposure_percent",
        "daily_loss_percent",
    )
    less = ("min_confidence", "min_price_usd", "min_notional_usd", "cash_reserve_percent", "cooldown_s")
    changes = {name: getattr(rules, name) + draw(extra) for name, extra in more.items()}
    changes |= {name: max(getattr(rules, name), draw(money("0.01", 100))) for name in shares}
    changes |= {
        name: min(getattr(rules, name), max(draw(money(0, 20)), D("0.01") if name == "min_price_usd" else D(0)))
        for name in less
    }
    return Limits.model_validate({**rules.model_dump(), **changes})


@st.composite
def stricter_pairs(draw):
    strict = draw(limits)
    return strict, _looser_or_equal(draw, strict)


def test_no_order_exceeds_any_cap():
    sizes = []

    @settings(max_examples=200, deadline=None)
    @given(entries(), books(), limits, st.data())
    def check(signal, book, rules, data):
        market = in_a_world(data, signal, book)
        decision = decide(signal, book, rules, market, NOW)
        if decision.plan is None:
            return
        plan, equity = decision.plan, book.equity
        quantity, notional = plan.quantity, plan.notional_usd
        sizes.append(quantity)
        is_whole = not (rules.allow_fractions and market.symbol.is_fractionable)
        step = 1 if is_whole else D("0.0001")
        assert quantity % step == 0
        assert step <= quantity <= rules.max_quantity
        assert rules.min_notional_usd <= notional <= rules.max_notional_usd
        assert book.exposure + notional <= equity * rules.max_exposure_percent / 100
        assert book.exposure + notional <= equity * rules.max_leverage
        assert notional <= equity * rules.max_ticker_exposure_percent / 100
        assert notional <= book.buying_power * rules.max_buying_power_percent / 100
        assert book.buying_power - notional >= equity * rules.cash_reserve_percent / 100
        assert decision.code is None or notional > rules.approve_above_usd
        assert notional <= wanted(signal, equity, rules, plan)
        assert_ends_well(plan, market)

    check()
    assert len(sizes) > 3, "the examples hardly ever make an order, so they prove nothing"


def wanted(signal, equity, rules, plan):
    worst = plan.limit_price or plan.reference_price
    return {
        "fixed_usd": rules.fixed_usd,
        "percent_of_equity": equity * rules.equity_percent / 100,
        # The stop moves by less than a tick when it is put on it.
        "risk_per_trade": equity
        * rules.risk_percent
        / 100
        * max(plan.reference_price, worst)
        / max(abs(worst - plan.stop_price) - D("0.01"), D("0.00001")),
        "suggested": equity * (signal.suggested_size_fraction or 0) * rules.suggested_factor,
        "kelly": equity * rules.kelly_cap_percent / 100,
    }[rules.sizing]


def assert_ends_well(plan, market):
    """The stop protects from the worst fill on, the target lies beyond it, and real orders have a limit."""
    worst = plan.limit_price or plan.reference_price
    assert (worst - plan.stop_price) * plan.side.sign > 0
    assert plan.target_price is None or (plan.target_price - worst) * plan.side.sign > 0
    assert plan.limit_price is not None or (market.is_paper and market.quote is None)
    for price in (plan.limit_price, plan.stop_price, plan.target_price):
        assert price is None or price % (D("0.01") if price >= 1 else D("0.0001")) == 0


def test_a_stricter_config_never_accepts_more_or_larger():
    both, shrunk = [], []

    @settings(max_examples=200, deadline=None)
    @given(entries(), books(), stricter_pairs(), st.sampled_from([0, 0, 0, 30, 100, 200]), st.data())
    def check(signal, book, pair, age_s, data):
        now = NOW + timedelta(seconds=age_s)
        market = in_a_world(data, signal, book)
        by_strict, by_loose = (decide(signal, book, rules, market, now) for rules in pair)
        if by_strict.verdict is Verdict.ACCEPTED:
            assert by_loose.plan is not None
            assert by_loose.plan.quantity >= by_strict.plan.quantity
            # A larger order may need the friend's word, which is no order yet.
            assert by_loose.verdict is Verdict.ACCEPTED or by_loose.plan.quantity > by_strict.plan.quantity
            both.append(signal)
        if by_loose.plan is not None and by_loose.plan != by_strict.plan:
            shrunk.append(signal)

    check()
    assert len(both) > 3, "the examples hardly ever make an order, so they prove nothing"
    assert shrunk


@settings(max_examples=100, deadline=None)
@given(entries(), books(), st.sets(st.sampled_from(sorted(CATALYSTS))), st.sets(st.sampled_from(sorted(CATALYSTS))))
def test_denying_more_or_allowing_less_never_accepts_more(signal, book, allow, deny):
    loose = Limits(allow_shorts=True)
    strict = loose.model_copy(update={"allow_catalysts": tuple(allow), "deny_catalysts": tuple(deny)})
    by_strict, by_loose = (decide(signal, book, rules, PAPER, NOW) for rules in (strict, loose))
    assert by_strict.verdict is not Verdict.ACCEPTED or by_loose.plan == by_strict.plan


@settings(max_examples=200, deadline=None)
@given(
    books(),
    limits,
    st.integers(-10_000_000, 10_000_000),
    st.sampled_from([TradingState.ACTIVE, TradingState.REDUCING]),
    st.one_of(st.none(), st.decimals()),
    st.data(),
)
def test_an_exit_is_never_refused_by_an_entry_check(book, rules, age_s, state, skew, data):
    held = a_position("ABCD", 10, last_price=None)
    book = replace(book, cash=None, positions={**book.positions, "ABCD": held})
    market = replace(
        PAPER,
        is_paper=False,
        local_state=state,
        clock_skew_s=skew,
        session=data.draw(st.sampled_from([None, *Session])),
        session_day=None,
        ledger=None,
        health=Health.OPEN,
        is_ledger_mismatch=True,
        approve_all=True,
        symbol=Symbol(),
        capabilities=Capabilities(quotes=True, symbols=True, shorts=False, brackets=False),
    )
    decision = decide(a_close(), book, rules, market, NOW + timedelta(seconds=age_s))
    assert decision.verdict is Verdict.ACCEPTED
    assert decision.plan.quantity == 10


@settings(max_examples=200, deadline=None)
@given(entries(), books(), limits, st.booleans())
def test_explain_and_run_agree_and_no_context_changes_a_decision(signal, book, rules, is_retracted):
    market = replace(PAPER, is_retracted=is_retracted)
    run = decide(signal, book, rules, market, NOW)
    explained = decide(signal, book, rules, market, NOW, show_all=True)
    assert (run.verdict, run.code, run.plan) == (explained.verdict, explained.code, explained.plan)
    with localcontext(getcontext().copy()) as context:
        context.prec = 5
        again = decide(signal, book, rules, market, NOW)
    assert orjson.dumps(again.as_dict()) == orjson.dumps(run.as_dict())


wild = st.one_of(
    st.none(),
    st.decimals(),
    st.sampled_from([D(0), D(-1), D("NaN"), D("sNaN"), D("Infinity"), D("-Infinity"), D("1E+9999"), D("1E-9999")]),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(wild, min_size=9, max_size=9), st.booleans(), limits)
def test_whatever_is_not_a_sane_number_refuses_and_never_raises(values, is_paper, rules):
    cash, price, average, quantity, bid, ask, working, reported, fraction = values
    held = a_position("HELD", 1)
    held = replace(held, last_price=price, average_price=average or D(1), quantity=quantity or D(1))
    book = replace(
        a_book(None, held),
        cash=cash,
        working=() if working is None else (WorkingEntry("W", working),),
        exiting={} if reported is None else {"HELD": reported},
    )
    market = replace(PAPER, is_paper=is_paper, ledger=None, quote=Quote(bid, ask, None, NOW))
    signal = a_signal().model_copy(update={"suggested_size_fraction": fraction})
    decision = decide(signal, book, rules, market, NOW, show_all=True)
    decide(a_close(ticker="HELD"), book, rules, market, NOW)
    if decision.verdict is Verdict.ACCEPTED:
        assert book.equity is not None
        assert book.exposure + decision.plan.notional_usd <= book.equity * rules.max_exposure_percent / 100


@settings(max_examples=100, deadline=None)
@given(st.permutations(["AAA", "BBB", "CCC", "DDD"]), books(), st.booleans())
def test_the_order_of_positions_and_entries_in_the_book_changes_no_byte(order, book, is_working):
    signal = a_signal()

    def decided(tickers):
        held = {each: a_position(each, 10, "4", catalyst="fda", sector="Energy") for each in tickers}
        entries_ = tuple(WorkingEntry(each, D(40)) for each in tickers) if is_working else ()
        mixed = replace(book, positions=held, working=entries_)
        return orjson.dumps(decide(signal, mixed, Limits(), PAPER, NOW, show_all=True).as_dict())

    assert decided(order) == decided(sorted(order))


def test_entries_of_one_moment_in_any_order_fill_the_same_number_of_places():
    """Which of equals comes first decides who gets the last place; how many get one, and how much, it does not."""
    rules = Limits(max_open_positions=3, max_exposure_percent=D(12), max_orders_per_minute=60)
    tickers = ("AAA", "BBB", "CCC", "DDD", "EEE")

    def taken(order):
        book, orders = a_book(), []
        for ticker in order:
            plan = decide(a_signal(ticker, ticker=ticker), book, rules, PAPER, NOW).plan
            if plan is not None:
                orders.append(plan.quantity)
                book = replace(book, working=(*book.working, WorkingEntry(ticker, plan.notional_usd)))
        return orders

    assert taken(tickers) == taken(tickers[::-1]) == taken(tickers[2:] + tickers[:2]) == [100, 100, 40]
