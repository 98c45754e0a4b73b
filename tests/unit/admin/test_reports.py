"""Reports as values and as text: what a friend writes is his own word, and does nothing to the terminal."""

from datetime import UTC, datetime, timedelta

import pytest

from signal_admin.cli.feedback import age_in_words, shown, status_cell
from signal_admin.reports import Status, WantedReports, kind_from
from signal_contract.errors import InputError
from signal_contract.feedback import AgentStatus, Kind, Privacy

NOW = datetime(2026, 3, 2, 14, 30, tzinfo=UTC)


def status(**changes):
    fields = {
        "version": "0.3.0",
        "mode": "paper",
        "engine": "paper",
        "link_state": "live",
        "trading_state": "active",
        "position": 90,
        "last_sequence": 100,
        "pending": None,
        "undecided": 0,
        "privacy": Privacy.DECISIONS,
    }
    return AgentStatus(**{**fields, **changes})


def test_lag_is_what_waits_or_what_lies_between():
    assert Status(NOW, status()).lag == 10
    assert Status(NOW, status(pending=3)).lag == 3
    assert Status(NOW, status(position=500)).lag == 0


def test_control_characters_of_a_friend_do_not_reach_the_terminal():
    assert shown("a\x1b[31mb\nc") == "a?[31mb?c"
    assert len(shown("x" * 500)) == 60


def test_a_status_in_one_cell_says_how_old_it_is():
    cell = status_cell(Status(NOW - timedelta(hours=3), status()), NOW)
    assert cell == "0.3.0 paper live active, at 90, 10 behind, 3h ago"
    assert status_cell(None, NOW) is None


@pytest.mark.parametrize(("age_s", "words"), [(-5, "0s"), (59, "59s"), (60, "1m"), (7200, "2h"), (9 * 86400, "9d")])
def test_an_age_in_words(age_s, words):
    assert age_in_words(NOW, NOW - timedelta(seconds=age_s)) == words


def test_a_kind_is_one_of_the_list():
    assert kind_from("") is None
    assert kind_from("fill") is Kind.FILL
    with pytest.raises(InputError):
        kind_from("fills")


def test_reports_are_chosen_by_the_subject_that_the_server_checked():
    wanted = WantedReports(user="alice", kind=Kind.FILL)
    assert wanted.takes("feedback.alice.fill")
    assert not wanted.takes("feedback.bob.fill")
    assert not wanted.takes("feedback.alice.exit")
    assert not wanted.takes("feedback.alice.fill.x")
