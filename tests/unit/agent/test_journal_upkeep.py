"""The journal over months: older files are taken over, what is old goes, and nothing is forgotten that must not be."""

import contextlib
import sqlite3
from datetime import timedelta

import orjson
import pytest
from agent_samples import (
    NOW,
    PAPER,
    a_book,
    a_close,
    a_control,
    a_position,
    a_revision,
    a_signal,
    an_arrival,
    some_limits,
)

from signal_contract.codec import encode
from signal_contract.control import Verb
from signal_contract.errors import NotFound, StorageFailed
from signal_contract.feedback import Feedback, Kind
from signal_contract.model import Event
from subscriber_agent.chain import GENESIS, Head, row_hash
from subscriber_agent.engines.engine import Outcome, OutcomeState
from subscriber_agent.journal import Arrival, Journal, LinkChange, OrderIntent, Progress, Pruned, Recorded
from subscriber_agent.journal.schema import MIGRATIONS, SCHEMA_USER_VERSION
from subscriber_agent.risk.codes import Code
from subscriber_agent.risk.decide import decide

OLD = NOW - timedelta(days=100)
BEFORE = NOW - timedelta(days=90)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "journal.sqlite"


@pytest.fixture
def journal(path):
    with Journal.open(path) as opened:
        yield opened


# A file of the version before -------------------------------------------------------------------------------------


