"""Mode `approve` with installed commands: what asks waits, a yes is ordered once, a no and a late yes never."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
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
    """A friend who wants to be asked before each entry."""
    return with_settings(up.add_user("alice", ["signals.*.*"]), mode="approve")


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


def ordered(config: Path) -> list[str]:
    """The tickers of which something was filled."""
    with journal_of(config) as journal:
        return [each.ticker for each in journal.fills()]


def test_what_asks_waits_and_a_yes_is_ordered_once(up, agents, alice):
    agent = agents.online(alice)
    (sent,) = publish(up, a_signal())
    assert agent.codes(1) == ["APPROVAL_REQUIRED"]
    (row,) = answer(alice, "approvals")
    assert (row["signal_id"], row["state"], row["side"], row["ticker"]) == (sent.signal_id, "waiting", "buy", "AAPL")
    assert (row["quantity"], row["stop_price"], row["notional_usd"] != "0") == ("100", "4.75", True)
    assert 0 < row["seconds_left"] <= 120
    assert "buy 100 AAPL" in said(alice, "approvals")
    assert answer(alice, "status")["approvals"] == 1
    assert ordered(alice) == []

    data = answer(alice, "approve", sent.signal_id[:6])
    assert (data["state"], data["is_running"]) == ("approved", True)
    assert agent.codes(2) == ["APPROVAL_REQUIRED", "FILLED"]
    assert ordered(alice) == ["AAPL"]
    assert answer(alice, "approvals") == []
    assert [each["state"] for each in answer(alice, "approvals", "--all")] == ["done"]
    message = refusal(
        ExitCode.CONFLICT, "CONFLICT", "subscriber-agent", "approve", sent.signal_id, "--config", str(alice)
    )
    assert "approved already" in message
    (line,) = answer(alice, "signals")
    assert (line["verdict"], line["order"]) == ("ACCEPTED", "FILLED")
    first, second, *loosened = answer(alice, "audit", "show")
    assert [(each["log"], each["attempt"]) for each in (first, second)] == [("decisions", 1), ("decisions", 2)]
    assert (loosened[-1]["type"], loosened[-1]["config_hash"]) == ("approved", first["config_hash"])
    assert answer(alice, "audit", "verify")["loosened"]["rows"] == len(loosened)


def test_a_no_orders_nothing_and_is_final(up, agents, alice):
    agent = agents.online(alice)
    (sent, other) = publish(up, a_signal(), a_signal("MSFT", news="other"))
    agent.codes(2)
    assert "It will not be ordered" in said(alice, "reject", sent.signal_id[:8])
    answer(alice, "approve", other.signal_id[:8])
    assert agent.codes(3)[-1] == "FILLED"
    assert ordered(alice) == ["MSFT"]
    for word in ("approve", "reject"):
        message = refusal(
            ExitCode.CONFLICT, "CONFLICT", "subscriber-agent", word, sent.signal_id, "--config", str(alice)
        )
        assert "rejected already" in message


def test_what_nobody_answers_in_time_expires_and_a_late_yes_is_refused(up, agents, alice):
    agent = agents.online(alice)
    soon = datetime.now(UTC) + timedelta(seconds=6)
    (sent,) = publish(up, a_signal(expires_at=soon.isoformat()))
    assert agent.codes(1) == ["APPROVAL_REQUIRED"]
    agent.until_line("approval_ended")
    message = refusal(
        ExitCode.CONFLICT, "CONFLICT", "subscriber-agent", "approve", sent.signal_id, "--config", str(alice)
    )
    assert "expired" in message
    assert ordered(alice) == []
    assert [each["state"] for each in answer(alice, "approvals", "--all")] == ["expired"]


def test_a_yes_without_a_running_agent_is_ordered_when_it_runs(up, agents, alice):
    agent = agents.online(alice)
    (sent,) = publish(up, a_signal())
    agent.codes(1)
    assert agent.stop() == ExitCode.OK
    text = said(alice, "approve", sent.signal_id[:8])
    assert "No agent runs" in text
    assert "the rules of then" in text
    assert ordered(alice) == []
    again = agents(alice)
    assert again.codes(1) == ["FILLED"]
    assert ordered(alice) == ["AAPL"]


def test_a_yes_during_a_halt_orders_nothing(up, agents, alice):
    agent = agents.online(alice)
    (sent,) = publish(up, a_signal())
    agent.codes(1)
    answer(alice, "halt")
    answer(alice, "approve", sent.signal_id[:8])
    assert agent.codes(2)[-1] != "FILLED"
    assert ordered(alice) == []


def test_what_was_never_asked_or_is_not_clear_is_refused_by_name(up, agents, alice):
    agent = agents.online(alice)
    publish(up, *(a_signal(f"T{n}", news=f"news-{n}") for n in range(17)))
    agent.codes(17)
    # Of 17 ids two begin with the same hexadecimal digit.
    ids = [each["signal_id"] for each in answer(alice, "approvals")]
    shared = next(each[0] for each in ids if sum(other[0] == each[0] for other in ids) > 1)
    refusal(ExitCode.INPUT, "INPUT_INVALID", "subscriber-agent", "approve", shared, "--config", str(alice))
    for words in (["zz"], [ids[0], "--revision", "2"]):
        refusal(ExitCode.NOT_FOUND, "NOT_FOUND", "subscriber-agent", "approve", *words, "--config", str(alice))
    assert ordered(alice) == []
