"""The positions that the log of executions says: folded from what is held alone, they are those of all of it."""

import contextlib
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory

from agent_samples import NOW, D
from hypothesis import given, settings
from hypothesis import strategies as st
from reconcile_samples import bought

from subscriber_agent.accounting.book import Fill, Leg, Side, book_from
from subscriber_agent.journal import Journal
from subscriber_agent.own_book import OwnBook, realised_usd

FILLS = st.lists(
    st.tuples(
        st.sampled_from(Side),
        st.sampled_from(["1", "2", "3", "0.1", "0.2", "0.3", "0.0000000001", "1000000"]),
        st.decimals("0.01", "50", places=2),
        st.sampled_from(["A", "B"]),
    ),
    max_size=12,
)


def made(trades, first=0):
    return [
        Fill(f"o{i}", ticker, side, Leg.ENTRY, Decimal(quantity), price, NOW + timedelta(seconds=i), catalyst=f"c{i}")
        for i, (side, quantity, price, ticker) in enumerate(trades, first)
    ]


def assert_is_all(journal, own):
    whole = book_from(journal.fills(), start_cash=D(0))
    assert (own.positions(), [*own.positions()]) == (whole.positions, [*whole.positions])
    assert journal.shares() == {ticker: each.quantity for ticker, each in whole.positions.items()}
    assert realised_usd(journal) == whole.realised_usd


@settings(max_examples=60, deadline=None)
@given(FILLS, FILLS, FILLS)
def test_it_is_the_fold_over_all_executions_before_and_after_a_restart_and_a_rollback(before, lost, after):
    with TemporaryDirectory() as folder, Journal.open(Path(folder) / "journal.sqlite") as journal:
        running = OwnBook(journal)
        journal.add_fills(made(before))
        assert_is_all(journal, running)
        with contextlib.suppress(ZeroDivisionError), journal.transaction():
            journal.add_fills(made(lost, 100))
            assert_is_all(journal, running)
            raise ZeroDivisionError
        assert_is_all(journal, OwnBook(journal))
        journal.add_fills(made(after, 200))
        assert_is_all(journal, running)
        assert_is_all(journal, OwnBook(journal))


class Interrupted:
    """A journal that another process writes to between two questions."""

    def __init__(self, journal, fills):
        self._journal, self._fills = journal, fills

    def __getattr__(self, name):
        answer = getattr(self._journal, name)
        if name in ("shares", "fills_in") and self._fills:
            self._journal.add_fills([self._fills.pop(0)])
        return answer


def test_what_another_process_books_meanwhile_is_counted_once(tmp_path):
    with Journal.open(tmp_path / "journal.sqlite") as journal:
        journal.add_fills([bought()])
        own = OwnBook(Interrupted(journal, [bought(ticker="NEWS"), bought(side=Side.SELL, leg=Leg.EXIT)]))
        assert list(own.positions()) == ["NEWS"]
        assert_is_all(journal, own)
