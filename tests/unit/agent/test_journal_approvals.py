"""The friend's word, the log of what let more through, the command to close everything: kept, once, over restarts."""

import sqlite3
from datetime import timedelta

import orjson
import pytest
from agent_samples import NOW, PAPER, a_book, a_signal, an_arrival, some_limits

from signal_contract.errors import Conflict, NotFound, StorageFailed
from subscriber_agent.chain import GENESIS, BreakKind, Head, row_hash
from subscriber_agent.engines.engine import Outcome, OutcomeState
from subscriber_agent.journal import ApprovalState, Journal, OrderIntent
from subscriber_agent.journal.schema import MIGRATIONS
from subscriber_agent.risk.breaker import Breaker
from subscriber_agent.risk.decide import decide
from subscriber_agent.risk.decision import Verdict

SOON = NOW + timedelta(minutes=2)
LATER = NOW + timedelta(minutes=3)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "journal.sqlite"


@pytest.fixture
def journal(path):
    with Journal.open(path) as opened:
        yield opened


def asking(signal=None):
    """A decision that waits for the friend's word."""
    return decide(signal or a_signal(), a_book(), some_limits(approve_above_usd=0), PAPER, NOW)


def asked(journal, signal=None, seq=1):
    signal = signal or a_signal()
    journal.record([an_arrival(seq, signal)])
    decision = asking(signal)
    assert (decision.verdict, decision.code) != (Verdict.ACCEPTED, None)
    journal.write_decision(decision, "cfg", None)
    journal.ask_approval(signal.signal_id, 1, decision.plan, SOON, NOW)
    return decision


# The friend's word ------------------------------------------------------------------------------------------------


def test_what_asks_waits_with_its_plan_and_asking_again_changes_nothing(journal):
    decision = asked(journal)
    journal.ask_approval(decision.signal_id, 1, decision.plan, LATER, SOON)
    (row,) = journal.approvals()
    assert (row.signal_id, row.revision, row.plan) == (decision.signal_id, 1, decision.plan)
    assert (row.state, row.asked_at, row.expires_at, row.answered_at) == (ApprovalState.WAITING, NOW, SOON, None)
    assert (journal.approved(), journal.due_approvals()) == (frozenset(), [])


def test_a_yes_makes_the_signal_due_until_it_was_decided_again(journal):
    decision = asked(journal)
    key = (decision.signal_id, 1)
    row = journal.answer_approval(*key, True, NOW, config_hash="cfg")
    assert (row.state, row.answered_at) == (ApprovalState.APPROVED, NOW)
    assert journal.approved() == {key}
    assert [each.signal.signal_id for each in journal.due_approvals()] == [decision.signal_id]
    journal.approval_done(*key, NOW)
    assert journal.due_approvals() == []
    # Still a yes: a restart that finds the order unsent decides once more.
    assert journal.approved() == {key}
    assert journal.approvals("done")[0].answered_at == NOW


def test_a_no_is_final_and_lets_nothing_through(journal):
    decision = asked(journal)
    assert journal.answer_approval(decision.signal_id, 1, False, NOW).state is ApprovalState.REJECTED
    with pytest.raises(Conflict, match="rejected already"):
        journal.answer_approval(decision.signal_id, 1, True, NOW)
    assert (journal.approved(), journal.due_approvals(), journal.loosenings(10)) == (frozenset(), [], [])


@pytest.mark.parametrize("approved", [True, False])
def test_a_second_answer_is_refused_with_what_was_said(journal, approved):
    decision = asked(journal)
    journal.answer_approval(decision.signal_id, 1, approved, NOW)
    with pytest.raises(Conflict, match="already at 2026-01-02T14:30:00"):
        journal.answer_approval(decision.signal_id, 1, approved, NOW)


def test_an_answer_at_the_moment_of_expiry_comes_too_late(journal):
    decision = asked(journal)
    with pytest.raises(Conflict, match="expired at"):
        journal.answer_approval(decision.signal_id, 1, True, SOON)
    assert journal.approved() == frozenset()
    assert [each.state for each in journal.expire_approvals(SOON)] == [ApprovalState.EXPIRED]
    assert journal.expire_approvals(LATER) == []
    with pytest.raises(Conflict, match="expired at"):
        journal.answer_approval(decision.signal_id, 1, True, NOW)


def test_what_was_approved_in_time_does_not_expire(journal):
    decision = asked(journal)
    journal.answer_approval(decision.signal_id, 1, True, NOW)
    assert journal.expire_approvals(LATER) == []
    assert journal.approvals("approved")[0].signal_id == decision.signal_id


