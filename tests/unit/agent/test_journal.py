"""The journal keeps what it said it kept: over restarts, twice delivered, beside other processes."""

import sqlite3
import stat
import sys
import threading
import time
from datetime import timedelta

import pytest
from agent_samples import NOW, PAPER, D, a_book, a_close, a_position, a_revision, a_signal, an_arrival, some_limits

from signal_contract.codec import encode
from signal_contract.errors import NotFound, StorageFailed
from signal_contract.model import Action, Event
from subscriber_agent.engines.engine import Outcome, OutcomeState, order_id_from
from subscriber_agent.journal import Arrival, Journal, Latch, LinkRow, OrderIntent, Recorded
from subscriber_agent.risk.decide import decide


@pytest.fixture
def path(tmp_path):
    return tmp_path / "alice" / "journal.sqlite"


@pytest.fixture
def journal(path):
    with Journal.open(path) as opened:
        yield opened


def parked(seq, payload=b"?", code="SIGNATURE_INVALID"):
    return Arrival(seq, "signals.fda.ABCD", payload, NOW, None, code, "why")


def decided(signal, book=None):
    decision = decide(signal, book or a_book(), some_limits(), PAPER, NOW)
    if decision.plan is None:
        return decision, None
    order_id = order_id_from(signal.signal_id, "alice", decision.plan.leg, signal.revision)
    return decision, OrderIntent(order_id, signal.signal_id, signal.revision, decision.plan, NOW)


def test_a_redelivered_message_is_a_duplicate(journal):
    arrival = an_arrival(1, a_signal())
    assert journal.record([arrival, arrival]) == Recorded(1, 1, 0)
    assert journal.record([arrival]) == Recorded(0, 1, 0)
    assert len(journal.undecided()) == 1


def test_the_same_signal_at_another_sequence_is_a_replay_and_changes_nothing(journal):
    recorded = journal.record([an_arrival(1, a_signal()), an_arrival(2, a_signal())])
    assert recorded == Recorded(1, 0, 1)
    (aside,) = recorded.set_aside
    assert (aside.stream_seq, aside.code) == (2, "SIGNATURE_INVALID")
    assert "replayed" in aside.detail
    assert (journal.undecided_count(), journal.undecided()[0].stream_seq) == (1, 1)
    assert journal.record([an_arrival(2, a_signal())]) == Recorded(0, 1, 0)


def test_a_second_payload_for_a_revision_is_parked_and_the_first_stands(journal):
    first = a_signal()
    other = a_signal(confidence=D("0.99"))
    assert journal.record([an_arrival(1, first), an_arrival(2, other)]) == Recorded(1, 0, 1)
    assert journal.undecided()[0].signal == first
    assert journal.parked()[0].code == "REVISION_CONFLICT"


def test_only_a_transaction_that_changed_something_counts_as_a_commit(journal):
    before = journal.commits
    with journal.transaction():
        assert journal.undecided() == []
    journal.approval_done("0" * 32, 1, NOW)
    assert journal.commits == before
    with journal.transaction():
        journal.set_meta("one", "1")
        journal.set_meta("two", "2")
    assert journal.commits == before + 1


def test_a_stream_made_anew_is_not_taken_for_redeliveries(journal):
    journal.record([an_arrival(1, a_signal("old"))])
    assert journal.record([an_arrival(1, a_signal("new"))]) == Recorded(1, 0, 0)


def test_parked_messages_keep_their_bytes_and_take_no_signals_place(journal):
    assert journal.record([parked(1, encode(a_signal())), an_arrival(2, a_signal())]) == Recorded(1, 0, 1)
    assert journal.parked()[0].payload == encode(a_signal())
    assert journal.undecided()[0].stream_seq == 2
    assert journal.last_sequence() == 2


def test_an_arrival_is_either_a_signal_or_parked():
    with pytest.raises(ValueError, match="either"):
        Arrival(1, "s", b"", NOW, a_signal(), "CODE", "")


def test_a_message_without_content_is_remembered_as_seen(journal):
    control = Arrival(7, "control.all.key", b"{}", NOW, None, None, "")
    assert journal.record([control]).new == 1
    assert journal.record([control]).duplicates == 1
    assert journal.undecided() == []


