"""The pull loop's rules: ask before it runs dry, recover at once, never storm."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subscriber_agent.receiving import pull
from subscriber_agent.receiving.pull import BATCH, HEARTBEAT_S, AckInfo, Pull, ack_info

WATCHDOG_S = 2.5 * HEARTBEAT_S


def _asked():
    return pull.asked(Pull(), 100.0)


def test_first_pull_is_asked_at_once():
    assert Pull().ask_at <= 0.0


def test_next_pull_is_asked_before_the_current_one_runs_dry():
    state = _asked()
    for _ in range(BATCH // 2 - 1):
        state = pull.delivered(state, 101.0)
        assert state.ask_at > 101.0
    state = pull.delivered(state, 101.0)
    assert state.ask_at == 101.0
    assert state.left > 0


@pytest.mark.parametrize(
    ("status", "text"), [("408", "Request Timeout"), ("404", "No Messages"), ("409", "Batch Completed")]
)
def test_a_pull_that_ended_as_planned_is_renewed_at_once(status, text):
    state = pull.told(_asked(), 1, status, text, 130.0)
    assert (state.ask_at, state.failures, state.trouble) == (130.0, 0, "")


@pytest.mark.parametrize("status", ["409", "503", "400", ""])
def test_trouble_backs_off_up_to_two_seconds(status):
    state, waits = _asked(), []
    for _ in range(12):
        state = pull.told(state, state.token, status, "x", 100.0)
        waits.append(state.ask_at - 100.0)
        state = pull.asked(state, 100.0)
    assert waits == sorted(waits)
    assert waits[0] == pytest.approx(0.1)
    assert waits[-1] == pytest.approx(2.0)


@given(st.integers(-5, 50).filter(lambda token: token != 3), st.sampled_from(["100", "404", "408", "409", "503"]))
def test_a_status_of_a_stale_pull_changes_nothing(token, status):
    state = Pull(token=3, left=10, ask_at=50.0)
    assert pull.told(state, token, status, "", 40.0) == state


def test_a_heartbeat_pushes_the_watchdog_and_silence_trips_it():
    state = pull.told(_asked(), 1, "100", "Idle Heartbeat", 105.0)
    assert state.ask_at == 105.0 + WATCHDOG_S


def test_a_message_clears_the_trouble():
    state = pull.told(_asked(), 1, "503", "no responders", 100.0)
    assert pull.delivered(state, 101.0).failures == 0


def test_after_a_disconnect_nothing_is_asked_until_it_is_let_go_and_then_at_once():
    state = pull.reconnected(pull.held(pull.told(_asked(), 1, "503", "gone", 101.0)), 104.0)
    assert not state.is_due(10_000.0)
    assert (state.failures, state.heard_at) == (0, 104.0)
    assert pull.let_go(state, 105.0).is_due(105.0)


def test_the_durable_is_heard_by_messages_heartbeats_and_planned_ends_but_not_by_trouble():
    state = _asked()
    assert (Pull().heard_at, state.heard_at) == (None, 100.0)
    assert pull.told(state, 1, "503", "no responders", 101.0).heard_at == 100.0
    for status, text in (("100", "Idle Heartbeat"), ("408", "Request Timeout"), ("409", "Batch Completed")):
        assert pull.told(state, 1, status, text, 102.0).heard_at == 102.0
    assert pull.delivered(state, 103.0).heard_at == 103.0
    assert pull.asked(state, 104.0).heard_at == 100.0, "asking is not hearing"


@pytest.mark.parametrize(
    "reply",
    [
        "$JS.ACK.SIGNALS.sub_alice.2.41.7.1700000000000000000.5",
        "$JS.ACK.dom.hash.SIGNALS.sub_alice.2.41.7.1700000000000000000.5",
        "$JS.ACK._.hash.SIGNALS.sub_alice.2.41.7.1700000000000000000.5.rnd",
    ],
)
def test_both_forms_of_ack_subject_are_read(reply):
    assert ack_info(reply) == AckInfo(stream_seq=41, delivered=2, pending=5, consumer_seq=7)


@given(st.text(max_size=80) | st.text("$JSACK.0123456789x", max_size=60).map(lambda tail: "$JS.ACK." + tail))
def test_arbitrary_replies_are_read_or_not_but_never_raise(reply):
    info = ack_info(reply)
    assert info is None or info.stream_seq >= 0


def test_a_pull_is_renewed_before_it_ends_however_much_is_heard():
    state = _asked()
    for at in range(101, 128):
        state = pull.told(state, 1, "100", "", float(at)) if at % 5 == 0 else pull.delivered(state, float(at))
        assert not state.is_due(float(at))
    assert state.is_due(128.0)
    assert state.due_at < 100.0 + pull.EXPIRES_S
    assert not pull.held(state).is_due(128.0)
    assert not pull.asked(state, 128.0).is_due(140.0)


def test_no_more_is_asked_for_than_a_batch_and_a_half():
    """What the server still owes: pulls that pile up are refused, and end all at once later."""
    state, owed, asked = _asked(), BATCH, 1
    for number in range(2000):
        now = 101.0 + number / 1000
        state, owed = pull.delivered(state, now), owed - 1
        if state.is_due(now):
            state, owed, asked = pull.asked(state, now), owed + BATCH, asked + 1
        assert 0 < owed <= BATCH * 1.5
        assert state.left == owed
    assert asked <= 2000 // BATCH + 1


def test_what_a_pull_that_ended_still_owed_counts_no_more():
    state = _asked()
    for _ in range(60):
        state = pull.delivered(state, 101.0)
    assert pull.asked(state, 101.0).left == 40 + BATCH
    for ended in (pull.told(state, 1, "408", "", 102.0), pull.told(state, 1, "409", "?", 102.0)):
        assert pull.asked(ended, 103.0).left == BATCH
    assert pull.asked(pull.reconnected(state, 102.0), 103.0).left == BATCH
    assert pull.asked(state, 128.0).left == BATCH
