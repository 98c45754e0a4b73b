"""What must hold for every signal, book and set of limits."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal, getcontext, localcontext

import orjson
from agent_samples import NOW, PAPER, a_book, a_close, a_position, a_short, a_signal
from hypothesis import given, settings
from hypothesis import strategies as st

from signal_contract.catalysts import CATALYSTS
from subscriber_agent.book import WorkingEntry
from subscriber_agent.risk.decide import decide
from subscriber_agent.risk.decision import Verdict
from subscriber_agent.risk.limits import Limits
from subscriber_agent.risk.market import TradingState

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
    sizing=st.sampled_from(["fixed_usd", "percent_of_equity"]),
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
)


@st.composite
def entries(draw):
    price = draw(money("0.05", 40, 4))
    distance = draw(money("0.5", 12)) / 100
    build = draw(st.sampled_from([a_signal, a_short]))
    sign = -1 if build is a_signal else 1
    stop = (price * (1 + sign * distance)).quantize(D("0.0000001"))
    confidence = draw(st.sampled_from([D("0.6"), D("0.9"), D("0.95"), D(1)]))
    return build(reference_price=price, stop_price=stop, target_price=None, confidence=confidence)


@st.composite
def books(draw):
    held = [
        a_position(f"T{index}", draw(st.integers(-100, 100).filter(bool)), str(draw(money("0.1", 20))))
        for index in range(draw(st.integers(0, 3)))
    ]
    working = draw(st.lists(st.builds(WorkingEntry, st.just("W1"), money(0, 500)), max_size=1))
    times = draw(st.lists(st.integers(0, 90_000), max_size=4))
    return a_book(
        str(draw(st.one_of(money(5000, 50_000), money(-1000, 5000)))),
        *held,
        working=tuple(working),
        entry_times=tuple(NOW - timedelta(seconds=each) for each in times),
    )


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
    }
    shares = ("equity_percent", "max_exposure_percent", "max_buying_power_percent")
    less = ("min_confidence", "min_price_usd", "min_notional_usd", "cash_reserve_percent")
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

    @settings(max_examples=400, deadline=None)
    @given(entries(), books(), limits)
    def check(signal, book, rules):
        decision = decide(signal, book, rules, PAPER, NOW)
        if decision.plan is None:
            return
        quantity, notional = decision.plan.quantity, decision.plan.notional_usd
        sizes.append(quantity)
        assert quantity == quantity.to_integral_value()
        assert 1 <= quantity <= rules.max_quantity
        assert rules.min_notional_usd <= notional <= rules.max_notional_usd
        assert book.exposure + notional <= book.equity * rules.max_exposure_percent / 100
        assert notional <= book.buying_power * rules.max_buying_power_percent / 100
        assert book.buying_power - notional >= book.equity * rules.cash_reserve_percent / 100
        wanted = rules.fixed_usd if rules.sizing == "fixed_usd" else book.equity * rules.equity_percent / 100
        assert notional <= wanted

    check()
    assert len(sizes) > 10, "the examples hardly ever make an order, so they prove nothing"


def test_a_stricter_config_never_accepts_more_or_larger():
    both, shrunk = [], []

    @settings(max_examples=400, deadline=None)
    @given(entries(), books(), stricter_pairs(), st.sampled_from([0, 30, 100, 200]))
    def check(signal, book, pair, age_s):
        now = NOW + timedelta(seconds=age_s)
        by_strict, by_loose = (decide(signal, book, rules, PAPER, now) for rules in pair)
        if by_strict.verdict is Verdict.ACCEPTED:
            assert by_loose.verdict is Verdict.ACCEPTED
            assert by_loose.plan.quantity >= by_strict.plan.quantity
            both.append(signal)
        elif by_loose.verdict is Verdict.ACCEPTED:
            shrunk.append(signal)

    check()
    assert len(both) > 10, "the examples hardly ever make an order, so they prove nothing"
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
)
def test_an_exit_is_never_refused_by_an_entry_check(book, rules, age_s, state, skew):
    held = a_position("ABCD", 10, last_price=None)
    book = replace(book, cash=None, positions={**book.positions, "ABCD": held})
    market = replace(PAPER, local_state=state, clock_skew_s=skew)
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