def test_undecided_comes_in_stream_order_and_ends_with_the_decision(journal):
    journal.record([an_arrival(9, a_signal("b")), an_arrival(3, a_signal("a"))])
    assert [each.stream_seq for each in journal.undecided()] == [3, 9]
    journal.write_decision(*_with_hash(decided(a_signal("a"))))
    assert [each.stream_seq for each in journal.undecided()] == [9]
    assert journal.undecided_count() == 1


def _with_hash(pair):
    decision, intent = pair
    return decision, "hash", intent


def test_revisions_and_retractions_are_known(journal):
    signal = a_signal()
    assert (journal.latest_revision(signal.signal_id), journal.is_retracted(signal.signal_id)) == (0, False)
    journal.record([an_arrival(1, a_revision(signal, 3, Event.RETRACT)), an_arrival(2, signal)])
    assert (journal.latest_revision(signal.signal_id), journal.is_retracted(signal.signal_id)) == (3, True)


def test_a_revision_is_decided_once(journal):
    journal.record([an_arrival(1, a_signal())])
    decision, intent = decided(a_signal())
    assert journal.write_decision(decision, "one", intent) is True
    assert journal.write_decision(decision, "two", intent) is False
    assert journal.decision(decision.signal_id, 1) == {**decision.as_dict(), "config_hash": "one"}
    assert journal.decision(decision.signal_id, 2) is None


def _watched(count):
    return [a_signal(f"{number}", action=Action.WATCH) for number in range(count)]


def _written(journal, decisions):
    return journal.write_decisions(decisions, [each.as_dict() for each, _ in decisions], "cfg")


def _log_of(journal):
    assert journal.first_break() is None
    return [*journal.chain_rows()]


def test_decisions_written_together_are_what_one_by_one_would_have_left(journal, tmp_path):
    signals = _watched(5)
    decisions = [(decided(each)[0], number) for number, each in enumerate(signals, 1)]
    arrivals = [an_arrival(number, each) for number, each in enumerate(signals, 1)]
    with Journal.open(tmp_path / "other.sqlite") as other:
        for each in (journal, other):
            each.record(arrivals)
            # One was decided before, by whomever: it stays, and the chain goes on behind it.
            assert each.write_decision(decisions[2][0], "rival", None)
        found = [other.write_decision(each, "cfg", None, stream_seq=seq) for each, seq in decisions]
        assert _written(journal, decisions) == found == [True, True, False, True, True]
        assert _log_of(journal) == _log_of(other)
        assert journal.undecided_count() == other.undecided_count() == 0
        assert _written(journal, decisions) == [False] * 5
        assert _written(journal, []) == []
        assert _log_of(journal) == _log_of(other)


def test_one_of_many_decisions_that_cannot_be_written_takes_all_of_them_back(journal):
    signals = _watched(3)
    journal.record([an_arrival(number, each) for number, each in enumerate(signals, 1)])
    twice = [(decided(each)[0], 1) for each in (*signals, signals[0])]
    with pytest.raises(StorageFailed):
        _written(journal, twice)
    assert (_log_of(journal), journal.undecided_count()) == ([], 3)
    assert _written(journal, twice[:3]) == [True] * 3
    assert len(_log_of(journal)) == 3


def test_many_signals_asked_about_at_once_are_what_each_is(journal):
    once, withdrawn, bought = a_signal("once"), a_signal("withdrawn"), a_signal("bought")
    revised = (a_revision(withdrawn, 3, Event.RETRACT), a_revision(bought, 2))
    for seq, each in enumerate((once, withdrawn, bought, *revised), 1):
        journal.record([an_arrival(seq, each)])
    journal.write_decision(*_with_hash(decided(bought)))
    ids = [each.signal_id for each in (once, withdrawn, bought)]
    assert journal.revision_states([*ids, "0" * 32]) == {each: journal.revision_state(each) for each in ids}
    assert journal.acted(ids) == {each for each in ids if journal.has_acted(each)} == {bought.signal_id}
    # What was removed for its age is still known.
    journal.write_decision(*_with_hash(decided(once)))
    journal.prune(before=NOW + timedelta(days=900), stream_first_sequence=100)
    assert journal.revision_states(ids) == {each: journal.revision_state(each) for each in ids}


