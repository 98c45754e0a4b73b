"""The replay's core: order of events, fills, retractions, loss of nothing, and the same bytes for the same input."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest
from agent_samples import NOW, D, a_close, a_config, a_revision, a_short, a_signal
from hypothesis import given, settings
from hypothesis import strategies as st
from replay_samples import past_lines

from signal_contract.model import Action, Event, Signal
from subscriber_agent.accounting.book import Leg, Side
from subscriber_agent.engines.paper.engine import PaperEngine
from subscriber_agent.engines.paper.settings import PaperSettings
from subscriber_agent.engines.paper.store import STORE_FILE, PaperStore
from subscriber_agent.replay.account import ReplayAccount
from subscriber_agent.replay.compare import differences, head_dict, result_dict
from subscriber_agent.replay.curve import MAX_POINTS, CurveRecorder
from subscriber_agent.replay.simulate import Replay, simulate, simulate_all
from subscriber_agent.replay.source import signal_or_problem
from subscriber_agent.replay.summary import Summary, summary_from
from subscriber_agent.replay.wire import Past, Quote
from subscriber_agent.risk.decision import Decision, OrderPlan, OrderType, TimeInForce, Verdict
from subscriber_agent.settings.config import AgentConfig

CONFIG = a_config(Path("unused"))
_WIDE = {"max_open_positions": 50, "max_exposure_percent": 100, "max_trades_per_day": 1000, "fixed_usd": 100}


def config(engine: dict[str, Any] | None = None, **risk: Any) -> AgentConfig:
    return a_config(Path("unused"), risk=risk, engine=engine or {})


def later(signal: Signal, minutes: float, **changes: Any) -> Signal:
    """The same, published so many minutes later, with a price of that moment."""
    at = signal.published_at + timedelta(minutes=minutes)
    times = {"published_at": at, "classified_at": at, "reference_price_at": at}
    if signal.expires_at is not None:
        times["expires_at"] = at + timedelta(hours=2)
    return signal.model_copy(update={**times, **changes})


def past(signals: Iterable[Signal]) -> list[Past]:
    return [Past(number, each) for number, each in enumerate(signals, 1)]


def replayed(signals: Iterable[Signal], quotes: Sequence[Quote] = (), **more: Any) -> Replay:
    return simulate(past(signals), more.pop("config", CONFIG), quotes, **more)


def labels(replay: Replay) -> list[str]:
    return [each.label for each in replay.steps]


def made_up(count: int, seed: int = 1) -> list[Past]:
    found = [signal_or_problem(line) for line in past_lines(count, seed)]
    return past(each for each in found if isinstance(each, Signal))


def as_bytes(replay: Replay) -> bytes:
    steps = [{**head_dict(each), **result_dict(each)} for each in replay.steps]
    return orjson.dumps([summary_from(replay).as_dict(), steps, repr(replay.closed), repr(replay.curve)])


def counted(summary: Summary) -> int:
    refused = sum(count for _, count in summary.refused)
    noted = sum(count for _, count in summary.noted)
    return summary.taken + summary.exits + summary.rejected + refused + noted


# Deciding ---------------------------------------------------------------------------------------------------------


def test_an_accepted_entry_fills_at_the_signals_price() -> None:
    replay = replayed([a_signal()])
    (step,) = replay.steps
    assert (step.label, step.leg, step.side, step.quantity, step.price) == ("FILLED", Leg.ENTRY, Side.BUY, 100, D(5))
    assert replay.book.cash == D(9500)


def test_slippage_is_against_the_friend() -> None:
    replay = replayed([a_signal()], config=config({"paper": {"slippage_bps": 100}}))
    assert replay.steps[0].price == D("5.05")


def test_age_is_judged_at_publication_plus_latency() -> None:
    assert labels(replayed([a_signal()], latency_s=D(120))) == ["FILLED"]
    assert labels(replayed([a_signal()], latency_s=D("120.1"))) == ["STALE"]


def test_a_signal_outside_the_session_is_refused_as_it_would_have_been_live() -> None:
    regular = config(sessions=["regular"])
    assert labels(replayed([later(a_signal(), -60)], config=regular)) == ["SESSION_CLOSED"]
    assert labels(replayed([a_signal()], config=regular)) == ["FILLED"]
    beyond = later(a_signal(), 60 * 24 * 365 * 100)
    assert labels(replayed([beyond], config=regular)) == ["SESSION_CLOSED"]


def test_a_refusal_says_which_number_broke_which_limit() -> None:
    (step,) = replayed([a_signal(confidence=D("0.5"))]).steps
    assert (step.label, step.why) == ("LOW_CONFIDENCE", "confidence: 0.5, allowed 0.7")


def test_a_cut_order_says_what_cut_it() -> None:
    (step,) = replayed([a_signal()], config=config(fixed_usd=2000, max_exposure_percent=1)).steps
    assert step.quantity == 20
    assert step.why.startswith("cut down by ")
    assert "MAX_EXPOSURE" in step.why


def test_the_mode_is_left_out_of_a_replay() -> None:
    assert labels(replayed([a_signal()], config=a_config(Path("unused"), mode="notify"))) == ["FILLED"]


def test_entries_of_the_last_24_hours_count() -> None:
    buys = [later(a_signal(f"n{number}", ticker=f"T{number}"), number * 2) for number in range(3)]
    next_day = later(a_signal("n9", ticker="T9"), 3 * 24 * 60)  # from Friday to Monday
    replay = replayed([*buys, next_day], config=config(max_trades_per_day=2))
    assert labels(replay) == ["FILLED", "FILLED", "MAX_TRADES_PER_DAY", "FILLED"]


def test_a_position_closed_at_a_loss_starts_the_tickers_cooldown() -> None:
    again = later(a_signal("n2"), 10, reference_price=D(5))
    replay = replayed([a_signal(), later(a_close(), 5, reference_price=D("4.9")), again])
    assert labels(replay) == ["FILLED", "FILLED", "COOLDOWN"]


def test_a_daily_loss_stops_entries_until_the_next_session() -> None:
    risk = {"fixed_usd": 1000, "max_ticker_exposure_percent": 100, "max_exposure_percent": 100}
    losing = [a_signal(), later(a_close(), 5, reference_price=D(2))]
    same_day = later(a_signal("n2", ticker="OTHER"), 90)
    next_day = later(a_signal("n3", ticker="THIRD"), 3 * 24 * 60 + 60)
    replay = replayed([*losing, same_day, next_day], config=config(**risk))
    assert labels(replay)[:3] == ["FILLED", "FILLED", "DAILY_LOSS"]
    assert labels(replay)[3] != "DAILY_LOSS"


def test_a_broken_loss_limit_closes_everything_when_it_is_asked_to() -> None:
    risk = {"fixed_usd": 1000, "max_ticker_exposure_percent": 100, "max_exposure_percent": 100}
    losing = [a_signal(), later(a_signal("n2", ticker="OTHER"), 1), later(a_close(), 5, reference_price=D(2))]
    # Limits are looked at before each decision, as live: the next signal finds this one broken.
    signals = [*losing, later(a_signal("n3", ticker="THIRD"), 6)]
    summary = summary_from(replayed(signals, config=config(**risk, flatten_on_breach=True)))
    assert (summary.exits, summary.flattened, summary.open_positions) == (1, 1, 0)
    assert summary.latched[0] == ("DAILY", "2026-01-02")
    assert summary_from(replayed(signals, config=config(**risk))).open_positions == 1


def test_settings_that_paper_does_not_carry_out_are_named() -> None:
    assert replayed([]).left_out == ()
    found = replayed([], config=config(trailing_stop_percent=5, max_hold_s_by_catalyst={"fda": 3600}))
    assert found.left_out == ("trailing_stop_percent", "max_hold_s_by_catalyst")


# Revisions and retractions ----------------------------------------------------------------------------------------


def test_a_later_retraction_does_not_undo_a_trade_that_was_made() -> None:
    signal = a_signal()
    replay = replayed([signal, later(a_revision(signal, 2, Event.RETRACT), 1)])
    assert labels(replay) == ["FILLED", "RETRACTION"]
    assert replay.book.positions["ABCD"].quantity == 100


def test_an_update_after_a_retraction_is_refused() -> None:
    signal = a_signal(confidence=D("0.5"))
    retraction = later(a_revision(signal, 2, Event.RETRACT), 1)
    update = later(a_revision(signal, 3, confidence=D("0.9")), 2)
    assert labels(replayed([signal, retraction, update])) == ["LOW_CONFIDENCE", "RETRACTION", "RETRACTED"]


def test_an_update_is_a_second_chance_but_never_a_second_trade() -> None:
    weak = a_signal(confidence=D("0.5"))
    strong = later(a_revision(weak, 2, confidence=D("0.9")), 1)
    assert labels(replayed([weak, strong, later(a_revision(strong, 3), 2)])) == [
        "LOW_CONFIDENCE",
        "FILLED",
        "DUPLICATE",
    ]


def test_a_revision_behind_a_newer_one_is_superseded() -> None:
    signal = a_signal()
    update = later(a_revision(signal, 2, confidence=D("0.5")), 1)
    assert labels(replayed([update, signal])) == ["LOW_CONFIDENCE", "SUPERSEDED"]


def test_the_same_revision_twice_counts_once() -> None:
    replay = replayed([a_signal(), a_signal()])
    assert (labels(replay), replay.duplicates) == (["FILLED"], 1)


def test_a_retracted_message_does_not_mark_or_trigger() -> None:
    other = a_signal("n2", reference_price=D(4), stop_price=D("3.9"), target_price=None)
    replay = replayed([a_signal(), later(a_revision(other, 2, Event.RETRACT), 1)])
    assert (replay.closed, replay.priced) == ((), frozenset())


def test_a_signal_that_claims_an_earlier_time_is_counted_and_turns_no_clock_back() -> None:
    replay = replayed([later(a_signal(), 5), a_signal("n2", ticker="OTHER")])
    assert (replay.out_of_order, labels(replay)) == (1, ["FILLED", "FILLED"])
    ats = [point.at for point in replay.curve.points]
    assert ats == sorted(ats)


# Stops, targets, prices -------------------------------------------------------------------------------------------


def quote(minutes: float, price: str, ticker: str = "ABCD") -> Quote:
    return Quote(NOW + timedelta(minutes=minutes), ticker, D(price))


def test_a_later_price_on_the_wire_triggers_the_stop_at_that_price() -> None:
    watch = later(a_signal("n2", action=Action.WATCH, reference_price=D("4.5")), 3)
    replay = replayed([a_signal(), watch])
    (closed,) = replay.closed
    assert (closed.leg, closed.price, closed.realised_usd, closed.catalyst) == (Leg.STOP, D("4.5"), D(-50), "fda")
    assert replay.book.positions == {}


def test_a_quote_triggers_the_target_at_the_targets_price() -> None:
    replay = replayed([a_signal()], [quote(-1, "9"), quote(1, "5.5"), quote(2, "6.2")])
    (closed,) = replay.closed
    assert (closed.leg, closed.price, closed.at) == (Leg.TARGET, D(6), NOW + timedelta(minutes=2))


def test_quotes_fall_between_the_signals_by_their_time() -> None:
    again = later(a_signal("n2"), 60)
    replay = replayed([a_signal(), again], [quote(1, "6.2")])
    assert labels(replay) == ["FILLED", "FILLED"]
    assert labels(replayed([a_signal(), again])) == ["FILLED", "ALREADY_IN_POSITION"]


def test_a_quote_of_a_ticker_that_is_not_held_changes_nothing() -> None:
    with_quotes = replayed([a_signal()], [quote(0.001, "1", "OTHER")])
    assert with_quotes.book == replayed([a_signal()]).book


def test_a_short_wins_when_the_price_falls() -> None:
    replay = replayed([a_short(), later(a_close(), 5, reference_price=D("4.5"))], config=config(allow_shorts=True))
    assert [each.realised_usd for each in replay.closed] == [D(50)]


def test_a_close_fills_at_its_own_price_before_the_stop_can() -> None:
    replay = replayed([a_signal(), later(a_close(), 5, reference_price=D("4.5"))])
    assert [(each.leg, each.price) for each in replay.closed] == [(Leg.EXIT, D("4.5"))]
    assert replay.closed[0].catalyst == "fda"


def test_profit_without_a_price_since_the_entry_is_unknown() -> None:
    summary = summary_from(replayed([a_signal()]))
    assert (summary.unrealised_usd, summary.equity_usd, summary.open_without_price) == (None, None, ("ABCD",))
    assert summary.as_dict()["unrealised_usd"] is None
    priced = summary_from(replayed([a_signal()], [quote(1, "5.5")]))
    assert (priced.unrealised_usd, priced.equity_usd, priced.open_without_price) == (D(50), D(10_050), ())


def _plan(rng: random.Random, price: Decimal, at: datetime, held: Decimal) -> OrderPlan:
    is_entry = held == 0
    side = rng.choice((Side.BUY, Side.SELL)) if is_entry else (Side.SELL if held > 0 else Side.BUY)
    quantity = D(rng.choice((10, 100, 5000))) if is_entry else abs(held) + rng.choice((0, 0, 1))
    return OrderPlan(
        ticker="ABCD",
        side=side,
        leg=Leg.ENTRY if is_entry else Leg.EXIT,
        quantity=quantity,
        order_type=OrderType.MARKET,
        limit_price=None,
        stop_price=price * (1 - side.sign * D("0.05")) if is_entry else None,
        target_price=price * (1 + side.sign * D("0.05")) if is_entry else None,
        time_in_force=TimeInForce.DAY,
        reference_price=rng.choice((price, price, price, None)),
        reference_price_at=at,
        catalyst="fda",
    )


@pytest.mark.parametrize("slippage", ["0", "25"])
async def test_the_replays_account_does_what_the_paper_engine_does(tmp_path: Path, slippage: str) -> None:
    rng, now = random.Random(7), [NOW]
    paper = PaperEngine(tmp_path, PaperSettings(slippage_bps=D(slippage)), clock=lambda: now[0])
    account = ReplayAccount(D(10_000), D(slippage))
    for number in range(120):
        now[0] += timedelta(minutes=1)
        price, at = D(rng.randint(400, 600)) / 100, now[0] - timedelta(seconds=rng.choice((0, 1, 500)))
        if rng.random() < 0.5:
            await paper.observe("ABCD", price, at)
            account.observe("ABCD", price, at, now[0])
        else:
            held = account.book.positions.get("ABCD")
            plan = _plan(rng, price, at, D(0) if held is None else held.quantity)
            decision = Decision(f"{number:032x}", 1, Verdict.ACCEPTED, None, (), plan, now[0])
            outcome, _ = account.submit(plan, decision)
            assert outcome == replace(await paper.submit(plan, f"cs-{number}-entry"), legs=())
        theirs, mine = await paper.account(), account.book
        assert (mine.cash, mine.equity) == (theirs.cash, theirs.equity)
        assert [(p.ticker, p.quantity, p.average_price, p.last_price) for p in mine.positions.values()] == [
            (p.ticker, p.quantity, p.average_price, p.last_price) for p in await paper.positions()
        ]
        summed = account.book_for("", now[0])
        assert (summed.equity, summed.exposure) == (mine.equity, mine.exposure)
        assert summed.buying_power == mine.buying_power
    await paper.close()
    store = PaperStore.open(tmp_path / STORE_FILE, read_only=True)
    assert len(store.fills()) > 30
    assert store.standing().book.realised_usd == account.book.realised_usd
    store.close()


# The whole --------------------------------------------------------------------------------------------------------


def test_the_same_input_gives_the_same_bytes() -> None:
    assert as_bytes(simulate(made_up(500), CONFIG)) == as_bytes(simulate(made_up(500), CONFIG))


def test_a_config_comes_out_the_same_alone_and_beside_another() -> None:
    wide = config(**_WIDE)
    both = simulate_all(made_up(500), (CONFIG, wide))
    assert [as_bytes(each) for each in both] == [as_bytes(simulate(made_up(500), each)) for each in (CONFIG, wide)]


def test_two_thousand_signals_are_all_accounted_for() -> None:
    replay = simulate(made_up(2000, seed=3), config(**_WIDE))
    summary = summary_from(replay)
    assert summary.signals == 2000 == counted(summary)
    assert summary.taken > 50
    assert summary.stops + summary.targets > 10
    assert sum(line.signals for line in summary.catalysts) == 2000
    assert sum((line.realised_usd for line in summary.catalysts), D(0)) == summary.realised_usd
    assert sum((each.realised_usd for each in replay.closed), D(0)) == replay.book.realised_usd
    assert summary.max_exposure_usd > 0
    assert summary.mean_exposure_usd is not None
    assert summary.mean_exposure_usd <= summary.max_exposure_usd


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32), bps=st.integers(0, 500), shorts=st.booleans(), open_positions=st.integers(1, 8))
def test_the_money_adds_up_whatever_comes(seed: int, bps: int, shorts: bool, open_positions: int) -> None:
    rules = config(
        {"paper": {"slippage_bps": bps}},
        allow_shorts=shorts,
        max_open_positions=open_positions,
        max_exposure_percent=30,
    )
    replay = simulate(made_up(150, seed), rules)
    held = replay.book.positions.values()
    paid = sum((each.quantity * each.average_price for each in held), D(0))
    assert replay.book.cash == replay.start_cash_usd + replay.book.realised_usd - paid
    assert replay.curve.points[-1].equity_usd == replay.book.equity
    assert replay.curve.points[-1].exposure_usd == replay.book.exposure
    assert len(held) <= open_positions
    assert all(each.quantity > 0 for each in held) or shorts
    assert counted(summary_from(replay)) == len(replay.steps) == 150


def test_a_comparison_names_each_signal_that_comes_out_otherwise_and_why() -> None:
    signals = past([a_signal(), later(a_signal("n2", ticker="OTHER", confidence=D("0.75")), 2)])
    replays = simulate_all(signals, (CONFIG, config(min_confidence="0.8")))
    (found,) = differences(*replays)
    body = found.as_dict()
    assert (body["number"], body["ticker"]) == (2, "OTHER")
    assert [each["outcome"] for each in body["results"]] == ["FILLED", "LOW_CONFIDENCE"]
    assert body["results"][1]["why"] == "confidence: 0.75, allowed 0.8"


def test_differences_that_move_money_come_first() -> None:
    dear = later(a_signal("n0", ticker="DEAR", reference_price=D(25), stop_price=D(24), confidence=D("0.75")), -1)
    replays = simulate_all(past([dear, a_signal()]), (CONFIG, config(min_confidence="0.93")))
    found = differences(*replays)
    assert [(each.first.ticker, each.is_traded) for each in found] == [("ABCD", True), ("DEAR", False)]


def test_a_smaller_order_is_a_difference() -> None:
    replays = simulate_all(past([a_signal()]), (CONFIG, config(fixed_usd=100)))
    assert [each.as_dict()["results"][1]["quantity"] for each in differences(*replays)] == ["20"]


def test_replays_of_other_signals_cannot_be_compared() -> None:
    with pytest.raises(ValueError, match="shorter"):
        differences(replayed([a_signal()]), replayed([]))


def test_no_signals_are_an_empty_answer() -> None:
    summary = summary_from(replayed([]))
    assert (summary.signals, summary.first_at, summary.mean_exposure_usd, summary.catalysts) == (0, None, None, ())
    assert summary.as_dict()["equity_usd"] == "10000.00"


# The curve --------------------------------------------------------------------------------------------------------


def test_the_mean_exposure_is_weighted_by_time_and_the_points_are_bounded() -> None:
    recorder, start = CurveRecorder(), datetime(2026, 1, 5, tzinfo=UTC)
    count = 5 * MAX_POINTS
    for second in range(count):
        recorder.add(start + timedelta(seconds=second), D(1000 - second % 2), D(second % 2 * 100))
    curve = recorder.end(start + timedelta(seconds=count))
    assert len(curve.points) <= 2 * MAX_POINTS
    assert (curve.mean_exposure_usd, curve.max_exposure_usd, curve.max_drawdown_percent) == (D(50), D(100), D("0.1"))
    assert curve.points[-1].at == start + timedelta(seconds=count)