def test_nothing_that_was_not_asked_can_be_answered(journal):
    asked(journal)
    for key in ((a_signal().signal_id, 2), ("0" * 32, 1)):
        with pytest.raises(NotFound, match="nothing waits"):
            journal.answer_approval(*key, True, NOW)


def test_a_guest_answers_beside_the_owner(journal, path):
    decision = asked(journal)
    with Journal.open(path, is_owner=False) as guest:
        guest.answer_approval(decision.signal_id, 1, True, NOW, config_hash="cfg")
    assert journal.approved() == {(decision.signal_id, 1)}
    (row,) = journal.loosenings(10)
    assert (row.type, row.config_hash, row.body["plan"]["ticker"]) == ("approved", "cfg", "ABCD")


def test_an_order_that_waits_keeps_its_signal_from_being_pruned(journal):
    decision = asked(journal)
    old = {"before": NOW + timedelta(days=90), "stream_first_sequence": 100}
    assert (journal.prune(**old).signals, journal.stored(decision.signal_id, 1) is None) == (0, False)
    journal.answer_approval(decision.signal_id, 1, True, NOW)
    assert journal.prune(**old).decisions == 0
    journal.approval_done(decision.signal_id, 1, NOW)
    pruned = journal.prune(**old)
    assert (pruned.signals, pruned.decisions) == (1, 1)


# Decided again ----------------------------------------------------------------------------------------------------


def again(journal, decision):
    second = decide(a_signal(), a_book(), some_limits(), PAPER, SOON)
    intent = OrderIntent("cs-1-entry", decision.signal_id, 1, second.plan, SOON)
    return second, journal.write_decision(second, "cfg", intent, attempt=2)


def test_the_second_decision_is_a_row_of_its_own_and_the_one_that_is_shown(journal):
    first = asked(journal)
    second, is_written = again(journal, first)
    assert is_written
    assert again(journal, first) == (second, False)
    shown = journal.decision(first.signal_id, 1)
    assert shown == {**second.as_dict(), "attempt": 2, "config_hash": "cfg"}
    (row,) = journal.signals()
    assert (row.verdict, row.code) == ("ACCEPTED", None)
    assert [(each.verdict, each.count) for each in journal.counts()] == [("ACCEPTED", 1)]
    assert [each.columns["attempt"] for each in journal.chain_rows()] == [None, 2]
    assert journal.first_break() is None
    assert len(journal.orders_of(first.signal_id)) == 1


def test_an_attempt_changed_by_hand_is_found(journal, path):
    again(journal, asked(journal))
    with sqlite3.connect(path) as other:
        other.execute("UPDATE decisions SET attempt = 3 WHERE number = 2")
    other.close()
    assert (journal.first_break().number, journal.first_break().kind) == (2, BreakKind.CHANGED)


def test_a_signal_stays_as_long_as_one_of_its_decisions(journal):
    decision = asked(journal)
    journal.answer_approval(decision.signal_id, 1, True, NOW)
    again(journal, decision)
    journal.approval_done(decision.signal_id, 1, SOON)
    journal.write_outcome("cs-1-entry", Outcome(OutcomeState.FILLED), SOON)
    # The first decision is old enough, the second is not.
    pruned = journal.prune(before=NOW + timedelta(minutes=1), stream_first_sequence=100)
    assert (pruned.signals, pruned.decisions) == (0, 1)
    assert journal.first_break() is None


# What let more through --------------------------------------------------------------------------------------------


def a_change(before, after):
    return {"type": "config_changed", "before_hash": before, "after_hash": after, "changes": []}


def test_config_changes_come_newest_first_and_the_last_hash_is_the_one_in_force(journal):
    assert journal.last_config_hash() is None
    asked(journal)
    assert journal.last_config_hash() == "cfg"
    journal.write_config_change(a_change("cfg", "two"), NOW)
    journal.write_loosening("risk_reset", {"kind": "WEEKLY"}, "two", NOW)
    journal.write_config_change(a_change("two", "three"), SOON)
    assert [each.body["after_hash"] for each in journal.config_changes(10)] == ["three", "two"]
    assert [each.type for each in journal.loosenings(2)] == ["config_changed", "risk_reset"]
    assert journal.last_config_hash() == "three"


