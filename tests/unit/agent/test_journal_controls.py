"""The operator's words in the journal: one order with the signals, each once, the stricter latch counts."""

import pytest
from agent_samples import NOW, a_control, a_signal, an_arrival

from signal_contract.control import Verb
from signal_contract.errors import NotFound
from subscriber_agent.journal import Arrival, Journal, Recorded
from subscriber_agent.receiving.control_state import OPERATOR_LATCH, OPERATOR_USER_LATCH
from subscriber_agent.risk.market import TradingState

HALT, REDUCE, RESUME, NOTICE = Verb.HALT, Verb.REDUCE, Verb.RESUME, Verb.NOTICE


@pytest.fixture
def path(tmp_path):
    return tmp_path / "journal.sqlite"


@pytest.fixture
def journal(path):
    with Journal.open(path) as opened:
        yield opened


def latch(journal, name=OPERATOR_LATCH):
    found = journal.latch(name)
    return None if found is None else found.value


def test_a_halt_sets_the_operators_latch_in_the_commit_of_its_batch(journal):
    before = journal.commits
    batch = [an_arrival(1, a_signal("a")), a_control(2, HALT), an_arrival(3, a_signal("b"))]
    assert journal.record(batch) == Recorded(3, 0, 0)
    assert journal.commits == before + 1
    assert (latch(journal), journal.latch(OPERATOR_LATCH).reason) == ("HALTED", "because")
    assert journal.latch(OPERATOR_USER_LATCH) is None


def test_an_entry_between_halt_and_resume_of_one_batch_is_known_for_one(journal):
    journal.record([a_control(10, HALT), an_arrival(11, a_signal()), a_control(12, RESUME)])
    assert latch(journal) == "ACTIVE"
    assert journal.operator_state_at(11) is TradingState.HALTED
    assert journal.operator_state_at(13) is TradingState.ACTIVE


def test_the_two_scopes_have_latches_of_their_own_and_the_stricter_counts(journal):
    journal.record([a_control(1, HALT), a_control(2, REDUCE, user="alice"), a_control(3, RESUME)])
    assert (latch(journal), latch(journal, OPERATOR_USER_LATCH)) == ("ACTIVE", "REDUCING")
    states = [journal.operator_state_at(seq).value for seq in (1, 2, 3, 4)]
    assert states == ["ACTIVE", "HALTED", "HALTED", "REDUCING"]


def test_a_redelivered_control_is_a_duplicate_and_a_copy_elsewhere_a_replay(journal):
    halt = a_control(1, HALT)
    journal.record([halt, a_control(2, RESUME)])
    assert journal.record([halt]) == Recorded(0, 1, 0)
    copy = a_control(9, HALT, control_id=1, minute=1)
    recorded = journal.record([copy])
    assert recorded == Recorded(0, 0, 1)
    assert recorded.set_aside[0].code == "SIGNATURE_INVALID"
    assert latch(journal) == "ACTIVE"


def test_history_that_comes_late_moves_no_latch(journal):
    journal.record([a_control(30, RESUME)])
    journal.record([a_control(10, HALT)])
    assert latch(journal) == "ACTIVE"
    assert journal.operator_state_at(20) is TradingState.HALTED


def test_a_control_of_a_stream_made_anew_moves_the_latch(journal):
    journal.record([a_control(900, HALT, minute=1)])
    journal.record([a_control(5, RESUME, minute=2)])
    assert latch(journal) == "ACTIVE"


def test_a_notice_is_kept_and_moves_no_latch(journal):
    journal.record([a_control(1, NOTICE, reason="maintenance at noon")])
    assert journal.latch(OPERATOR_LATCH) is None
    (row,) = journal.controls(10)
    assert (row.verb, row.scope, row.reason, row.stream_seq) == (NOTICE, "all", "maintenance at noon", 1)


def test_controls_are_listed_newest_first_and_survive_a_restart(path):
    with Journal.open(path) as journal:
        journal.record([a_control(1, HALT), a_control(2, RESUME, user="alice")])
    with Journal.open(path) as journal:
        assert [(row.verb, row.scope) for row in journal.controls(10)] == [(RESUME, "user"), (HALT, "all")]
        assert [row.verb for row in journal.controls(1)] == [RESUME]
        assert (latch(journal), latch(journal, OPERATOR_USER_LATCH)) == ("HALTED", "ACTIVE")


def test_what_was_received_last_may_be_a_control(journal):
    journal.set_link("LIVE", "", NOW)
    journal.record([a_control(4, NOTICE)])
    assert (journal.link_state().last_seq, journal.link_state().last_received_at) == (4, NOW)


# Parked messages, tried again -------------------------------------------------------------------------------------


def parked(seq, code="SIGNATURE_INVALID"):
    return Arrival(seq, "signals.fda.ABCD", b"%d" % seq, NOW, None, code, "why", "sig")


def test_parked_messages_have_numbers_and_pages(journal):
    journal.record([parked(seq) for seq in (5, 6, 7)])
    assert [(each.number, each.stream_seq) for each in journal.parked()] == [(3, 7), (2, 6), (1, 5)]
    assert [each.stream_seq for each in journal.parked(1, offset=1)] == [6]
    assert (journal.parked_one(2).payload, journal.parked_one(9)) == (b"6", None)
    assert journal.parked_count() == 3


def test_a_parked_message_that_passes_now_is_undecided(journal):
    journal.record([parked(5)])
    assert journal.unpark(1, an_arrival(5, a_signal())) is None
    assert (journal.parked_count(), journal.undecided()[0].stream_seq) == (0, 5)
    assert journal.record([parked(5)]) == Recorded(0, 1, 0)


def test_a_parked_control_that_passes_now_takes_its_place(journal):
    journal.record([parked(5, "CONTROL_UNKNOWN")])
    assert journal.unpark(1, a_control(5, HALT)) is None
    assert latch(journal) == "HALTED"


def test_a_parked_message_that_is_still_bad_stays_with_todays_reason(journal):
    journal.record([parked(5)])
    assert journal.unpark(1, parked(5, "SCHEMA_INVALID")).code == "SCHEMA_INVALID"
    assert journal.parked_one(1).code == "SCHEMA_INVALID"


def test_a_parked_copy_of_a_known_signal_stays_parked(journal):
    journal.record([an_arrival(1, a_signal()), parked(5)])
    assert "replayed" in journal.unpark(1, an_arrival(5, a_signal())).detail
    assert (journal.parked_count(), journal.undecided_count()) == (1, 1)


def test_a_number_that_is_not_parked_is_not_found_and_changes_nothing(journal):
    with pytest.raises(NotFound):
        journal.unpark(7, an_arrival(5, a_signal()))
    assert journal.undecided_count() == 0
