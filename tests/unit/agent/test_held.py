"""What `positions` and `status` make of the journal: ours, the engine's, and where each stop is."""

from __future__ import annotations

from datetime import timedelta

import pytest
from agent_samples import NOW, D, a_config
from reconcile_samples import bought

from subscriber_agent.accounting.book import Leg, Side
from subscriber_agent.cli.health import account_alarms, open_reconcile, protections_now
from subscriber_agent.cli.held import account_dict, held_now, unprotected
from subscriber_agent.engines.engine import Account, Holding
from subscriber_agent.in_force import note, noted
from subscriber_agent.journal import EngineSnapshot, Journal
from subscriber_agent.own_book import OwnBook
from subscriber_agent.risk.market import Capabilities
from subscriber_agent.risk.protection import Holder, Protection, ProtectionState


@pytest.fixture(name="journal")
def _journal(tmp_path):
    with Journal.open(tmp_path / "journal.sqlite") as journal:
        yield journal


def a_word(*holdings, cash=9_500, equity=10_100):
    return EngineSnapshot(NOW, "broker", False, Capabilities(), Account(D(cash), D(equity)), holdings)


def a_stop(state=ProtectionState.CONFIRMED, since=NOW):
    return Protection("cs-1-entry", "b" * 32, "AAPL", Side.BUY, Holder.NATIVE, state, D("4.75"), since)


def test_before_the_engines_first_word_prices_are_those_of_our_fills(journal):
    journal.add_fills([bought()])
    (held,) = held_now(journal, OwnBook(journal))
    row = held.as_dict(NOW)
    assert (row["quantity"], row["engine_quantity"], row["last_price"], row["price_age_s"]) == (100, None, 5, None)
    assert account_dict(journal, None, [held])["equity_usd"] is None


def test_ours_and_the_engines_stand_side_by_side_at_its_prices(journal):
    journal.add_fills([bought()])
    journal.write_snapshot(a_word(Holding("AAPL", D(60), D(5), D(6)), Holding("TSLA", D(7), D(2), D(3))))
    journal.write_protection(a_stop())
    first, second = (each.as_dict(NOW + timedelta(seconds=9)) for each in held_now(journal, OwnBook(journal)))
    assert (first["ticker"], first["quantity"], first["engine_quantity"], first["is_ours"]) == ("AAPL", 100, 60, True)
    assert (first["value_usd"], first["unrealised_usd"], first["price_age_s"]) == (600, 100, 9)
    assert (first["is_protected"], first["stops"][0]["holder"]) == (True, "native")
    assert (second["ticker"], second["quantity"], second["is_ours"], second["stops"]) == ("TSLA", 7, False, [])


def test_what_the_engine_does_not_name_it_does_not_hold(journal):
    journal.add_fills([bought()])
    journal.write_snapshot(a_word())
    assert held_now(journal, OwnBook(journal))[0].as_dict(NOW)["engine_quantity"] == 0


def test_a_word_from_before_the_last_fill_says_nothing_about_it(journal):
    journal.write_snapshot(a_word())
    journal.add_fills([bought(at=NOW + timedelta(seconds=1))])
    row = held_now(journal, OwnBook(journal))[0].as_dict(NOW + timedelta(seconds=2))
    assert (row["engine_quantity"], row["price_age_s"]) == (None, None)


def test_what_was_just_sold_is_not_shown_by_a_word_from_before(journal):
    journal.add_fills([bought()])
    journal.write_snapshot(a_word(Holding("AAPL", D(100), D(5), D(6))))
    journal.add_fills([bought(side=Side.SELL, leg=Leg.EXIT, at=NOW + timedelta(seconds=1))])
    assert held_now(journal, OwnBook(journal)) == []


def test_what_was_sold_is_not_shown_and_counts_as_realised(journal):
    journal.add_fills([bought(), bought(side=Side.SELL, leg=Leg.EXIT, price="6")])
    assert held_now(journal, OwnBook(journal)) == []
    assert account_dict(journal, a_word(), [])["realised_usd"] == 100


@pytest.mark.parametrize(
    ("state", "age_s", "is_alarm"),
    [
        (ProtectionState.WANTED, 60, False),
        (ProtectionState.WANTED, 61, True),
        (ProtectionState.RESIZING, 61, True),
        (ProtectionState.WANTED, -1, True),
        (ProtectionState.FAILED, 0, True),
        (ProtectionState.CONFIRMED, 86_400, False),
        (ProtectionState.CLOSED, 86_400, False),
    ],
)
def test_a_stop_that_is_not_confirmed_for_a_minute_is_an_alarm(state, age_s, is_alarm):
    now = NOW + timedelta(seconds=age_s)
    assert bool(unprotected([a_stop(state)], now)) is is_alarm


def test_each_trouble_of_engine_and_account_is_an_alarm_of_its_own(journal):
    journal.write_protection(a_stop(ProtectionState.WANTED))
    journal.note_differences([{"kind": "POSITION_UNKNOWN", "ticker": "TSLA", "order_id": ""}], NOW)
    data = {
        "engine_health": {"name": "broker", "health": "OPEN", "failures": 3},
        "reconcile": open_reconcile(journal),
        "protections": protections_now(journal, NOW + timedelta(minutes=5)),
    }
    alarms = list(account_alarms(data))
    assert len(alarms) == 3
    assert "AAPL has had no confirmed stop for 300 s" in alarms[2]
    calm = {
        "engine_health": {"name": "broker", "health": "OK", "failures": 0},
        "reconcile": None,
        "protections": {"unprotected": []},
    }
    assert list(account_alarms(calm)) == []


def test_the_config_in_force_is_read_back_as_it_was_noted(journal, tmp_path):
    assert noted(journal) is None
    config = a_config(tmp_path, risk={"min_confidence": "0.99"})
    note(journal, config)
    commits = journal.commits
    note(journal, config)
    assert journal.commits == commits
    found = noted(journal)
    assert (found.config_hash, found.limits, found.mode) == (config.config_hash(), config.risk, config.mode.value)
    journal.set_meta("config_in_force", "{}")
    assert noted(journal) is None
