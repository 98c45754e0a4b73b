"""The account with installed commands: what is shown beside the agent, what differs, and exits without the server."""

from __future__ import annotations

import os
import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from processes import Agents, a_signal, envelope, journal_of, publish, refusal, run_command, with_settings

from signal_contract.errors import ExitCode

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals are sent as on POSIX")


@pytest.fixture(name="agents")
def _agents() -> Iterator[Agents]:
    """`agents(config)` starts an agent; whatever still runs is ended with the test."""
    with Agents() as started:
        yield started


@pytest.fixture
def alice(up: Any) -> Path:
    return up.add_user("alice", ["signals.*.*"])


def answer(config: Path, *words: object, status: int = ExitCode.OK) -> Any:
    """The data of `subscriber-agent … --json`."""
    done = run_command("subscriber-agent", *words, "--config", config, "--json")
    assert done.returncode == status, done.stdout + done.stderr
    return envelope(done)["data"]


def said(config: Path, *words: object) -> str:
    """What `subscriber-agent …` says to a person."""
    done = run_command("subscriber-agent", *words, "--config", config)
    assert done.returncode == ExitCode.OK, done.stdout + done.stderr
    return done.stdout


def holding(up: Any, agents: Agents, alice: Path) -> Any:
    """A running agent that holds 100 AAPL."""
    agent = agents.online(alice)
    publish(up, a_signal())
    assert agent.codes(1) == ["FILLED"]
    return agent


def bought_by_hand(config: Path, ticker: str, shares: int) -> None:
    """Shares in the paper account that its agent did not order."""
    path = config.with_name(f"{config.stem}-data") / "paper.sqlite3"
    with closing(sqlite3.connect(path)) as store, store:
        store.execute(
            "INSERT INTO fills (order_id, ticker, side, leg, quantity, price, at, catalyst)"
            " VALUES ('by-hand', ?, 'buy', 'entry', ?, '5', '2026-01-02T15:00:00.000000+00:00', '')",
            (ticker, str(shares)),
        )


def test_what_differs_stops_entries_is_shown_accepted_and_then_entries_are_made_again(up, agents, alice):
    assert holding(up, agents, alice).stop() == ExitCode.OK
    bought_by_hand(alice, "TSLA", 7)
    # Without an agent the engine is asked by the command itself.
    (alone,) = answer(alice, "reconcile")["differences"]
    assert (alone["kind"], alone["ticker"], alone["engines"]) == ("POSITION_UNKNOWN", "TSLA", "7")

    agent = agents(alice)
    told = agent.until_line("reconcile")
    assert [each["kind"] for each in told["differences"]] == ["POSITION_UNKNOWN"]
    publish(up, a_signal("MSFT", news="two"))
    assert agent.codes(1) == ["LEDGER_MISMATCH"]
    message = refusal(ExitCode.NOT_LIVE, "LINK_NOT_LIVE", "subscriber-agent", "status", "--check", "--config", alice)
    assert "reconcile" in message
    text = said(alice, "reconcile")
    assert "POSITION_UNKNOWN" in text
    assert "TSLA" in text
    refusal(ExitCode.CONFLICT, "CONFLICT", "subscriber-agent", "reconcile", "--cancel-unknown", "--config", alice)

    (fill,) = answer(alice, "reconcile", "--accept", "--reason", "bought by hand")["accepted"]
    assert (fill["ticker"], fill["side"], fill["quantity"], fill["price"]) == ("TSLA", "buy", "7", "5")
    publish(up, a_signal("NVDA", news="three"))
    assert agent.codes(2)[-1] == "FILLED"
    assert answer(alice, "reconcile")["differences"] == []
    held = {each["ticker"]: each["quantity"] for each in answer(alice, "positions")["positions"]}
    assert held == {"AAPL": "100", "NVDA": "100", "TSLA": "7"}
    with journal_of(alice) as journal:
        (loosened, *_) = journal.loosenings(1)
    assert (loosened.type, loosened.body["reason"]) == ("reconcile_accepted", "bought by hand")
    assert answer(alice, "audit", "verify")["loosened"]["rows"] > 0


def test_shares_of_the_friends_own_are_left_alone_beside_a_running_agent(up, agents, alice):
    assert holding(up, agents, alice).stop() == ExitCode.OK
    bought_by_hand(alice, "TSLA", 7)
    agent = agents(alice)
    agent.until_line("reconcile")
    refusal(ExitCode.CONFLICT, "CONFLICT", "subscriber-agent", "reconcile", "--leave", "AAPL", "--config", alice)
    left = answer(alice, "reconcile", "--leave", "TSLA", "--reason", "held since 2020")
    assert (left["left_alone"], left["differences"], left["accepted"]) == (["TSLA"], [], [])
    publish(up, a_signal("NVDA", news="three"))
    assert agent.codes(1)[-1] == "FILLED"
    assert "yours alone" in said(alice, "positions")
    assert "yours alone, never traded by the agent: TSLA" in said(alice, "reconcile")
    answer(alice, "flatten", "--yes")
    agent.until_line("all_closed")
    assert [each["ticker"] for each in answer(alice, "positions")["positions"]] == ["TSLA"]
    assert agent.stop() == ExitCode.OK
    again = answer(alice, "reconcile", "--no-leave", "TSLA")
    assert [each["kind"] for each in again["differences"]] == ["POSITION_UNKNOWN"]