def test_the_log_of_loosenings_is_a_chain_that_shows_what_was_changed(journal, path):
    for number in range(3):
        journal.write_loosening("resumed", {"number": number}, "cfg", NOW)
    assert (journal.loosened_break(), journal.loosened_head().number) == (None, 3)
    for statement, number in (
        ("UPDATE loosened SET type = 'reduced' WHERE number = 3", 3),
        ("UPDATE loosened SET config_hash = 'other' WHERE number = 2", 2),
        ("DELETE FROM loosened WHERE number = 1", 1),
    ):
        with sqlite3.connect(path) as other:
            other.execute(statement)
        other.close()
        assert journal.loosened_break().number == number
    journal.write_loosening("resumed", {}, "cfg", NOW)
    assert journal.loosened_break().number == 1


def test_a_damaged_note_of_where_the_loosenings_end_is_said(journal):
    journal.set_meta("loosened_head", "x y")
    with pytest.raises(StorageFailed, match="loosenings ends"):
        journal.loosened_break()


# Close everything, and the engine's failures ----------------------------------------------------------------------


def test_a_command_to_close_everything_stands_until_it_was_carried_out(journal, path):
    assert (journal.flatten_request(), journal.last_flatten()) == (None, None)
    with Journal.open(path, is_owner=False) as guest:
        first = guest.request_flatten("holiday", NOW)
        assert guest.request_flatten("again", SOON) == first
    assert journal.flatten_request() == first
    journal.flatten_done(SOON)
    assert journal.flatten_request() is None
    assert journal.last_flatten() == (first, SOON)
    assert journal.request_flatten("", LATER).number == first.number + 1


@pytest.mark.parametrize("breaker", [Breaker(), Breaker(2, NOW), Breaker(3, NOW, SOON)])
def test_the_circuit_breaker_stays_over_a_restart(path, breaker):
    with Journal.open(path) as journal:
        assert journal.breaker() == Breaker()
        journal.set_breaker(breaker)
    with Journal.open(path) as journal:
        assert journal.breaker() == breaker


def test_a_damaged_note_of_the_engines_failures_is_said(journal):
    journal.set_meta("breaker:paper", "[]")
    with pytest.raises(StorageFailed, match="engine's failures"):
        journal.breaker()


# Files of the versions before -------------------------------------------------------------------------------------


def a_version_3_journal(path):
    """A journal as the version before wrote it: a decided signal with a fill, and the local latch."""
    signal = a_signal()
    decision = decide(signal, a_book(), some_limits(), PAPER, NOW)
    body, at = orjson.dumps(decision.as_dict()), NOW.isoformat(timespec="microseconds")
    digest = row_hash(GENESIS, 1, 4, "cfg", body)
    with sqlite3.connect(path) as old:
        for script in MIGRATIONS[:3]:
            old.executescript(script)
        old.execute("DROP TABLE decisions_1")
        row = (1, 4, signal.signal_id, 1, decision.verdict.value, None, body, "cfg", at, GENESIS, digest)
        old.execute("INSERT INTO decisions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
        old.execute("INSERT INTO meta VALUES ('decision_head', ?)", (Head(1, digest).text,))
        fill = ("cs-1-entry", "ABCD", "buy", "entry", "100", "5", at, "4.75", "6", "fda")
        old.execute("INSERT INTO fills VALUES (1, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", fill)
        old.execute("INSERT INTO latches VALUES ('local', 'HALTED', 'pause', ?)", (at,))
        old.execute("PRAGMA user_version = 3")
    old.close()
    return decision


def test_a_journal_of_the_version_before_keeps_its_decisions_and_their_chain(path):
    decision = a_version_3_journal(path)
    with Journal.open(path) as journal:
        assert journal.decision(decision.signal_id, 1) == {**decision.as_dict(), "config_hash": "cfg"}
        assert (journal.first_break(), journal.chain_head().number) == (None, 1)
        assert (journal.fills()[0].stop_price, journal.fills()[0].sector) == (decision.plan.stop_price, None)
        assert journal.ledger_rows() == []
        assert journal.write_decision(decision, "cfg", None) is False
        assert journal.write_decision(decision, "cfg", None, attempt=2) is True
        assert journal.first_break() is None


def test_beside_an_older_journal_a_halt_works_and_what_it_cannot_keep_is_refused(path):
    decision = a_version_3_journal(path)
    with Journal.open(path, is_owner=False) as guest:
        guest.set_latch("local", "HALTED", "again", NOW)
        for refused in (
            lambda: guest.request_flatten("", NOW),
            lambda: guest.write_loosening("resumed", {}, "cfg", NOW),
            lambda: guest.answer_approval(decision.signal_id, 1, True, NOW),
        ):
            with pytest.raises(NotFound, match="earlier version"):
                refused()
        assert guest.latch("local").reason == "again"
