"""What the journal remembers: an answer stands until one of its tables is written to, by whomever, and no longer."""

import gc
import sqlite3
import weakref
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from agent_samples import NOW, D, a_close, a_control, a_revision, a_signal, an_arrival, decided
from desk_samples import Clock, Paper, Watched, hasty
from hypothesis import given, settings
from hypothesis import strategies as st

from signal_contract.control import Verb
from signal_contract.errors import Conflict, NotFound
from signal_contract.model import Event
from subscriber_agent.accounting.book import Fill, Leg, Side
from subscriber_agent.engines.engine import Account, Outcome, OutcomeState
from subscriber_agent.journal import Journal, OrderIntent
from subscriber_agent.journal.database import Database, noted
from subscriber_agent.journal.rows import ApprovalState, ReconcileState
from subscriber_agent.risk.breaker import Breaker
from subscriber_agent.risk.protection import Holder, Protection, ProtectionState

SET_META = "INSERT INTO meta VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value"
SET_LATCH = "INSERT OR REPLACE INTO latches VALUES ('local', ?, '', '')"
LATCHES, META = "SELECT value FROM latches ORDER BY name", "SELECT value FROM meta WHERE key = ?"


class Undone(Exception):
    """What makes a transaction roll back."""


class Asked:
    """A question to a database that counts how often it was read."""

    def __init__(self, db, tables, statement, *values):
        self._db, self._tables, self._question = db, tables, (statement, *values)
        self.reads = 0

    def _read(self):
        self.reads += 1
        return self._db.rows(*self._question)

    def __call__(self):
        return self._db.recalled(self._tables, self._question, self._read)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "journal.sqlite"


@pytest.fixture
def db(path):
    database = Database.open(path)
    yield database
    database.close()


@pytest.fixture
def guest(db, path):
    """Another connection to the same file, as a command opens it beside a running agent."""
    with Journal.open(path, is_owner=False) as opened:
        yield opened


@pytest.fixture
def latches(db):
    return Asked(db, ("latches",), LATCHES)


def test_an_answer_is_not_read_again(latches):
    assert [latches() for _ in range(3)] == [[]] * 3
    assert latches.reads == 1


@pytest.mark.parametrize("is_inside", [False, True])
def test_a_write_to_its_table_forgets_it_and_one_to_another_table_does_not(db, latches, is_inside):
    def check():
        latches()
        db.run("INSERT INTO flattens (reason, at) VALUES ('', '')")
        db.run(SET_META, "key", "value")
        latches()
        assert latches.reads == before + 1
        for value, statement in (
            ("HALTED", SET_LATCH),
            ("ACTIVE", "UPDATE latches SET value = ?"),
            (None, "DELETE FROM latches WHERE value <> coalesce(?, '')"),
        ):
            db.run(statement, value)
            assert latches() == ([] if value is None else [(value,)])

    before = latches.reads
    if is_inside:
        with db.transaction():
            check()
    else:
        check()


def test_one_note_does_not_forget_another(db):
    one, other = (Asked(db, (noted(key),), META, key) for key in ("one", "other"))
    assert (one(), other()) == ([], [])
    db.run(SET_META, "one", "1")
    assert (one(), other()) == ([("1",)], [])
    assert (one.reads, other.reads) == (2, 1)


def test_an_answer_from_two_tables_is_forgotten_by_a_write_to_either(db):
    both = Asked(db, ("latches", noted("one")), "SELECT (SELECT count(*) FROM latches), (SELECT max(value) FROM meta)")
    both()
    db.run(SET_META, "one", "9")
    assert both() == [(0, "9")]
    db.run(SET_LATCH, "HALTED")
    assert both() == [(1, "9")]


