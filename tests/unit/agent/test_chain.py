"""The decision log: whatever is done to it by hand is found, and the first bad row is named."""

import sqlite3
from dataclasses import replace

import orjson
import pytest
from agent_samples import NOW, PAPER, a_book, a_signal, an_arrival, some_limits
from hypothesis import given, settings
from hypothesis import strategies as st

from signal_contract.errors import NotFound, StorageFailed
from subscriber_agent.chain import BreakKind, ChainRow, Head, first_break, row_hash
from subscriber_agent.journal import Journal
from subscriber_agent.journal.schema import MIGRATIONS
from subscriber_agent.risk.decide import decide


def a_chain(length):
    rows, head = [], Head()
    for number in range(1, length + 1):
        body = b'{"signal_id":"s%d","verdict":"NOTED"}' % number
        digest = row_hash(head.hash, number, 10 * number, "cfg", body)
        columns = {"signal_id": f"s{number}", "verdict": "NOTED"}
        rows.append(ChainRow(number, 10 * number, "cfg", body, head.hash, digest, columns))
        head = Head(number, digest)
    return rows, head


def test_an_untouched_chain_holds():
    for length in (0, 1, 5):
        rows, head = a_chain(length)
        assert first_break(rows, head) is None


@settings(max_examples=300, deadline=None)
@given(st.integers(1, 8), st.data())
def test_every_changed_field_is_found_at_its_row(length, data):
    rows, head = a_chain(length)
    at = data.draw(st.integers(0, length - 1))
    change = data.draw(
        st.sampled_from(
            [
                {"stream_seq": 999},
                {"config_hash": "other"},
                {"body": rows[at].body.replace(b"NOTED", b"TAKEN")},
                {"body": b"\xff"},
                {"prev_hash": "f" * 64},
                {"hash": "f" * 64},
                {"columns": {"signal_id": f"s{at + 1}", "verdict": "ACCEPTED"}},
                {"columns": {"signal_id": "other", "verdict": "NOTED"}},
            ]
        )
    )
    rows[at] = replace(rows[at], **change)
    found = first_break(rows, head)
    assert (found.number, found.kind) == (at + 1, BreakKind.CHANGED)


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 8), st.data())
def test_every_missing_row_is_named(length, data):
    rows, head = a_chain(length)
    at = data.draw(st.integers(0, length - 1))
    count = data.draw(st.integers(1, length - at))
    del rows[at : at + count]
    found = first_break(rows, head)
    assert (found.number, found.kind) == (at + 1, BreakKind.MISSING)


@settings(max_examples=200, deadline=None)
@given(st.integers(2, 8), st.data())
def test_rows_that_changed_places_are_found_at_the_first_of_them(length, data):
    rows, head = a_chain(length)
    a, b = sorted(data.draw(st.lists(st.integers(0, length - 1), min_size=2, max_size=2, unique=True)))
    rows[a], rows[b] = replace(rows[b], number=a + 1), replace(rows[a], number=b + 1)
    assert first_break(rows, head).number == a + 1


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 8), st.data())
def test_rows_renumbered_and_hashed_anew_after_a_removal_do_not_fit_the_next(length, data):
    rows, head = a_chain(length)
    at = data.draw(st.integers(0, length - 1))
    previous = rows[at - 1].hash if at else Head().hash
    forged = rows[at].body.replace(b"NOTED", b"TAKEN")
    digest = row_hash(previous, at + 1, 5, "cfg", forged)
    rows[at] = ChainRow(at + 1, 5, "cfg", forged, previous, digest, {"verdict": "TAKEN"})
    found = first_break(rows, head)
    assert found.kind is BreakKind.MISPLACED
    assert found.number in (at + 1, at + 2)


def test_a_row_put_behind_the_end_or_before_the_start_is_found():
    rows, head = a_chain(3)
    extra = replace(rows[2], number=4, prev_hash=head.hash, hash=row_hash(head.hash, 4, 1, "cfg", b"{}"), stream_seq=1)
    extra = replace(extra, body=b"{}", columns={})
    assert first_break([*rows, extra], head).number == 4
    assert first_break([replace(rows[0], number=0), *rows], head).number == 0


def test_two_rows_never_share_what_is_hashed():
    assert row_hash("a", 1, 23, "c", b"") != row_hash("a", 12, 3, "c", b"")
    assert row_hash("a", 1, 2, "cb", b"ody") != row_hash("a", 1, 2, "c", b"body")


# In the journal ---------------------------------------------------------------------------------------------------


@pytest.fixture
def path(tmp_path):
    return tmp_path / "journal.sqlite"


def decide_some(journal, count, start=0):
    for n in range(start, start + count):
        signal = a_signal(f"n{n}")
        journal.record([an_arrival(n + 1, signal)])
        journal.write_decision(decide(signal, a_book(), some_limits(), PAPER, NOW), "cfg", None)


def tampered(path, *statements):
    with sqlite3.connect(path) as other:
        for statement in statements:
            other.execute(statement)
    other.close()
    with Journal.open(path, read_only=True) as journal:
        return journal.first_break()


def test_what_the_journal_writes_holds_over_restarts(path):
    for start in (0, 3):
        with Journal.open(path) as journal:
            decide_some(journal, 3, start)
            assert journal.first_break() is None
    with Journal.open(path, read_only=True) as journal:
        assert journal.chain_head().number == 6
        assert [each.stream_seq for each in journal.latest_decisions(2)] == [5, 6]
        assert journal.first_break() is None


