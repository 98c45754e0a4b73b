"""Warnings before the end, and the name of the end."""

from datetime import timedelta
from pathlib import Path

import pytest
from agent_samples import NOW
from hypothesis import given
from hypothesis import strategies as st

from signal_contract.creds import Creds
from signal_contract.errors import CredsExpired, CredsInvalid, CredsRevoked, Denied, LinkError
from signal_contract.nkey import KeyKind, KeyPair
from subscriber_agent.cli.lines import report_line
from subscriber_agent.identity.credentials import WARN_DAYS, days_left, named, replacement_checked, warning_due

KEY = KeyPair.generate(KeyKind.USER)


def some_creds(user="alice", account="A", expires_at=None):
    return Creds(Path("x.creds"), user, "subscriber", KEY.public, account, expires_at, "jwt", KEY)


def test_each_mark_is_told_once_until_the_expiry_changes():
    end, told, last = NOW + timedelta(days=20), [], None
    for hour in range(20 * 24 + 1):
        due = warning_due(end, NOW + timedelta(hours=hour), last)
        if due is not None:
            told.append((due.threshold_days, due.days_left))
            last = due.mark
    assert told == [(14, 14), (7, 7), (3, 3), (1, 1)]
    assert warning_due(end + timedelta(days=30), NOW, last) is None
    assert warning_due(end + timedelta(days=1), end, last).threshold_days == 1


def test_who_starts_late_gets_the_nearest_mark_only():
    due = warning_due(NOW + timedelta(days=2), NOW, None)
    assert (due.threshold_days, due.days_left) == (3, 2)
    assert warning_due(NOW + timedelta(days=2), NOW, due.mark) is None


def test_without_an_end_there_is_nothing_to_warn_of():
    assert warning_due(None, NOW, None) is None
    assert days_left(None, NOW) is None


@given(st.timedeltas(timedelta(days=-30), timedelta(days=60)), st.text(max_size=12) | st.none())
def test_a_warning_is_never_due_twice_and_any_remembered_mark_is_read(ahead, last):
    due = warning_due(NOW + ahead, NOW, last)
    if due is not None:
        assert due.threshold_days in WARN_DAYS
        assert warning_due(NOW + ahead, NOW, due.mark) is None
    assert days_left(NOW + ahead, NOW) >= 0


def test_a_plain_refusal_gets_its_name():
    plain = Denied("no")
    assert named(plain, some_creds(), NOW, revoked_key=None) is plain
    assert named(plain, some_creds(expires_at=NOW + timedelta(1)), NOW, revoked_key="other") is plain
    assert isinstance(named(plain, some_creds(expires_at=NOW), NOW, revoked_key=None), CredsExpired)
    assert isinstance(named(plain, some_creds(), NOW, revoked_key=KEY.public), CredsRevoked)
    revoked = CredsRevoked("no")
    assert named(revoked, some_creds(expires_at=NOW), NOW, revoked_key=None) is revoked
    other = LinkError("away")
    assert named(other, some_creds(expires_at=NOW), NOW, revoked_key=None) is other


@pytest.mark.parametrize("changes", [{"user": "bob"}, {"account": "B"}])
def test_a_file_of_somebody_else_does_not_follow(changes):
    with pytest.raises(CredsInvalid):
        replacement_checked(some_creds(), some_creds(**changes))
    assert replacement_checked(some_creds(), some_creds()) == some_creds()


@pytest.mark.parametrize(
    ("event", "facts", "said"),
    [
        ("creds_expiring", {"expires_at": NOW.isoformat(), "days_left": 0, "threshold_days": 1}, "in less than a day"),
        ("creds_expiring", {"expires_at": NOW.isoformat(), "days_left": 7, "threshold_days": 7}, "in 7 days"),
        ("creds_replaced", {"expires_at": None, "public_key": "U"}, "without end"),
        ("creds_kept", {"code": "CREDS_INVALID", "detail": "mode 0644"}, "mode 0644"),
        ("key_changed", {"seq": 5, "publisher_key": "k"}, "from sequence 6 on"),
        ("occupied", {"user": "alice", "wait_s": 35}, "up to 35 s"),
    ],
)
def test_what_happens_is_said_in_a_line(event, facts, said):
    assert said in report_line(event, facts)
