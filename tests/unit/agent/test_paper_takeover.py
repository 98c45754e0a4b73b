"""A paper account that an earlier version kept in the journal is found again, whole, and the journal is not touched."""

import hashlib
import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import timedelta

import orjson
import pytest
from agent_samples import NOW, D
from paper_samples import ENTRY, EXIT, ID, SHORT, an_engine, close_all, fills_of

from signal_contract.errors import StorageFailed
from subscriber_agent.accounting.book import Leg
from subscriber_agent.engines.engine import OutcomeState, triggered_order_id
from subscriber_agent.engines.paper.store import STORE_FILE
from subscriber_agent.engines.paper.takeover import JOURNAL_FILE
from subscriber_agent.journal import Journal, journal
from subscriber_agent.journal.schema import MIGRATIONS

VERSIONS = (1, 2, 3, 4)


@pytest.fixture(autouse=True)
async def _closed():
    yield
    await close_all()


class OldJournal:
    """A journal as the versions before kept it, and a paper account in it."""

    def __init__(self, folder, version=4, cash="5000"):
        self.path = folder / JOURNAL_FILE
        self._at = NOW - timedelta(days=30)
        with self._open() as connection:
            for script in MIGRATIONS[:version]:
                connection.executescript(script)
            connection.execute(f"PRAGMA user_version = {version}")
            if cash is not None:
                connection.execute("INSERT INTO meta VALUES ('paper_start_cash_usd', ?)", (cash,))
            connection.commit()

    def _open(self):
        return closing(sqlite3.connect(self.path))

    def order(self, order_id, plan, price="5", detail=""):
        """An order as it was written: filled at `price`, or rejected without one."""
        self._at += timedelta(minutes=1)
        at, state = self._at.isoformat(timespec="microseconds"), "REJECTED" if price is None else "FILLED"
        filled = "0" if price is None else str(plan.quantity)
        # Versions up to now wrote no more than these of a plan.
        body = orjson.dumps({k: v for k, v in plan.as_dict().items() if k not in ("extended_hours", "max_hold_s")})
        row = (order_id, body, state, filled, price, detail, at)
        with self._open() as connection:
            connection.execute("INSERT INTO paper_orders VALUES (?, ?, ?, ?, ?, ?, ?)", row)
            if price is not None:
                self._fill(connection, order_id, plan, price, at)
            connection.commit()

    def _fill(self, connection, order_id, plan, price, at):
        stop, target = (None if each is None else str(each) for each in (plan.stop_price, plan.target_price))
        connection.execute(
            "INSERT INTO fills (order_id, ticker, side, leg, quantity, price, at, stop_price, target_price, catalyst)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (order_id, plan.ticker, plan.side, plan.leg, str(plan.quantity), price, at, stop, target, plan.catalyst),
        )
        connection.execute("INSERT OR REPLACE INTO marks VALUES (?, ?, ?)", (plan.ticker, price, at))

    def foreign_fill(self, order_id, plan, price):
        """A fill of another engine, which later versions keep in the same table."""
        with self._open() as connection:
            self._fill(connection, order_id, plan, price, self._at.isoformat(timespec="microseconds"))
            connection.commit()

    @property
    def digest(self):
        return hashlib.sha256(self.path.read_bytes()).hexdigest()


def test_the_journals_name_is_the_journals():
    assert JOURNAL_FILE == journal.JOURNAL_FILE


@pytest.mark.parametrize("version", VERSIONS)
async def test_cash_positions_prices_and_orders_are_taken_over(tmp_path, version):
    old = OldJournal(tmp_path, version)
    old.order(ID, ENTRY)
    old.order("x1", replace(EXIT, quantity=D(30)), "5.50")
    old.order("x2", replace(EXIT, quantity=D(500)), None, "no position of 500 ABCD to close")
    before = old.digest
    engine = an_engine(tmp_path, start_cash_usd="777")
    account, (held,) = await engine.account(), await engine.positions()
    assert (account.cash, account.equity) == (4665, 5050)
    assert (held.quantity, held.average_price, held.last_price) == (70, 5, D("5.50"))
    assert (await engine.lookup("x2")).detail == "no position of 500 ABCD to close"
    assert (await engine.lookup("x1")).price == D("5.50")
    assert old.digest == before


