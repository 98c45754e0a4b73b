"""The journal books every fill itself, keeps stops, the engine's last word and equity, and takes older files over."""

import contextlib
import sqlite3
from dataclasses import replace
from datetime import timedelta

import orjson
import pytest
from agent_samples import NOW, PAPER, D, a_book, a_signal, decided, some_limits

from subscriber_agent.accounting.book import Fill, Leg, Side
from subscriber_agent.engines.engine import Account, Holding, LegOutcome, Outcome, OutcomeState, WorkingOrder
from subscriber_agent.journal import EngineSnapshot, Journal, OrderIntent, ReconcileState
from subscriber_agent.journal.schema import MIGRATIONS, SCHEMA_USER_VERSION
from subscriber_agent.risk.breaker import Breaker
from subscriber_agent.risk.decide import decide
from subscriber_agent.risk.decision import OrderType, TimeInForce, text_of
from subscriber_agent.risk.market import Capabilities
from subscriber_agent.risk.protection import Holder, Protection, ProtectionState

FILLED, PARTLY, CANCELLED = OutcomeState.FILLED, OutcomeState.PARTLY_FILLED, OutcomeState.CANCELLED


@pytest.fixture
def path(tmp_path):
    return tmp_path / "journal.sqlite"


@pytest.fixture
def journal(path):
    with Journal.open(path) as opened:
        yield opened


def an_order(journal, order_id="cs-1-entry", **changes):
    """An entry for 100 shares at 5 that is on disk; `changes` are its plan's."""
    plan = replace(decided().plan, **changes)
    intent = OrderIntent(order_id, "1" * 32, 1, plan, NOW)
    journal.write_order(intent)
    return intent


def legs(stop_filled=0, state=OutcomeState.ACCEPTED):
    return (LegOutcome(Leg.STOP, "leg-stop", state, D(100), D("4.75"), D(stop_filled), D("4.7")),)


def quantities(journal):
    return [(each.leg.value, text_of(each.quantity), text_of(each.price)) for each in journal.fills()]


# Booking --------------------------------------------------------------------------------------------------------------


def test_the_same_word_again_books_nothing(journal):
    order = an_order(journal)
    word = Outcome(FILLED, D(100), D(5))
    assert [each.quantity for each in journal.book(order, word, NOW).fills] == [100]
    assert journal.book(order, word, NOW).fills == ()
    (fill,) = journal.fills()
    assert (fill.stop_price, fill.target_price, fill.catalyst) == (D("4.75"), D(6), "fda")


def test_each_part_is_booked_at_the_price_that_makes_the_average_true(journal):
    order = an_order(journal)
    journal.book(order, Outcome(PARTLY, D(40), D(5)), NOW)
    journal.book(order, Outcome(PARTLY, D(60), D("5.10")), NOW)
    journal.book(order, Outcome(FILLED, D(100), D("5.10")), NOW)
    assert quantities(journal) == [("entry", "40", "5"), ("entry", "20", "5.3"), ("entry", "40", "5.1")]
    assert journal.held("ABCD") == 100


def test_the_fills_behind_a_count_are_the_rest_of_all_also_after_one_was_taken_back(journal):
    order = an_order(journal)
    for total in (10, 20, 30):
        journal.book(order, Outcome(PARTLY, D(total), D(5)), NOW)
    with contextlib.suppress(RuntimeError), journal.transaction():
        journal.book(order, Outcome(PARTLY, D(70), D(5)), NOW)
        raise RuntimeError("the disk is full")
    journal.book(order, Outcome(FILLED, D(100), D(5)), NOW)
    everything = journal.fills()
    assert len(everything) == 4
    assert [journal.fills(count) for count in range(6)] == [everything[count:] for count in range(6)]


def test_what_had_filled_before_a_cancel_is_booked(journal):
    order = an_order(journal)
    journal.book(order, Outcome(CANCELLED, D(30), D(5)), NOW)
    assert journal.held("ABCD") == 30


def test_a_total_that_shrank_books_nothing_and_is_said(journal):
    order = an_order(journal)
    journal.book(order, Outcome(FILLED, D(100), D(5)), NOW)
    booked = journal.book(order, Outcome(PARTLY, D(60), D(5)), NOW)
    assert (booked.fills, booked.is_overfilled) == ((), False)
    assert "60 shares are said to be filled, 100 were before" in booked.faults[0]


def test_more_than_was_asked_for_is_booked_in_full_and_said(journal):
    booked = journal.book(an_order(journal), Outcome(FILLED, D(130), D(5)), NOW)
    assert (booked.is_overfilled, journal.held("ABCD")) == (True, 130)