def a_version_2_journal(path):
    """A journal as the version before wrote it: a decided signal with an order, an undecided one, a parked message."""
    decided, undecided = a_signal("old"), a_signal("waiting")
    decision = decide(decided, a_book(), some_limits(), PAPER, NOW)
    body, at = orjson.dumps(decision.as_dict()), NOW.isoformat(timespec="microseconds")
    digest = row_hash(GENESIS, 1, 4, "cfg", body)
    with sqlite3.connect(path) as old:
        for script in MIGRATIONS[:2]:
            old.executescript(script)
        old.execute("DROP TABLE decisions_1")
        for seq, signal, is_decided in ((4, decided, 1), (5, undecided, 0)):
            old.execute(
                "INSERT INTO signals (stream_seq, signal_id, revision, event, action, ticker, catalyst, confidence,"
                " subject, payload, published_at, received_at, is_decided)"
                " VALUES (?, ?, 1, 'new', 'buy', 'ABCD', 'fda', '0.92', ?, ?, ?, ?, ?)",
                (seq, signal.signal_id, signal.subject, encode(signal), at, at, is_decided),
            )
        row = (1, 4, decided.signal_id, 1, decision.verdict.value, None, body, "cfg", at, GENESIS, digest)
        old.execute("INSERT INTO decisions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
        old.execute(
            "INSERT INTO parked VALUES (1, 6, 'signals.fda.ABCD', ?, ?, 'SIGNATURE_INVALID', 'why', 'sig')", (b"?", at)
        )
        old.execute("INSERT INTO meta VALUES ('decision_head', ?)", (Head(1, digest).text,))
        old.execute("INSERT INTO latches VALUES ('local', 'HALTED', 'pause', ?)", (at,))
        old.execute("INSERT INTO link_state VALUES (1, 'connected', ?)", (at,))
        old.execute("PRAGMA user_version = 2")
    old.close()
    return decided, undecided


def test_a_journal_of_the_version_before_keeps_all_that_it_holds(path):
    decided, undecided = a_version_2_journal(path)
    with Journal.open(path) as journal:
        assert journal._db.version() == SCHEMA_USER_VERSION
        assert [each.signal for each in journal.undecided()] == [undecided]
        assert journal.decision(decided.signal_id, 1)["config_hash"] == "cfg"
        assert journal.first_break() is None
        assert (journal.parked_one(1).stream_seq, journal.parked_one(1).signature) == (6, "sig")
        assert journal.latch("local").value == "HALTED"
        assert (journal.link_state().state, journal.link_state().reason) == ("connected", "")
        assert journal.record([a_control(7, Verb.HALT)]).new == 1


def test_only_the_owner_takes_an_older_journal_over_and_a_latch_can_be_set_before(path):
    a_version_2_journal(path)
    with pytest.raises(NotFound, match="earlier version"):
        Journal.open(path, read_only=True)
    with Journal.open(path, is_owner=False) as guest:
        guest.set_latch("local", "ACTIVE", "", NOW)
        assert guest._db.version() == 2


# One commit -------------------------------------------------------------------------------------------------------


def test_what_is_written_inside_a_transaction_is_one_commit(journal):
    signal = a_signal()
    decision = decide(signal, a_book(), some_limits(), PAPER, NOW)
    intent = OrderIntent("cs-1-entry", signal.signal_id, 1, decision.plan, NOW)
    before = journal.commits
    with journal.transaction():
        journal.record([an_arrival(1, signal)])
        journal.write_decision(decision, "cfg", intent)
        journal.add_feedback([a_report(1)])
    assert journal.commits == before + 1
    assert len(journal.open_intents()) == journal.feedback_count() == 1


def test_a_transaction_that_fails_leaves_nothing(journal):
    before = journal.commits
    halfway = RuntimeError()
    with contextlib.suppress(RuntimeError), journal.transaction():
        journal.record([an_arrival(1, a_signal())])
        raise halfway
    assert (journal.undecided_count(), journal.last_sequence(), journal.commits) == (0, 0, before)
    assert journal.record([an_arrival(1, a_signal())]) == Recorded(1, 0, 0)


# A signal that the friend's own program took ----------------------------------------------------------------------


def test_a_signal_handled_elsewhere_is_decided_once_in_the_chain_with_its_note(journal):
    signal = a_signal()
    journal.record([an_arrival(1, signal)])
    assert journal.mark_handled(signal.signal_id, 1, NOW, "mine") is True
    assert journal.mark_handled(signal.signal_id, 1, NOW, "again") is False
    found = journal.decision(signal.signal_id, 1)
    assert (found["verdict"], found["code"], found["note"]) == ("NOTED", Code.HANDLED_ELSEWHERE.value, "mine")
    assert journal.undecided_count() == 0
    assert journal.first_break() is None


# Reports ----------------------------------------------------------------------------------------------------------


def a_report(number, kind=Kind.DECISION):
    return Feedback(feedback_id=f"{number:032x}", kind=kind, at=NOW, label="REFUSED")


def test_reports_wait_in_their_order_until_they_were_sent(path):
    with Journal.open(path) as journal:
        journal.add_feedback([a_report(2), a_report(1)])
        journal.add_feedback([a_report(3, Kind.STATUS), a_report(1)])
    with Journal.open(path) as journal:
        assert journal.feedback_waiting(10) == [a_report(2), a_report(1), a_report(3, Kind.STATUS)]
        assert journal.feedback_waiting(1) == [a_report(2)]
        assert journal.feedback_waiting(10, skipping=["decision"]) == [a_report(3, Kind.STATUS)]
        journal.feedback_sent([a_report(2).feedback_id, a_report(3).feedback_id])
        assert journal.feedback_waiting(10) == [a_report(1)]


def test_beyond_10000_the_oldest_reports_make_room_and_are_counted(journal):
    assert journal.feedback_dropped() == 0
    journal.add_feedback(a_report(number) for number in range(10_003))
    journal.add_feedback([a_report(10_003)])
    assert (journal.feedback_count(), journal.feedback_dropped()) == (10_000, 4)
    assert journal.feedback_waiting(1) == [a_report(4)]


def test_a_report_that_cannot_be_read_is_said(journal):
    journal.add_feedback([a_report(1)])
    journal._db.run("UPDATE feedback SET body = '{}'")
    with pytest.raises(StorageFailed, match="cannot be read"):
        journal.feedback_waiting(1)


# The link ---------------------------------------------------------------------------------------------------------


def test_a_links_changes_are_kept_and_its_state_stands_since_it_changed(journal):
    later = NOW + timedelta(minutes=1)
    journal.set_link("LIVE", "", NOW)
    journal.set_link("LIVE", "", later)
    journal.set_link("QUIET", "no heartbeat", later)
    journal.set_link("QUIET", "the classifier stands still", later + timedelta(minutes=1))
    row = journal.link_state()
    assert (row.state, row.since, row.reason) == ("QUIET", later, "the classifier stands still")
    assert [each.state for each in journal.link_history(10)] == ["QUIET", "QUIET", "LIVE"]
    assert journal.link_history(10)[-1] == LinkChange("LIVE", "", NOW)


def test_a_thousand_changes_of_the_link_are_kept(journal):
    with journal.transaction():
        for number in range(1005):
            journal.set_link("CUT" if number % 2 else "LIVE", str(number), NOW)
    assert [each.reason for each in journal.link_history(2000)] == [str(n) for n in range(1004, 4, -1)]


def test_progress_is_the_last_one_measured(journal):
    assert journal.progress() is None
    journal.set_progress(5, None, NOW)
    journal.set_progress(7, 3, NOW)
    assert journal.progress() == Progress(7, 3, NOW)


# Pruning ----------------------------------------------------------------------------------------------------------


def keep(journal, seq, signal, at=OLD, *, order=None):
    """A signal received and decided at `at`; with an order when its outcome's state is given."""
    journal.record([an_arrival(seq, signal, at)])
    book = a_book("1", a_position()) if signal.expires_at is None else a_book()
    decision = decide(signal, book, some_limits(), PAPER, at)
    intent = None
    if order is not None:
        live = decide(signal, book, some_limits(), PAPER, NOW)
        intent = OrderIntent(f"cs-{seq}-entry", signal.signal_id, signal.revision, live.plan, at)
    journal.write_decision(decision, "cfg", intent)
    if order is not None:
        journal.write_outcome(intent.order_id, Outcome(order), at)


def prune(journal, first_sequence, **options):
    return journal.prune(before=BEFORE, stream_first_sequence=first_sequence, **options)


def test_what_is_old_and_gone_from_the_stream_goes_and_the_chain_still_holds(journal):
    for seq in (1, 2):
        keep(journal, seq, a_signal(f"n{seq}"))
    keep(journal, 3, a_signal("young"), NOW)
    head = journal.chain_head()
    assert prune(journal, 4) == Pruned(2, 2, 0, 2)
    assert [row.stream_seq for row in journal.signals()] == [3]
    assert (journal.first_break(), journal.chain_head(), journal.chain_anchor().number) == (None, head, 2)
    keep(journal, 4, a_signal("next"), NOW)
    assert (journal.first_break(), journal.chain_head().number) == (None, 4)


def test_all_may_go_and_the_next_decision_follows_on_the_last(journal):
    keep(journal, 1, a_signal())
    assert prune(journal, 9).decisions == 1
    assert journal.first_break() is None
    keep(journal, 9, a_signal("next"), NOW)
    assert (journal.first_break(), journal.chain_head().number) == (None, 2)


def test_a_row_taken_from_behind_the_anchor_is_still_missed(journal):
    for seq in (1, 2, 3):
        keep(journal, seq, a_signal(f"n{seq}"), OLD if seq == 1 else NOW)
    prune(journal, 4)
    journal._db.run("DELETE FROM decisions WHERE number = 2")
    assert journal.first_break().number == 2


def test_nothing_goes_that_the_stream_still_has_or_that_is_young(journal):
    keep(journal, 1, a_signal())
    keep(journal, 2, a_signal("young"), NOW)
    assert prune(journal, 1) == Pruned(0, 0, 0, 0)
    assert prune(journal, None) == Pruned(0, 0, 0, 0)
    assert prune(journal, 9) == Pruned(1, 1, 0, 1)


def test_an_undecided_signal_and_one_with_an_open_order_stay(journal):
    keep(journal, 1, a_signal("open"), order=OutcomeState.ACCEPTED)
    journal.record([an_arrival(2, a_signal("undecided"), OLD)])
    assert prune(journal, 9) == Pruned(0, 0, 0, 1)
    assert (len(journal.signals()), len(journal.open_intents())) == (2, 1)


def test_orders_latches_and_the_operators_words_stay_for_ever(journal):
    keep(journal, 1, a_signal(), order=OutcomeState.FILLED)
    halt = a_control(2, Verb.HALT)
    journal.record([Arrival(2, halt.subject, halt.payload, OLD, None, None, "", control=halt.control)])
    prune(journal, 9)
    assert journal.signals() == []
    assert journal.has_acted(a_signal().signal_id)
    assert journal.entry_times(OLD) == (OLD,)
    assert (len(journal.controls(9)), journal.latch("operator").value) == (1, "HALTED")
    assert journal.record([a_control(5, Verb.HALT, control_id=2, minute=2)]).parked == 1


def test_a_copy_of_a_pruned_signal_is_a_replay_because_old_exits_never_expire(journal):
    close = a_close()
    keep(journal, 1, close)
    assert prune(journal, 9).signals == 1
    recorded = journal.record([an_arrival(50, close, NOW)])
    assert (recorded, recorded.set_aside[0].code) == (Recorded(0, 0, 1), "SIGNATURE_INVALID")
    assert journal.undecided_count() == 0


def test_a_pruned_retraction_stays_final(journal):
    signal = a_signal()
    keep(journal, 1, signal)
    keep(journal, 2, a_revision(signal, 3, Event.RETRACT))
    prune(journal, 9)
    assert (journal.latest_revision(signal.signal_id), journal.is_retracted(signal.signal_id)) == (3, True)


def test_parked_messages_go_by_age_alone_and_are_not_new_when_delivered_again(journal):
    old = Arrival(1, "signals.fda.ABCD", b"?", OLD, None, "SIGNATURE_INVALID", "why")
    journal.record([old, Arrival(2, "signals.fda.ABCD", b"?", NOW, None, "SIGNATURE_INVALID", "why")])
    assert prune(journal, None) == Pruned(0, 0, 1, 0)
    assert journal.record([old]) == Recorded(0, 1, 0)


def test_a_dry_run_counts_and_removes_nothing(journal):
    keep(journal, 1, a_signal())
    assert prune(journal, 9, dry_run=True) == Pruned(1, 1, 0, 1)
    assert prune(journal, 9) == Pruned(1, 1, 0, 1)
    assert prune(journal, 9) == Pruned(0, 0, 0, 0)


def test_the_log_is_written_back_after_some_commits_whoever_waits(tmp_path):
    with Journal.open(tmp_path / "journal.sqlite") as journal:
        journal.checkpoint()
        while not journal.is_log_long:
            journal.set_meta("a", str(journal.commits))
            assert journal.commits < 100
        journal.checkpoint()
        assert not journal.is_log_long