async def test_a_position_keeps_its_stop_and_its_target(tmp_path):
    old = OldJournal(tmp_path)
    old.order(ID, ENTRY)
    old.order("cs-1-entry", replace(SHORT, ticker="OTHER"))
    engine = an_engine(tmp_path)
    assert [each.protects for each in (await engine.lookup(ID)).legs] == [100, 100]
    assert await engine.observe("ABCD", D("4.5"), NOW) == (ID,)
    assert await engine.observe("OTHER", D("6.5"), NOW) == ("cs-1-entry",)
    assert await engine.positions() == ()


async def test_what_was_closed_has_no_legs_that_work(tmp_path):
    old = OldJournal(tmp_path)
    old.order(ID, ENTRY)
    stop = triggered_order_id(ID, Leg.STOP)
    old.order(stop, replace(EXIT, leg=Leg.STOP), "4.70", "stop triggered")
    old.order("cs-1-entry", replace(ENTRY, ticker="OTHER"), None, "no price is known")
    engine = an_engine(tmp_path)
    assert await engine.orders() == ()
    (leg,) = (await engine.lookup(ID)).legs
    assert (leg.order_id, leg.state, leg.price) == (stop, OutcomeState.FILLED, D("4.70"))


async def test_an_order_of_before_is_never_done_again(tmp_path):
    old = OldJournal(tmp_path)
    old.order(ID, ENTRY)
    engine = an_engine(tmp_path)
    assert (await engine.submit(ENTRY, ID)).state is OutcomeState.FILLED
    assert [each.quantity for each in await engine.positions()] == [100]


async def test_fills_of_other_engines_are_not_the_paper_accounts(tmp_path):
    old = OldJournal(tmp_path)
    old.order(ID, ENTRY)
    old.foreign_fill("cs-alpaca-entry", replace(ENTRY, ticker="REAL"), "9")
    engine = an_engine(tmp_path)
    assert [each.ticker for each in await engine.positions()] == ["ABCD"]


async def test_it_happens_once(tmp_path):
    old = OldJournal(tmp_path)
    await an_engine(tmp_path).start()
    old.order(ID, ENTRY)
    assert await an_engine(tmp_path).positions() == ()


async def test_a_kill_before_the_first_commit_leaves_the_takeover_to_the_next_start(tmp_path):
    OldJournal(tmp_path).order(ID, ENTRY)
    # What a kill leaves: the file is made before its tables are.
    (tmp_path / STORE_FILE).touch(mode=0o600)
    assert [each.quantity for each in await an_engine(tmp_path).positions()] == [100]
    assert len(fills_of(tmp_path)) == 1


async def test_a_journal_of_today_and_none_at_all_begin_a_new_account(tmp_path):
    (tmp_path / "none").mkdir()
    assert (await an_engine(tmp_path / "none", start_cash_usd="777").account()).cash == 777
    (tmp_path / "today").mkdir()
    with Journal.open(tmp_path / "today" / JOURNAL_FILE):
        assert (await an_engine(tmp_path / "today", start_cash_usd="777").account()).cash == 777


async def test_an_old_account_survives_the_journals_own_migration(tmp_path):
    OldJournal(tmp_path, 3).order(ID, ENTRY)
    with Journal.open(tmp_path / JOURNAL_FILE):
        engine = an_engine(tmp_path)
        assert ((await engine.account()).cash, len(await engine.positions())) == (4500, 1)


async def test_a_journal_that_cannot_be_read_stops_the_start_and_begins_no_empty_account(tmp_path):
    (tmp_path / JOURNAL_FILE).write_bytes(b"this is no journal at all, and it is long enough" * 40)
    with pytest.raises(StorageFailed):
        await an_engine(tmp_path).start()


async def test_an_old_account_with_numbers_that_are_none_stops_the_start(tmp_path):
    OldJournal(tmp_path).order(ID, ENTRY)
    with closing(sqlite3.connect(tmp_path / JOURNAL_FILE)) as connection:
        connection.execute("UPDATE fills SET quantity = 'many'")
        connection.commit()
    with pytest.raises(StorageFailed):
        await an_engine(tmp_path).start()