def test_an_unknown_end_is_no_word(journal):
    assert journal.book(an_order(journal), Outcome(OutcomeState.UNKNOWN, D(50), D(5)), NOW).fills == ()


def test_a_leg_is_booked_against_its_entry_once_under_its_own_id(journal):
    order = an_order(journal)
    journal.book(order, Outcome(FILLED, D(100), D(5), legs=legs()), NOW)
    journal.book(order, Outcome(FILLED, D(100), D(5), legs=legs(40, PARTLY)), NOW)
    booked = journal.book(order, Outcome(FILLED, D(100), D(5), legs=legs(100, FILLED)), NOW)
    assert quantities(journal) == [("entry", "100", "5"), ("stop", "40", "4.7"), ("stop", "60", "4.7")]
    assert (journal.held("ABCD"), booked.is_overfilled, journal.fills()[1].side) == (0, False, Side.SELL)


def test_legs_that_close_more_than_is_held_are_said(journal):
    order = an_order(journal)
    both = (*legs(100, FILLED), LegOutcome(Leg.TARGET, "leg-target", FILLED, D(100), D(6), D(100), D(6)))
    booked = journal.book(order, Outcome(FILLED, D(100), D(5), legs=both), NOW)
    assert (booked.is_overfilled, journal.held("ABCD")) == (True, -100)


def test_a_leg_without_an_id_gets_one_that_follows_from_the_entry(journal):
    order = an_order(journal)
    stop = replace(legs(100, FILLED)[0], order_id="")
    for _ in range(2):
        journal.book(order, Outcome(FILLED, D(100), D(5), legs=(stop,)), NOW)
    assert [each.order_id for each in journal.fills()] == ["cs-1-entry", "cs-1-stop"]


@pytest.mark.parametrize("price", [None, D("NaN"), D(0), D(-5)], ids=str)
def test_a_fill_without_a_price_is_booked_at_the_plans_and_said(journal, price):
    booked = journal.book(an_order(journal), Outcome(FILLED, D(100), price), NOW)
    assert (booked.fills[0].price, "without a price" in booked.faults[0]) == (D(5), True)


def test_a_word_that_is_rolled_back_is_booked_again(journal):
    order, failure = an_order(journal), RuntimeError()
    with contextlib.suppress(RuntimeError), journal.transaction():
        journal.book(order, Outcome(FILLED, D(100), D(5)), NOW)
        raise failure
    assert journal.fills() == []
    assert len(journal.book(order, Outcome(FILLED, D(100), D(5)), NOW).fills) == 1


# Orders ---------------------------------------------------------------------------------------------------------------


def test_an_order_that_is_filled_in_part_is_open_and_its_legs_are_remembered(journal):
    order = an_order(journal)
    word = Outcome(PARTLY, D(40), D(5), "working", legs())
    journal.write_outcome(order.order_id, word, NOW)
    (row,) = journal.open_intents()
    assert (row.outcome, journal.order(order.order_id)) == (word, row)
    journal.write_outcome(order.order_id, Outcome(FILLED, D(100), D(5)), NOW)
    assert journal.open_intents() == []


def test_a_plan_may_shrink_until_it_is_handed_over(journal):
    order = an_order(journal)
    smaller = replace(order.plan, quantity=D(40))
    journal.reduce_order(order.order_id, smaller)
    assert journal.order(order.order_id).intent.plan == smaller
    journal.write_outcome(order.order_id, Outcome(OutcomeState.ACCEPTED), NOW)
    journal.reduce_order(order.order_id, order.plan)
    assert journal.order(order.order_id).intent.plan == smaller


# Stops, the engine's last word, equity, differences -------------------------------------------------------------------


def a_protection(**changes):
    fields = {
        "entry_id": "cs-1-entry",
        "signal_id": "1" * 32,
        "ticker": "ABCD",
        "side": Side.BUY,
        "holder": Holder.NATIVE,
        "state": ProtectionState.WANTED,
        "stop_price": D("4.75"),
        "since": NOW,
    }
    return Protection(**{**fields, **changes})


def test_a_protection_is_kept_as_it_is_and_is_open_until_it_is_closed(journal):
    row = a_protection(target_price=D(6), best_price=D("5.1"), order_id="x", revision=2, detail="why")
    journal.write_protection(row)
    assert journal.protections() == [row] == [journal.protection(row.entry_id)]
    closed = row.became(ProtectionState.CLOSED, NOW + timedelta(seconds=1))
    journal.write_protection(closed)
    assert (journal.protections(), journal.protections(is_open=False)) == ([], [closed])