@pytest.mark.parametrize(
    "statement",
    [
        "REPLACE INTO latches VALUES ('local', 'HALTED', '', '')",
        "WITH word(value) AS (VALUES ('HALTED')) INSERT INTO latches SELECT 'local', value, '', '' FROM word",
        "insert into latches values ('local', 'HALTED', '', '')",
        "INSERT INTO main.latches VALUES ('local', 'HALTED', '', '')",
        "INSERT INTO \"latches\" VALUES ('local', 'HALTED', '', '')",
        "-- a word\nINSERT INTO latches VALUES ('local', 'HALTED', '', '')",
    ],
)
def test_a_statement_whose_table_cannot_be_told_forgets_everything(db, latches, statement):
    note = Asked(db, (noted("one"),), META, "one")
    assert (latches(), note()) == ([], [])
    db.run(statement)
    assert (latches(), note()) == ([("HALTED",)], [])
    assert note.reads == 2


@pytest.mark.parametrize(
    ("statement", "values", "after"),
    [
        ("UPDATE meta SET value = ? WHERE key = ?", ("2", "one"), [("2",)]),
        ("UPDATE OR IGNORE meta SET value = ?", ("2",), [("2",)]),
        ("UPDATE meta SET key = 'two' WHERE key = 'one'", (), []),
        ("DELETE FROM meta", (), []),
        ("INSERT OR REPLACE INTO meta (value, key) VALUES (?, ?)", ("2", "one"), [("2",)]),
    ],
)
def test_a_note_that_is_written_in_another_way_is_seen_all_the_same(db, statement, values, after):
    db.run(SET_META, "one", "1")
    one = Asked(db, (noted("one"),), META, "one")
    assert one() == [("1",)]
    db.run(statement, *values)
    assert one() == after


@pytest.mark.parametrize("is_inside", [False, True])
def test_what_another_process_wrote_is_seen_at_once(path, is_inside):
    with Journal.open(path) as owner, Journal.open(path, is_owner=False) as command:
        for value in ("HALTED", "ACTIVE", "REDUCING"):
            owner.latch("local")
            command.set_latch("local", value, "by hand", NOW)
            command.set_meta("note", value)
            if is_inside:
                with owner.transaction():
                    assert (owner.latch("local").value, owner.meta("note")) == (value, value)
            assert (owner.latch("local").value, owner.meta("note")) == (value, value)


def test_a_command_and_a_reader_see_what_the_agent_writes(path):
    with Journal.open(path) as owner, Journal.open(path, is_owner=False) as command:
        reader = Journal.open(path, read_only=True)
        for value in ("HALTED", "ACTIVE"):
            owner.set_latch("local", value, "", NOW)
            assert command.latch("local").value == reader.latch("local").value == value
        reader.close()


def test_what_our_own_writes_left_alone_is_remembered_over_them(db, guest, latches):
    """Only the other one's commits count as somebody else's."""
    latches()
    with db.transaction():
        db.run(SET_META, "one", "1")
    db.run(SET_META, "one", "2")
    latches()
    assert latches.reads == 1
    guest.set_meta("one", "3")
    latches()
    assert latches.reads == 2


def test_what_a_snapshot_saw_is_not_remembered_after_it(db, guest, latches):
    with db.snapshot():
        assert latches() == []
        guest.set_latch("local", "HALTED", "", NOW)
        assert latches() == []
    assert latches() == [("HALTED",)]


def test_what_was_read_in_a_transaction_that_rolled_back_is_forgotten(db, latches):
    assert latches() == []
    with suppress(Undone), db.transaction():
        db.run(SET_LATCH, "HALTED")
        assert latches() == [("HALTED",)]
        raise Undone
    assert latches() == []
    with db.transaction():
        assert latches() == []


def test_what_was_said_in_a_transaction_that_rolled_back_is_forgotten(db, latches):
    with suppress(Undone), db.transaction():
        db.run(SET_LATCH, "HALTED")
        db.remember(("latches",), (LATCHES,), [("HALTED",)])
        assert latches() == [("HALTED",)]
        assert latches.reads == 0
        raise Undone
    assert latches() == []


def test_a_transaction_of_which_only_an_inner_block_failed_keeps_what_it_wrote(db, latches):
    with db.transaction():
        with suppress(Undone), db.transaction():
            db.run(SET_LATCH, "HALTED")
            raise Undone
        assert latches() == [("HALTED",)]
    assert latches() == [("HALTED",)]


