"""`catalyst top`: what the picture says."""

import io
from datetime import UTC, datetime, timedelta

from rich.console import Console

from signal_admin.cli.top import cells, heading, view
from signal_admin.presence.rows import Presence, Seen, Snapshot, Wire
from signal_admin.registry import User
from signal_admin.reports import Status
from signal_admin.users import UserState
from signal_contract.feedback import AgentStatus, Privacy

AT = datetime(2026, 1, 2, 14, 30, tzinfo=UTC)
SEEN = Seen("catalyst", "10.0.0.7", AT, 0.0123, "python3 2.16.0", "x")


def drawn(snapshot):
    out = io.StringIO()
    Console(width=200, file=out).print(view(snapshot))
    return out.getvalue()


def a_row(name="alice", *, version="0.3.0", end=timedelta(days=40)):
    said = AgentStatus(
        version=version,
        mode="paper",
        engine="paper",
        link_state="live",
        trading_state="active",
        position=7,
        last_sequence=9,
        pending=2,
        undecided=0,
        privacy=Privacy.DECISIONS,
        engine_state="OK",
    )
    user = User(name, "UA", ("signals.fda.*",), created_at=AT, expires_at=AT + end)
    state = UserState(user, 2, 1, True, Status(AT, said), AT - timedelta(seconds=40))
    return Presence(state, AT, (SEEN,))


def test_a_line_says_all_that_is_known_of_a_friend():
    assert cells(a_row()) == (
        *("alice", "online", 3, "40s ago", "12.3 ms", "paper", "live", "active", "paper OK", "0.3.0", "40d", None),
    )


def test_a_line_of_a_friend_of_whom_nothing_is_known():
    user = User("bob", "UB", ("signals.fda.*",), created_at=AT)
    assert cells(Presence(UserState(user), AT)) == ("bob", *[None] * 9, "no end", None)


def test_an_agents_own_words_are_text_and_never_markup():
    assert "[red]x" in drawn(Snapshot(AT, (a_row(version="[red]x"),)))


def test_the_heading_shows_the_wire():
    wire = Wire(120, 2_500_000, 1, 120, AT - timedelta(minutes=5), 3.0, (0.002, 0.004, 0.009), 0.0007, None)
    assert heading(Snapshot(AT, (a_row(),), wire)) == [
        "2026-01-02 14:30:00 UTC   1 of 1 friends online",
        "stream: 120 messages, 2.5 MB, sequence 120, the last 5m ago, 3.0 a minute",
        "publish: 4.0 ms in the middle, 9.0 ms at most; the server answers in 0.7 ms",
    ]


def test_without_a_server_the_picture_says_what_is_missing():
    text = drawn(Snapshot(AT, (a_row(),), None, ("durables not seen: the server is not reached",)))
    assert "durables not seen: the server is not reached" in text
    assert "stream:" not in text
