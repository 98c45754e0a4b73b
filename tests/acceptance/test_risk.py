"""Limits with installed commands: a loss that stays until it is reset, what still holds after `resume`, `flatten`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from agent_process import waited
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
    """A friend who stops after losing a thousandth of his account."""
    return with_settings(up.add_user("alice", ["signals.*.*"]), risk={"max_drawdown_percent": 0.1})


def answer(config: Path, *words: object) -> Any:
    """The data of `subscriber-agent … --json`, which must work."""
    done = run_command("subscriber-agent", *words, "--config", config, "--json")
    assert done.returncode == ExitCode.OK, done.stdout + done.stderr
    return envelope(done)["data"]


def said(config: Path, *words: object) -> str:
    """What `subscriber-agent …` says to a person."""
    done = run_command("subscriber-agent", *words, "--config", config)
    assert done.returncode == ExitCode.OK, done.stdout + done.stderr
    return done.stdout


def refused(config: Path, status: ExitCode, code: str, *words: object) -> str:
    """The message of a refused `subscriber-agent …`."""
    return refusal(status, code, "subscriber-agent", *words, "--config", str(config))


def lost(up: Any, agent: Any) -> None:
    """Buy, and then hear a price at which more is lost than may be."""
    publish(up, a_signal())
    assert agent.codes(1) == ["FILLED"]
    publish(up, a_signal(news="lower", reference_price="4.80", stop_price="4.60"))
    publish(up, a_signal("MSFT", news="next"))
    assert agent.codes(3)[-1] == "DRAWDOWN"


# What a loss leaves -----------------------------------------------------------------------------------------------


def test_a_drawdown_stops_entries_over_a_restart_until_it_is_reset_with_a_word(up, agents, alice):
    agent = agents.online(alice)
    refused(alice, ExitCode.CONFLICT, "CONFLICT", "risk", "reset", "DRAWDOWN", "--confirm")
    lost(up, agent)
    assert agent.stop() == ExitCode.OK
    agent = agents.online(alice)
    publish(up, a_signal("TSLA", news="after"))
    assert agent.codes(1) == ["DRAWDOWN"]

    assert [each["name"] for each in answer(alice, "status")["holds"]] == ["DRAWDOWN"]
    message = refused(alice, ExitCode.INPUT, "INPUT_INVALID", "risk", "reset", "DRAWDOWN")
    assert "lets entries through again" in message
    assert "ends with the trading day" in refused(
        alice, ExitCode.INPUT, "INPUT_INVALID", "risk", "reset", "DAILY", "--confirm"
    )
    refused(alice, ExitCode.INPUT, "INPUT_INVALID", "risk", "reset", "SOMETHING", "--confirm")
    refused(alice, ExitCode.CONFLICT, "CONFLICT", "risk", "reset", "WEEKLY", "--confirm")
    publish(up, a_signal("NVDA", news="still"))
    assert agent.codes(2)[-1] == "DRAWDOWN"

    data = answer(alice, "risk", "reset", "drawdown", "--confirm")
    assert (data["kind"], data["measured_from_usd"], data["holds"]) == ("DRAWDOWN", "10000", [])
    publish(up, a_signal("AMZN", news="again"))
    assert agent.codes(3)[-1] == "FILLED"
    (row,) = [each for each in answer(alice, "audit", "show") if each.get("type") == "risk_reset"]
    assert row["detail"]["kind"] == "DRAWDOWN"
    assert row["config_hash"] == answer(alice, "risk", "status")["config_hash"]
    assert answer(alice, "audit", "verify")["broken_at"] is None


def test_risk_status_says_how_much_of_each_limit_is_used(up, agents, alice):
    agent = agents.online(alice)
    lost(up, agent)
    data = answer(alice, "risk", "status")
    used = {(each["name"], each["of"]): each for each in data["limits"]}
    assert used["max_drawdown_percent", ""]["value"] == used["daily_loss", ""]["value"] != "0"
    assert float(used["max_drawdown_percent", ""]["percent"]) > 100
    assert used["max_orders_per_minute", ""]["value"] == "1"
    assert used["max_open_positions", ""]["limit"] == "5"
    assert float(used["max_ticker_exposure_percent", "AAPL"]["value"]) > 0
    assert ("max_catalyst_exposure_percent", "fda") in used
    assert data["engine"]["state"] == "OK"
    assert data["session"]["allowed"] == ["pre", "regular", "after", "closed"]
    assert [each["name"] for each in data["holds"]] == ["DRAWDOWN"]
    text = said(alice, "risk", "status")
    assert "█" in text
    assert "entries stopped: DRAWDOWN since" in text
    assert "risk reset DRAWDOWN --confirm" in text


def test_resume_says_what_still_stops_entries_and_is_journaled(up, agents, alice):
    agent = agents.online(alice)
    lost(up, agent)
    answer(alice, "halt", "--reason", "pause")
    data = answer(alice, "resume")
    assert (data["before"], data["after"], data["operator"]) == ("HALTED", "ACTIVE", "ACTIVE")
    assert [each["name"] for each in data["holds"]] == ["DRAWDOWN"]
    assert "entries are still stopped: DRAWDOWN" in said(alice, "resume")
    (row,) = [each for each in answer(alice, "audit", "show") if each.get("type") == "trading_loosened"]
    assert (row["detail"]["before"], row["detail"]["after"], row["detail"]["reason"]) == ("HALTED", "ACTIVE", "")
    assert "trading_loosened" in said(alice, "audit", "show")


# Closing everything -----------------------------------------------------------------------------------------------


def test_flatten_closes_every_position_while_halted(up, agents, alice):
    agent = agents.online(alice)
    assert "nothing to close" in said(alice, "flatten")
    publish(up, a_signal(), a_signal("MSFT", news="other"))
    assert agent.codes(2) == ["FILLED", "FILLED"]
    answer(alice, "halt")
    assert "asks for your word" in refused(alice, ExitCode.INPUT, "INPUT_INVALID", "flatten")
    assert len(answer(alice, "positions")["positions"]) == 2
    data = answer(alice, "flatten", "--yes", "--reason", "holiday")
    assert ({each["ticker"] for each in data["positions"]}, data["is_running"]) == ({"AAPL", "MSFT"}, True)
    waited(lambda: not answer(alice, "positions")["positions"], what="no positions")
    waited(lambda: answer(alice, "status")["flatten_requested_at"] is None, what="the command is done")
    assert answer(alice, "status")["trading"]["local"]["state"] == "HALTED"
    with journal_of(alice) as journal:
        assert [each.leg.value for each in journal.fills()] == ["entry", "entry", "exit", "exit"]


def test_flatten_without_a_running_agent_is_carried_out_at_its_start(up, agents, alice):
    agent = agents.online(alice)
    publish(up, a_signal())
    agent.codes(1)
    assert agent.stop() == ExitCode.OK
    assert "no agent runs" in said(alice, "flatten", "--yes")
    assert len(answer(alice, "positions")["positions"]) == 1
    agents.online(alice)
    waited(lambda: not answer(alice, "positions")["positions"], what="no positions")
    with journal_of(alice) as journal:
        assert len(journal.fills()) == 2