def test_a_decision_that_was_rolled_back_leaves_no_gap_in_the_chain(path):
    with Journal.open(path) as journal:
        signals = [a_signal(str(number), confidence=D(0)) for number in range(4)]
        journal.record([an_arrival(seq, each) for seq, each in enumerate(signals, 1)])
        journal.write_decision(decided(signals[0]), "cfg", None)
        with suppress(Undone), journal.transaction():
            journal.write_decision(decided(signals[1]), "cfg", None)
            journal.write_decision(decided(signals[2]), "cfg", None)
            raise Undone
        for each in signals[1:]:
            journal.write_decision(decided(each), "cfg", None)
        assert [row.number for row in journal.chain_rows()] == [1, 2, 3, 4]
        assert journal.first_break() is None


class Answer:
    """Something that can be seen to be let go of."""


def test_what_is_remembered_stays_bounded(db):
    alive = weakref.WeakSet()

    def read():
        answer = Answer()
        alive.add(answer)
        return answer

    for key in range(3000):
        db.recalled(("latches",), key, read)
    gc.collect()
    assert 0 < len(alive) <= 512


# All of it together ---------------------------------------------------------------------------------------------------


class Witness(Database):
    """Has sqlite say which tables a statement touches, and compares that with what is said of it."""

    def _prepare(self, *, read_only):
        self.keys, self._touched, self._told = set(), set(), None
        super()._prepare(read_only=read_only)

    def _looks(self, action, table, *_):
        if table is not None and not table.startswith("sqlite_"):
            reads = (sqlite3.SQLITE_READ,)
            writes = (sqlite3.SQLITE_INSERT, sqlite3.SQLITE_UPDATE, sqlite3.SQLITE_DELETE)
            if action in reads + writes:
                self._touched.add((action in writes, table))
        return sqlite3.SQLITE_OK

    def _watched(self, call, *arguments):
        # Setting it has every statement prepared anew, and so seen.
        self._touched.clear()
        self._connection.set_authorizer(self._looks)
        return call(*arguments)

    def rows(self, statement, *values):
        found = self._watched(super().rows, statement, *values)
        assert not any(is_write for is_write, _ in self._touched), f"written past `run`: {statement}"
        if self._told is not None:
            assert {table for _, table in self._touched} <= self._told, f"not said to be read: {statement}"
        return found

    def run(self, statement, *values):
        before = dict(self._written), self._epoch
        changed = self._watched(super().run, statement, *values)
        written = {table for is_write, table in self._touched if is_write}
        is_all = self._epoch != before[1]
        told = {table.partition(":")[0] for table, count in self._written.items() if before[0].get(table, 0) != count}
        assert is_all or written <= told, f"not seen as a write: {statement}"
        return changed

    def recalled(self, tables, key, read):
        self.keys.add(key if isinstance(key, str) else key[0])

        def watched():
            before, self._told = self._told, {table.partition(":")[0] for table in tables}
            try:
                return read()
            finally:
                self._told = before

        return super().recalled(tables, key, watched)


EVERY_QUESTION = {
    "approved",
    "breaker:paper",
    "decision_head",
    "entry_times",
    "fills",
    "flatten_request",
    "has_spent",
    "last_equity",
    "last_fill",
    "latches",
    "ledger",
    "lines",
    "meta",
    "open_intents",
    "open_reconcile",
    "protections",
    "shares",
}