def test_an_intent_is_open_until_it_has_an_end(journal):
    decision, intent = decided(a_signal())
    journal.write_decision(decision, "hash", intent)
    assert journal.open_intents()[0].intent == intent
    for state in (OutcomeState.UNKNOWN, OutcomeState.ACCEPTED):
        journal.write_outcome(intent.order_id, Outcome(state), NOW)
        assert journal.open_intents()[0].outcome == Outcome(state)
    journal.write_outcome(intent.order_id, Outcome(OutcomeState.FILLED, D(100), D(5), "done"), NOW)
    assert journal.open_intents() == []
    (row,) = journal.orders_of(decision.signal_id)
    assert (row.outcome, row.settled_at) == (Outcome(OutcomeState.FILLED, D(100), D(5), "done"), NOW)


def test_a_decision_and_its_intent_are_written_together_or_not_at_all(journal):
    first, intent = decided(a_signal())
    journal.write_decision(first, "hash", intent)
    second, other = decided(a_signal("other"))
    clash = OrderIntent(intent.order_id, second.signal_id, 1, other.plan, NOW)
    with pytest.raises(StorageFailed):
        journal.write_decision(second, "hash", clash)
    assert journal.decision(second.signal_id, 1) is None


def test_an_exit_that_came_to_nothing_may_be_tried_again_an_entry_never(journal):
    close, buy = a_close(), a_signal()
    for signal, book in ((close, a_book("1", a_position())), (buy, a_book())):
        decision, intent = decided(signal, book)
        journal.write_decision(decision, "hash", intent)
        assert journal.has_acted(signal.signal_id)
        assert not journal.has_acted(signal.signal_id, excluding=intent.order_id)
        journal.write_outcome(intent.order_id, Outcome(OutcomeState.REJECTED), NOW)
    assert not journal.has_acted(close.signal_id)
    assert journal.has_acted(buy.signal_id)


def test_entry_times_count_entries_since_a_moment(journal):
    for signal, book in ((a_close(), a_book("1", a_position())), (a_signal(), a_book())):
        journal.write_decision(*_with_hash(decided(signal, book)))
    assert journal.entry_times(NOW) == (NOW,)
    assert journal.entry_times(NOW + timedelta(microseconds=1)) == ()


def test_signals_are_listed_newest_first_with_decision_and_order(journal):
    journal.record([an_arrival(1, a_signal()), an_arrival(2, a_signal("two", confidence=D("0.1"), ticker="XYZ"))])
    for stored in journal.undecided():
        journal.write_decision(*_with_hash(decided(stored.signal)))
    journal.record([an_arrival(3, a_signal("three")), parked(4)])
    rows = journal.signals()
    assert [(row.stream_seq, row.verdict, row.code) for row in rows] == [
        (3, None, None),
        (2, "REFUSED", "LOW_CONFIDENCE"),
        (1, "ACCEPTED", None),
    ]
    assert [row.stream_seq for row in journal.signals(verdict="REFUSED")] == [2]
    assert [row.stream_seq for row in journal.signals(ticker="XYZ")] == [2]
    assert [row.stream_seq for row in journal.signals(1)] == [3]
    assert {(each.verdict, each.code, each.count) for each in journal.counts()} == {
        ("ACCEPTED", None, 1),
        ("REFUSED", "LOW_CONFIDENCE", 1),
        ("PARKED", "SIGNATURE_INVALID", 1),
    }


def test_a_signal_is_found_by_the_start_of_its_id(journal):
    signal = a_signal()
    journal.record([an_arrival(1, signal)])
    assert journal.find(signal.signal_id[:6])[0].signal == signal
    assert journal.stored(signal.signal_id, 1).signal == signal
    for prefix in ("", "%", "zz", signal.signal_id.upper()[:8] + "G", "f" * 32):
        assert journal.find(prefix) == []


def test_latches_and_link_state_survive_a_restart(path):
    with Journal.open(path) as journal:
        assert journal.latch("local") is None
        assert journal.link_state() is None
        journal.set_latch("local", "HALTED", "holiday", NOW)
        journal.set_link("LIVE", "all is well", NOW)
        journal.set_meta("position", "5")
    with Journal.open(path) as journal:
        assert journal.latch("local") == Latch("local", "HALTED", "holiday", NOW)
        assert journal.link_state() == LinkRow("LIVE", NOW, "all is well", 0, None)
        journal.record([an_arrival(5, a_signal(), NOW), an_arrival(6, a_signal("b"), NOW + timedelta(seconds=1))])
        journal.record([parked(7)])
        assert journal.link_state() == LinkRow("LIVE", NOW, "all is well", 7, NOW + timedelta(seconds=1))
        assert journal.meta("position") == "5"


