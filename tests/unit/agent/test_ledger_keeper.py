"""The ledger and the journal stay in step: written first, counted then, and the same after a restart."""

import contextlib
from dataclasses import replace
from datetime import timedelta

import orjson
import pytest
from agent_samples import NOW, PAPER, TODAY, D, a_book, code_of, some_limits
from hypothesis import given, settings
from hypothesis import strategies as st

from subscriber_agent.accounting.book import Fill, Leg, Side
from subscriber_agent.accounting.calendar import NYSE
from subscriber_agent.accounting.ledger import LatchKind, Ledger
from subscriber_agent.accounting.ledger_keeper import LedgerKeeper
from subscriber_agent.risk.codes import Code


class Rows:
    """A journal as far as the keeper knows one; it can be told to fail at its next commit."""

    def __init__(self):
        self.rows, self.executions, self.is_broken = [], [], False

    @contextlib.contextmanager
    def transaction(self):
        kept = list(self.rows)
        yield
        if self.is_broken:
            self.rows = kept
            raise OSError("disk full")

    def fills(self, after=0):
        return self.executions[after:]

    def ledger_rows(self, after=0):
        return [(n, orjson.loads(row)) for n, row in enumerate(self.rows, 1) if n > after]

    def add_ledger_row(self, body, at):
        assert at.utcoffset() is not None
        self.rows.append(orjson.dumps(body))


def a_fill(side=Side.BUY, price="5", ticker="X", at=NOW):
    return Fill(f"o-{ticker}-{side}", ticker, side, Leg.ENTRY, D(1), D(price), at)


def test_a_broken_limit_is_on_disk_before_it_is_told_and_holds_after_a_restart():
    store, rules = Rows(), some_limits()
    keeper = LedgerKeeper(store, NYSE)
    assert keeper.sync(D(10_000), rules, NOW) == ()
    (breach,) = keeper.sync(D(9_790), rules, NOW)
    assert breach.loss.kind is LatchKind.DAILY
    restarted = LedgerKeeper(store, NYSE)
    assert restarted.ledger == keeper.ledger
    market = replace(PAPER, ledger=restarted.ledger)
    assert code_of(book=a_book("20000"), market=market) is Code.DAILY_LOSS
    assert restarted.sync(D(9_790), rules, NOW) == ()


def test_each_fill_is_counted_once_over_restarts():
    store, rules = Rows(), some_limits()
    for ticker in ("A", "B", "C"):
        store.executions += [a_fill(ticker=ticker), a_fill(Side.SELL, "4", ticker)]
        LedgerKeeper(store, NYSE).sync(D(10_000), rules, NOW)
    keeper = LedgerKeeper(store, NYSE)
    keeper.sync(D(10_000), rules, NOW)
    assert keeper.ledger.streak == 3
    assert code_of(market=replace(PAPER, ledger=keeper.ledger)) is Code.LOSS_STREAK


def test_a_reset_by_a_command_reaches_the_running_agent():
    store, rules = Rows(), some_limits()
    running = LedgerKeeper(store, NYSE)
    running.sync(D(10_000), rules, NOW)
    running.sync(D(8_900), rules, NOW)
    assert running.ledger.holds(LatchKind.DRAWDOWN, TODAY)
    LedgerKeeper(store, NYSE).reset(LatchKind.DRAWDOWN, D(8_900), NOW)
    running.sync(D(8_900), rules, NOW)
    assert not running.ledger.holds(LatchKind.DRAWDOWN, TODAY)
    assert running.ledger.high_water_usd == 8_900
    with pytest.raises(ValueError, match="ends with its session"):
        running.reset(LatchKind.DAILY, D(1), NOW)


def test_nothing_is_counted_that_did_not_reach_the_disk():
    store = Rows()
    keeper = LedgerKeeper(store, NYSE)
    store.is_broken = True
    with pytest.raises(OSError, match="disk full"):
        keeper.sync(D(10_000), some_limits(), NOW)
    assert keeper.ledger == Ledger()
    store.is_broken = False
    keeper.sync(D(10_000), some_limits(), NOW)
    assert keeper.ledger.day == TODAY


def test_what_a_later_fault_rolled_back_is_forgotten():
    store = Rows()
    keeper = LedgerKeeper(store, NYSE)
    keeper.sync(D(10_000), some_limits(), NOW)
    for kept in (1, 0):
        keeper.sync(D(9_000), some_limits(), NOW)
        assert keeper.ledger.latches
        # The transaction around it is rolled back: an exception in the decision, a power cut.
        store.rows = store.rows[:kept]
        assert keeper.refresh() == LedgerKeeper(store, NYSE).ledger
        assert not keeper.ledger.latches


def test_a_preview_writes_nothing():
    store = Rows()
    store.executions = [a_fill(), a_fill(Side.SELL, "4")]
    keeper = LedgerKeeper(store, NYSE)
    shown = keeper.preview(D(10_000), NOW)
    assert (shown.streak, shown.day, store.rows) == (1, TODAY, [])
    keeper.sync(D(10_000), some_limits(), NOW)
    assert keeper.ledger == shown


def test_an_unreadable_row_stops_the_keeper():
    store = Rows()
    store.rows = [orjson.dumps({"type": "guess", "at": NOW.isoformat()})]
    with pytest.raises(ValueError, match="not an event"):
        LedgerKeeper(store, NYSE)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["fill", "mark", "restart"]), st.integers(1, 40)), max_size=20))
def test_restarts_at_any_moment_change_nothing(steps):
    def run(is_restarting):
        store, at = Rows(), NOW
        keeper = LedgerKeeper(store, NYSE)
        for index, (step, number) in enumerate(steps):
            at += timedelta(hours=number)
            if step == "fill":
                side = Side.BUY if index % 2 else Side.SELL
                store.executions.append(Fill("o", "X", side, Leg.ENTRY, D(number), D(number), at))
            if step == "restart" and is_restarting:
                keeper = LedgerKeeper(store, NYSE)
            keeper.sync(D(10_000 - number * 30), some_limits(), at)
        return keeper.ledger, store.rows

    assert run(is_restarting=True) == run(is_restarting=False)