def test_a_second_decision_on_a_revision_leaves_the_chain_alone(path):
    with Journal.open(path) as journal:
        decide_some(journal, 2)
        head = journal.chain_head()
        decision = decide(a_signal("n0"), a_book(), some_limits(), PAPER, NOW)
        assert journal.write_decision(decision, "other", None) is False
        assert journal.chain_head() == head


@pytest.mark.parametrize(
    ("statements", "number", "kind"),
    [
        (["UPDATE decisions SET verdict = 'REFUSED' WHERE number = 3"], 3, BreakKind.CHANGED),
        (["UPDATE decisions SET body = 'text' WHERE number = 3"], 3, BreakKind.CHANGED),
        (["UPDATE decisions SET decided_at = '' , config_hash = 'x' WHERE number = 1"], 1, BreakKind.CHANGED),
        (["DELETE FROM decisions WHERE number = 2"], 2, BreakKind.MISSING),
        (["DELETE FROM decisions WHERE number = 5"], 5, BreakKind.MISSING),
        (["DELETE FROM decisions"], 1, BreakKind.MISSING),
        (
            [
                "UPDATE decisions SET number = 99 WHERE number = 2",
                "UPDATE decisions SET number = 2 WHERE number = 4",
                "UPDATE decisions SET number = 4 WHERE number = 99",
            ],
            2,
            BreakKind.CHANGED,
        ),
        (
            [
                "INSERT INTO decisions SELECT 6, 9, 'forged', 1, 1, verdict, code, body, config_hash, decided_at, hash,"
                " hash FROM decisions WHERE number = 5"
            ],
            6,
            BreakKind.CHANGED,
        ),
        (
            [
                "DELETE FROM decisions WHERE number = 5",
                "UPDATE meta SET value = (SELECT number || ' ' || hash FROM decisions WHERE number = 4)"
                " WHERE key = 'decision_head'",
            ],
            0,
            BreakKind.UNDECIDED,
        ),
    ],
)
def test_a_log_changed_by_hand_is_found(path, statements, number, kind):
    with Journal.open(path) as journal:
        decide_some(journal, 5)
    found = tampered(path, *statements)
    assert (found.number, found.kind) == (number, kind)


def test_a_damaged_note_of_the_end_is_said(path):
    with Journal.open(path) as journal:
        decide_some(journal, 1)
    with pytest.raises(StorageFailed, match="where the log ends"):
        tampered(path, "UPDATE meta SET value = 'x y' WHERE key = 'decision_head'")


def test_decisions_go_on_behind_a_cut_off_end_and_the_gap_stays_visible(path):
    with Journal.open(path) as journal:
        decide_some(journal, 3)
    tampered(path, "DELETE FROM decisions WHERE number = 3")
    with Journal.open(path) as journal:
        decide_some(journal, 2, start=10)
        found = journal.first_break()
        assert (found.number, found.kind) == (3, BreakKind.MISSING)


def test_decisions_go_on_behind_an_inserted_row_which_stays_visible(path):
    with Journal.open(path) as journal:
        decide_some(journal, 2)
    insert = (
        "INSERT INTO decisions SELECT 3, 9, 'forged', 1, 1, verdict, code, body, config_hash, decided_at, hash, hash"
    )
    tampered(path, f"{insert} FROM decisions WHERE number = 2")
    with Journal.open(path) as journal:
        decide_some(journal, 1, start=10)
        assert journal.undecided_count() == 0
        assert journal.first_break().number == 3


def an_old_journal(path):
    """A journal of the first version, with two decisions."""
    with sqlite3.connect(path) as old:
        old.executescript(MIGRATIONS[0])
        for n in range(2):
            signal = a_signal(f"n{n}")
            decision = decide(signal, a_book(), some_limits(), PAPER, NOW)
            old.execute(
                "INSERT INTO decisions VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    signal.signal_id,
                    1,
                    decision.verdict.value,
                    decision.code,
                    orjson.dumps(decision.as_dict()),
                    "cfg",
                    NOW.isoformat(),
                ),
            )
        old.execute("PRAGMA user_version = 1")
    old.close()


def test_an_old_journal_is_chained_when_its_owner_opens_it(path):
    an_old_journal(path)
    with pytest.raises(NotFound, match="an earlier version"):
        Journal.open(path, read_only=True)
    with Journal.open(path) as journal:
        assert journal.chain_head().number == 2
        assert journal.first_break() is None
        assert journal.decision(a_signal("n1").signal_id, 1)["config_hash"] == "cfg"
        decide_some(journal, 1, start=5)
        assert journal.chain_head().number == 3
        assert journal.first_break() is None


def test_a_decision_and_its_place_in_the_chain_are_one_commit(path):
    with Journal.open(path) as journal:
        signal = a_signal()
        journal.record([an_arrival(1, signal)])
        commits = []
        journal._db._connection.set_trace_callback(lambda text: text.startswith("COMMIT") and commits.append(text))
        journal.write_decision(decide(signal, a_book(), some_limits(), PAPER, NOW), "cfg", None)
        journal._db._connection.set_trace_callback(None)
        assert len(commits) == 1