def test_another_engine_never_trades_for_shares_of_the_one_before(up, agents, alice):
    assert holding(up, agents, alice).stop() == ExitCode.OK
    argv = [sys.executable, str(Path(__file__).parents[2] / "examples/engines/paper_engine.py")]
    with_settings(alice, engine={"kind": "command", "command": {"argv": argv, "is_paper": True}})
    message = refusal(ExitCode.ENGINE, "ENGINE_UNUSABLE", "subscriber-agent", "run", "--config", alice)
    assert "holds AAPL at paper" in message
    refusal(ExitCode.INPUT, "INPUT_INVALID", "subscriber-agent", "engine", "leave", "--config", alice)
    left = answer(alice, "engine", "leave", "--yes", "--reason", "another engine")
    assert (left["engine"], left["tickers"]) == ("paper", ["AAPL"])
    agents.online(alice)
    assert answer(alice, "positions")["positions"] == []


def test_what_the_engine_tells_is_looked_up_at_once(up, agents, alice):
    with_settings(alice, engine={"kind": "paper", "paper": {"latency_ms": 300}})
    agent = agents.online(alice)
    publish(up, a_signal())
    assert agent.codes(1) == ["ACCEPTED"]
    filled = agent.until_line("order")
    assert filled["outcome"]["state"] == "FILLED"
    accepted_at, filled_at = (datetime.fromisoformat(each["at"]) for each in (agent.of("decision")[0], filled))
    # By the clock alone it is looked up every five seconds.
    assert (filled_at - accepted_at).total_seconds() < 3
    with journal_of(alice) as journal:
        (stop,) = journal.protections()
    assert stop.state.value == "CONFIRMED"


def test_flatten_works_while_the_server_is_away(up, agents, alice):
    agent = holding(up, agents, alice)
    up.stop()
    agent.until_line("disconnected")
    answer(alice, "flatten", "--yes")
    agent.until_line("all_closed")
    with journal_of(alice) as journal:
        assert [(each.ticker, each.side.value) for each in journal.fills()] == [("AAPL", "buy"), ("AAPL", "sell")]


def test_an_agent_that_finds_no_server_closes_its_positions_when_told_to_and_then_ends(up, agents, alice):
    assert holding(up, agents, alice).stop() == ExitCode.OK
    up.stop()
    agent = agents(alice, "--connect-timeout", "1")
    assert agent.until_line("not_connected")["positions"] == 1
    answer(alice, "flatten", "--yes")
    agent.until_line("all_closed")
    assert agent.ended() == ExitCode.UNREACHABLE
    # With nothing to look after it ends at once.
    assert agents(alice, "--connect-timeout", "1").ended() == ExitCode.UNREACHABLE


def test_the_account_is_shown_beside_the_running_agent(up, agents, alice):
    holding(up, agents, alice)
    (row,) = answer(alice, "orders")
    assert (row["ticker"], row["leg"], row["state"], row["filled"], row["is_open"]) == (
        "AAPL",
        "entry",
        "FILLED",
        "100",
        False,
    )
    assert (row["stop"]["state"], row["stop"]["holder"], row["stop"]["stop_price"]) == ("CONFIRMED", "native", "4.75")
    assert sorted(each["leg"] for each in row["legs"]) == ["stop", "target"]
    assert answer(alice, "orders", "--open") == []
    text = said(alice, "orders")
    assert "4.75 native CONFIRMED" in text

    # The engine is asked again within seconds of the fill; until then its last word is of before.
    deadline = time.monotonic() + 15
    while (data := answer(alice, "positions"))["positions"][0]["engine_quantity"] is None:
        assert time.monotonic() < deadline, data
    (held,) = data["positions"]
    assert (held["quantity"], held["engine_quantity"], held["is_protected"], held["is_ours"]) == (
        "100",
        "100",
        True,
        True,
    )
    amounts = [Decimal(data[name]) for name in ("cash_usd", "equity_usd", "unrealised_usd")]
    assert amounts == [9500, 10_000, 0]
    assert "4.75 native" in said(alice, "positions")

    worth = answer(alice, "equity")
    assert (worth["engine"], Decimal(worth["summary"]["now_usd"])) == ("paper", 10_000)
    assert "below the highest" in said(alice, "equity", "--since", "1d")

    status = answer(alice, "status", "--check")
    assert (status["engine_health"]["health"], status["protections"]["confirmed"]) == ("OK", 1)
    assert (status["reconcile"], status["is_file_in_force"]) == (None, True)
    assert "the engine agrees" in said(alice, "status")


def test_a_picture_of_the_equity_is_a_png(up, agents, alice, tmp_path):
    pytest.importorskip("matplotlib")
    holding(up, agents, alice)
    answer(alice, "equity", "--png", tmp_path / "equity.png")
    assert (tmp_path / "equity.png").read_bytes().startswith(b"\x89PNG")
    refusal(
        ExitCode.INPUT, "INPUT_INVALID", "subscriber-agent", "equity", "--png", tmp_path / "x.gif", "--config", alice
    )