async def test_whatever_is_recalled_names_each_table_that_it_reads_and_no_write_goes_unseen(path):
    """Asked of sqlite itself, over a day of everything that an agent does."""
    hasty(path).close()
    clock, db = Clock(), Witness.open(path)
    with Journal(db) as journal:
        journal.request_flatten("for the table's sake", NOW)
        journal.flatten_done(NOW)
        watched = Watched(journal, Paper(clock=clock), clock=clock, risk={"approve_above_usd": 300})
        journal.record([a_control(1, Verb.HALT), a_control(2, Verb.RESUME)])
        watched._seq = 2
        asked, fine = a_signal("asked"), a_signal("fine", ticker="FINE", reference_price=D(1), stop_price=D("0.95"))
        await watched.settled(asked, fine, a_signal("low", confidence=D(0)), a_revision(fine, 2, Event.RETRACT))
        (row,) = journal.approvals(ApprovalState.WAITING.value)
        journal.answer_approval(row.signal_id, row.revision, True, NOW)
        await watched.settled_approved()
        await watched.settled(a_close(ticker="FINE"), a_close(ticker="GONE"))
        await watched.desk.tend()
        journal.note_differences([{"kind": "x"}], NOW)
        journal.end_reconcile(ReconcileState.RESOLVED, NOW)
        journal.expire_approvals(NOW)
        clock.passes(9_000_000)
        journal.prune(before=clock(), stream_first_sequence=10**6)
        await watched.settled(a_signal("later", confidence=D(0)))
        journal.ledger_rows(1), journal.fills(1), journal.breaker(), journal.set_link("LIVE", "", NOW)
        journal.set_progress(1, 0, NOW)
        journal.feedback_sent([each.feedback_id for each in journal.feedback_waiting(10)])
        assert journal.first_break() is None
    assert db.keys == EVERY_QUESTION, "a question that is not recalled here is not looked at"


KEYS, NAMES, NUMBERS = st.sampled_from(["a", "b"]), st.sampled_from(["local", "operator"]), st.integers(0, 3)
STATES = st.sampled_from(["ACTIVE", "REDUCING", "HALTED"])
WRITES = st.one_of(
    st.tuples(st.just("meta"), KEYS, st.sampled_from(["1", "2"])),
    st.tuples(st.just("latch"), NAMES, STATES),
    st.tuples(st.just("breaker"), NUMBERS),
    st.tuples(st.just("signal"), NUMBERS),
    st.tuples(st.just("retract"), NUMBERS),
    st.tuples(st.just("control"), st.sampled_from([Verb.HALT, Verb.RESUME])),
    st.tuples(st.just("decide"), NUMBERS),
    st.tuples(st.just("order"), NUMBERS),
    st.tuples(st.just("outcome"), NUMBERS, st.sampled_from(list(OutcomeState))),
    st.tuples(st.just("fill"), NUMBERS),
    st.tuples(st.just("ledger"), NUMBERS),
    st.tuples(st.just("stop"), NUMBERS, st.sampled_from(list(ProtectionState))),
    st.tuples(st.just("differ"), NUMBERS),
    st.tuples(st.just("agree")),
    st.tuples(st.just("ask"), NUMBERS),
    st.tuples(st.just("answer"), NUMBERS, st.booleans()),
    st.tuples(st.just("done"), NUMBERS),
    st.tuples(st.just("expire")),
    st.tuples(st.just("flatten")),
    st.tuples(st.just("flattened")),
    st.tuples(st.just("equity"), NUMBERS),
    st.tuples(st.just("prune")),
)
# Who writes: the agent, the agent in a transaction that is undone or not, or a command beside it.
STEPS = st.lists(
    st.tuples(st.sampled_from(["agent", "agent", "together", "undone", "command"]), st.lists(WRITES, max_size=4)),
    max_size=8,
)


@settings(max_examples=100, deadline=None)
@given(STEPS)
def test_whoever_writes_what_the_agent_answers_as_one_that_has_just_read_the_file(steps):
    with TemporaryDirectory() as folder:
        path = Path(folder) / "journal.sqlite"
        with hasty(path) as owner, hasty(path, is_owner=False) as command:
            for who, writes in steps:
                inside = _written(command if who == "command" else owner, who, writes)
                with Journal.open(path, read_only=True) as fresh:
                    expected = _answers(fresh)
                assert _answers(owner) == expected
                assert _answers(command) == expected
                assert inside in (None, expected), "inside its transaction it sees what that wrote"
                assert owner.first_break() is None


