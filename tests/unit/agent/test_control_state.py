"""The operator's words: the stream's order counts, a stream made anew goes on, the stricter scope wins."""

from datetime import timedelta

from agent_samples import NOW
from hypothesis import given
from hypothesis import strategies as st

from signal_contract.control import Verb
from subscriber_agent.receiving.control_state import Line, Scope, Word, line_from, stricter
from subscriber_agent.risk.market import TradingState

HALT, REDUCE, RESUME, NOTICE = Verb.HALT, Verb.REDUCE, Verb.RESUME, Verb.NOTICE
ACTIVE, REDUCING, HALTED = TradingState.ACTIVE, TradingState.REDUCING, TradingState.HALTED


def word(seq, verb, minute=None):
    return Word(seq, NOW + timedelta(minutes=seq if minute is None else minute), verb)


def test_nothing_said_is_active():
    assert (Line().now, Line().at(99), stricter()) == (ACTIVE, ACTIVE, ACTIVE)


def test_each_word_counts_from_behind_its_place():
    line = line_from([word(10, HALT), word(20, REDUCE), word(30, RESUME)])
    assert [line.at(seq) for seq in (10, 11, 20, 21, 30, 31)] == [ACTIVE, HALTED, HALTED, REDUCING, REDUCING, ACTIVE]
    assert line.now is ACTIVE


def test_a_notice_changes_nothing():
    assert line_from([word(10, HALT), word(20, NOTICE)]) == line_from([word(10, HALT)])


def test_an_older_word_that_comes_late_is_history_and_has_its_place():
    line = line_from([word(30, RESUME), word(10, HALT)])
    assert line.now is ACTIVE
    assert (line.at(20), line.at(31)) == (HALTED, ACTIVE)


def test_a_higher_place_wins_over_a_later_clock():
    assert line_from([word(10, HALT, minute=50), word(20, RESUME, minute=5)]).now is ACTIVE


def test_in_a_stream_made_anew_the_later_word_counts_and_the_old_state_is_where_it_began():
    line = line_from([word(900, HALT, minute=1), word(5, RESUME, minute=2)])
    assert line.now is ACTIVE
    assert (line.at(4), line.at(6)) == (HALTED, ACTIVE)


def test_the_stricter_state_counts():
    assert stricter(ACTIVE, REDUCING) is REDUCING
    assert stricter(HALTED, REDUCING) is HALTED
    assert Scope.ALL.latch != Scope.USER.latch


@given(st.lists(st.tuples(st.integers(1, 50), st.sampled_from([HALT, REDUCE, RESUME])), unique_by=lambda w: w[0]))
def test_whatever_order_words_of_one_stream_arrive_in_the_result_is_the_streams(words):
    shuffled = [word(seq, verb) for seq, verb in words]
    ordered = sorted(shuffled, key=lambda each: each.stream_seq)
    for seq in range(52):
        assert line_from(shuffled).at(seq) is line_from(ordered).at(seq)
    assert line_from(shuffled).now is line_from(ordered).now