def test_naive_times_are_refused(journal):
    with pytest.raises(ValueError, match="naive"):
        journal.set_latch("local", "HALTED", "", NOW.replace(tzinfo=None))


def test_other_processes_read_and_set_latches_beside_the_owner(path, journal):
    journal.record([an_arrival(1, a_signal())])
    with Journal.open(path, read_only=True) as reader, Journal.open(path, is_owner=False) as guest:
        assert len(reader.signals()) == 1
        guest.set_latch("local", "HALTED", "pause", NOW)
        assert journal.latch("local").value == reader.latch("local").value == "HALTED"
        with pytest.raises(StorageFailed):
            reader.set_latch("local", "ACTIVE", "", NOW)


def test_a_guests_end_is_not_the_owners_clean_stop(path, journal):
    Journal.open(path, is_owner=False).close()
    assert journal.meta("is_clean") == "0"


def test_a_cleanly_closed_journal_can_be_read(path):
    with Journal.open(path) as journal:
        journal.record([an_arrival(1, a_signal())])
    with Journal.open(path, read_only=True) as reader:
        assert reader.last_sequence() == 1
        assert reader.meta("is_clean") == "1"


@pytest.mark.parametrize("options", [{"read_only": True}, {"is_owner": False}])
def test_no_journal_yet_is_not_found(tmp_path, options):
    with pytest.raises(NotFound, match="nothing received yet"):
        Journal.open(tmp_path / "journal.sqlite", **options)
    (tmp_path / "journal.sqlite").touch()
    with pytest.raises(NotFound, match="nothing received yet"):
        Journal.open(tmp_path / "journal.sqlite", **options)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no file modes")
def test_nobody_else_can_read_it(path, journal):
    journal.record([an_arrival(1, a_signal())])
    for file in path.parent.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_file_that_is_no_journal_is_refused_and_kept(path):
    path.parent.mkdir()
    path.write_bytes(b"my diary " * 200)
    with pytest.raises(StorageFailed, match="not a journal"):
        Journal.open(path)
    assert path.read_bytes() == b"my diary " * 200


def test_a_file_damaged_in_an_unclean_stop_is_refused_and_kept(path):
    # A journal left open is what kill -9 leaves behind; a checkpoint brings its pages into the file.
    journal = Journal.open(path)
    journal.record([an_arrival(seq, a_signal(f"n{seq}")) for seq in range(50)])
    with sqlite3.connect(path) as other:
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    other.close()
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(size - 3 * 4096)
        file.write(b"\xff" * 2048)
    with pytest.raises(StorageFailed, match="damaged") as caught:
        Journal.open(path)
    assert "left as it is" in caught.value.hint
    assert path.stat().st_size == size
    journal._db._connection.close()


def test_a_newer_journal_is_refused(path):
    Journal.open(path).close()
    with sqlite3.connect(path) as other:
        other.execute("PRAGMA user_version = 99")
    other.close()
    with pytest.raises(StorageFailed, match="newer version"):
        Journal.open(path)


def test_a_full_disk_is_said_and_keeps_what_was_committed(path):
    with Journal.open(path) as journal:
        journal.record([an_arrival(1, a_signal("first"))])
        journal._db.rows("PRAGMA max_page_count = 1")
        with pytest.raises(StorageFailed, match="no space left") as caught:
            journal.record([an_arrival(seq, a_signal(f"n{seq}")) for seq in range(2, 400)])
        assert "Free disk space" in caught.value.hint
        assert journal.last_sequence() == 1
    with Journal.open(path) as journal:
        assert journal.record([an_arrival(2, a_signal("second"))]) == Recorded(1, 0, 0)


def test_two_threads_share_a_journal(journal):
    failures = []

    def write(start):
        try:
            for seq in range(start, start + 50):
                journal.record([an_arrival(seq, a_signal(f"n{seq}"))])
                journal.set_meta("k", str(seq))
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=write, args=(start,)) for start in (1, 1001)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert journal.undecided_count() == 100


def test_a_batch_of_100_takes_far_less_than_20_ms(journal):
    batches = [[an_arrival(100 * b + i, a_signal(f"{b}-{i}")) for i in range(100)] for b in range(5)]
    times = []
    for batch in batches:
        began = time.perf_counter()
        assert journal.record(batch).new == 100
        times.append(time.perf_counter() - began)
    assert min(times) < 0.02