def _written(journal, who, writes):
    if who in ("agent", "command"):
        for each in writes:
            _write(journal, *each)
        return None
    with suppress(Undone), journal.transaction():
        for each in writes:
            _write(journal, *each)
            inside = _answers(journal)
        if who == "undone":
            raise Undone
        return inside if writes else None
    return None


def _answers(journal):
    return {
        "meta": [journal.meta(key) for key in ("a", "b")],
        "latches": [journal.latch(name) for name in ("local", "operator", "operator_user")],
        "breaker": journal.breaker("paper"),
        "operator": [journal.operator_state_at(seq) for seq in (1, 3, 10**6)],
        "open": journal.open_intents(),
        "entries": [journal.entry_times(NOW - timedelta(hours=hours), excluding="o1") for hours in (0, 1, 30)],
        "fills": [journal.fills(after) for after in range(3)],
        "shares": [journal.shares(), *(journal.shares(first) for first in range(3))],
        "ledger": [journal.ledger_rows(after) for after in range(3)],
        "stops": [journal.protections(is_open=is_open, ticker=each) for is_open in (0, 1) for each in (None, "T1")],
        "reconcile": journal.open_reconcile(),
        "approved": journal.approved(),
        "flatten": journal.flatten_request(),
        "head": journal.chain_head(),
        "equity": journal.equity(),
    }


PLAN = replace(decided().plan, ticker="T1")


def _write(journal, what, *rest):  # noqa: C901  # a table of what may be written
    number = rest[0] if rest and isinstance(rest[0], int) else 0
    signal = a_signal(str(number), confidence=D(0))
    key = (signal.signal_id, 1)
    order = OrderIntent(f"o{number}", signal.signal_id, 1, replace(PLAN, ticker=f"T{number}"), NOW)
    seq = journal.last_sequence() + 1
    match what:
        case "meta":
            journal.set_meta(*rest)
        case "latch":
            journal.set_latch(*rest, "because", NOW)
        case "breaker":
            journal.set_breaker(Breaker(number, NOW, None), "paper")
        case "signal":
            journal.record([an_arrival(seq, signal)])
        case "retract":
            journal.record([an_arrival(seq, a_revision(signal, 2, Event.RETRACT))])
        case "control":
            journal.record([a_control(seq, rest[0])])
        case "decide":
            journal.write_decision(decided(signal), "cfg", None)
        case "order":
            journal.write_order(order)
        case "outcome":
            journal.write_outcome(order.order_id, Outcome(rest[1], D(1), D(5)), NOW)
        case "fill":
            journal.add_fills([Fill(order.order_id, f"T{number}", Side.BUY, Leg.ENTRY, D(1), D(5), NOW)])
        case "ledger":
            journal.add_ledger_row({"number": number}, NOW)
        case "stop":
            journal.write_protection(_protection(number, rest[1]))
        case "differ":
            journal.note_differences([{"number": number}], NOW)
        case "agree":
            journal.end_reconcile(ReconcileState.RESOLVED, NOW)
        case "ask":
            journal.ask_approval(*key, PLAN, NOW + timedelta(minutes=number), NOW)
        case "answer":
            with suppress(Conflict, NotFound):
                journal.answer_approval(*key, rest[1], NOW)
        case "done":
            journal.approval_done(*key, NOW)
        case "expire":
            journal.expire_approvals(NOW + timedelta(minutes=1))
        case "flatten":
            journal.request_flatten("by hand", NOW)
        case "flattened":
            journal.flatten_done(NOW)
        case "equity":
            journal.add_equity("paper", Account(D(number), D(number)), D(number), NOW + timedelta(hours=number))
        case "prune":
            journal.prune(before=NOW + timedelta(days=1), stream_first_sequence=seq)
        case _:
            raise AssertionError(what)


def _protection(number, state):
    return Protection(f"o{number}", "0" * 32, f"T{number}", Side.BUY, Holder.ORDER, state, D("4.75"), NOW)