def test_the_engines_last_word_is_kept_whole(journal):
    assert journal.snapshot() is None
    word = EngineSnapshot(
        NOW,
        "broker",
        False,
        Capabilities(quotes=True, times_in_force=frozenset({TimeInForce.GTC})),
        Account(D("1.5"), None, is_blocked=True),
        (Holding("ABCD", D(-3), None, D(5)),),
        (WorkingOrder("cs-1", "ABCD", Side.SELL, D(3), D(1), OrderType.STOP, None, D(4)),),
    )
    journal.write_snapshot(word)
    assert journal.snapshot() == word


def test_equity_is_kept_when_it_changed_once_a_minute_and_after_each_fill(journal):
    def at(seconds, equity, cash=1000):
        account = Account(D(cash), None)
        return journal.add_equity(
            "paper", account, None if equity is None else D(equity), NOW + timedelta(seconds=seconds)
        )

    assert [at(0, 1000), at(5, 1001), at(61, 1001), at(200, 1001), at(201, None)] == [True, False, True, False, False]
    journal.book(an_order(journal), Outcome(FILLED, D(100), D(5)), NOW)
    assert [at(202, 1002), at(203, 1003)] == [True, False]
    assert [each.equity for each in journal.equity(NOW + timedelta(seconds=60))] == [1001, 1002]


def test_differences_are_open_until_they_are_resolved_or_accepted(journal):
    assert journal.open_reconcile() is None
    journal.note_differences([{"kind": "POSITION_MISSING"}], NOW)
    later = NOW + timedelta(minutes=1)
    row = journal.note_differences([{"kind": "POSITION_UNKNOWN"}], later)
    assert (row.number, row.at, row.differences) == (1, NOW, ({"kind": "POSITION_UNKNOWN"},))
    assert journal.end_reconcile(ReconcileState.ACCEPTED, later).state is ReconcileState.ACCEPTED
    assert (journal.open_reconcile(), journal.end_reconcile(ReconcileState.RESOLVED, later)) == (None, None)
    assert journal.reconciles(5)[0].resolved_at == later


def test_each_engine_has_a_circuit_of_its_own(journal):
    journal.set_breaker(Breaker(3, NOW), "alpaca")
    assert (journal.breaker("alpaca").failures, journal.breaker("paper").failures) == (3, 0)


# A file of the version before -----------------------------------------------------------------------------------------


def a_version_4_journal(path):
    """A journal of a paper account as the version before left it: two orders, one of them open, fills and marks."""
    signal = a_signal()
    plan = decide(signal, a_book(), some_limits(), PAPER, NOW).plan
    at, body = NOW.isoformat(timespec="microseconds"), orjson.dumps(plan.as_dict())
    with sqlite3.connect(path) as old:
        for script in MIGRATIONS[:4]:
            old.executescript(script)
        for order_id, state in (("cs-1-entry", "FILLED"), ("cs-2-entry", None)):
            row = (order_id, signal.signal_id, 1, "entry", "ABCD", body, at, state, "100", "5", "", at)
            old.execute("INSERT INTO intents VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
        old.execute("INSERT INTO paper_orders VALUES ('cs-1-entry', ?, 'FILLED', '100', '5', '', ?)", (body, at))
        fill = ("cs-1-entry", "ABCD", "buy", "entry", "100", "5", at, "4.75", "6", "fda", "tech")
        old.execute("INSERT INTO fills VALUES (7, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", fill)
        old.execute("INSERT INTO marks VALUES ('ABCD', '5.1', ?)", (at,))
        old.execute("INSERT INTO meta VALUES ('breaker', ?)", (orjson.dumps(_failures(at)).decode(),))
        old.execute("PRAGMA user_version = 4")
    old.close()


def _failures(at):
    return {"failures": 2, "failed_at": at, "probing_since": None}


def test_a_version_4_journal_keeps_orders_fills_circuit_and_the_paper_engines_own_tables(path):
    a_version_4_journal(path)
    with Journal.open(path) as journal:
        assert journal._db.version() == SCHEMA_USER_VERSION
        assert [row.intent.order_id for row in journal.open_intents()] == ["cs-2-entry"]
        expected = Fill("cs-1-entry", "ABCD", Side.BUY, Leg.ENTRY, D(100), D(5), NOW, D("4.75"), D(6), "fda", "tech")
        assert journal.fills() == [expected]
        assert journal.breaker().failures == journal.breaker("paper").failures == 2
        assert journal.order("cs-1-entry").outcome == Outcome(FILLED, D(100), D(5))
        assert [len(journal._db.rows(f"SELECT * FROM {each}")) for each in ("paper_orders", "marks")] == [1, 1]
        booked = journal.book(journal.order("cs-1-entry").intent, Outcome(FILLED, D(100), D(5)), NOW)
        assert booked.fills == ()
