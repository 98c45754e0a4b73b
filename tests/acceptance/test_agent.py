"""`subscriber-agent` as an installed command: how it starts, stops, halts, shows and what it never acts on."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from processes import (
    Agents,
    a_signal,
    codes_of,
    durable_state,
    envelope,
    journal_of,
    publish,
    refusal,
    run_command,
    with_link,
    with_settings,
)

from signal_contract.codec import encode
from signal_contract.errors import ExitCode
from signal_contract.signing import MESSAGE_ID_HEADER, SIGNATURE_HEADER, Signer

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals are sent as on POSIX")


@pytest.fixture(name="agents")
def _agents() -> Iterator[Agents]:
    """`agents(config)` starts an agent; whatever still runs is ended with the test."""
    with Agents() as started:
        yield started


def friend(*words: object) -> Any:
    """Run `subscriber-agent …` that must work."""
    done = run_command("subscriber-agent", *words)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


# Starting and stopping --------------------------------------------------------------------------------------------


def test_sigterm_and_ctrl_c_end_it_with_0_and_a_clean_journal(up, agents):
    alice = up.add_user("alice", ["signals.*.*"])
    for number in (signal.SIGTERM, signal.SIGINT):
        agent = agents.online(alice)
        before = time.monotonic()
        agent.process.send_signal(number)
        assert agent.ended() == ExitCode.OK
        assert time.monotonic() - before < 5
        assert agent.lines[-1]["type"] == "stopped"
        with journal_of(alice) as journal:
            assert journal.meta("is_clean") == "1"


def test_sigterm_is_heard_while_it_decides_on_a_long_backlog(up, agents):
    alice = up.add_user("alice", ["signals.*.*"])
    sent = publish(up, *(a_signal(f"T{n}", news=f"news-{n}") for n in range(250)))
    agent = agents(alice)
    agent.until_line("decision")
    assert agent.stop() == ExitCode.OK
    assert 0 < len(agent.of("decision")) < len(sent), "it went on deciding"
    assert durable_state(up, "alice") == (0, 0)
    again = agents(alice, "--until-drained")
    assert again.ended(60) == ExitCode.OK
    decided = [line["signal_id"] for run in (agent, again) for line in run.of("decision")]
    assert sorted(decided) == sorted(each.signal_id for each in sent)


def test_a_second_agent_on_the_same_identity_is_refused(up, agents):
    alice = up.add_user("alice", ["signals.*.*"])
    first = agents.online(alice)
    message = refusal(ExitCode.ALREADY_RUNNING, "ALREADY_RUNNING", "subscriber-agent", "run", "--config", alice)
    assert "alice" in message
    publish(up, a_signal())
    assert first.codes(1) == ["FILLED"]


def test_two_friends_run_side_by_side_and_each_gets_his_own(up, agents):
    alice, bob = up.add_user("alice", ["signals.fda.*"]), up.add_user("bob", ["signals.*.MSFT"])
    of_alice, of_bob = agents.online(alice), agents.online(bob)
    fda, other = a_signal("AAPL"), a_signal("MSFT", catalyst="merger", catalysts=["merger"])
    publish(up, fda, other)
    assert of_alice.until_line("decision")["signal_id"] == fda.signal_id
    assert of_bob.until_line("decision")["signal_id"] == other.signal_id
    assert (of_alice.stop(), of_bob.stop()) == (0, 0)
    assert (list(codes_of(alice)), list(codes_of(bob))) == ([fda.signal_id], [other.signal_id])


def test_it_goes_on_when_the_server_was_killed_and_loses_nothing(up, agents):
    alice = with_settings(up.add_user("alice", ["signals.*.*"]), risk={"max_orders_per_minute": 60})
    agent = agents.online(alice)
    tickers = ("AA", "BB", "CC")
    for number, ticker in enumerate(tickers, start=1):
        publish(up, a_signal(ticker))
        assert agent.codes(number) == ["FILLED"] * number
        os.kill(json.loads((up.data / "server.json").read_text())["nats_pid"], signal.SIGKILL)
        agent.until_line("reconnected", number)
    assert len(agent.of("disconnected")) == len(tickers)
    assert agent.stop() == ExitCode.OK
    assert sorted(codes_of(alice).values()) == ["ACCEPTED"] * len(tickers)


def test_until_drained_catches_up_and_ends(up):
    alice = up.add_user("alice", ["signals.*.*"])
    publish(up, a_signal("AA"), a_signal("BB"))
    lines = [json.loads(text) for text in friend("run", "--until-drained", "--json", "-c", alice).stdout.splitlines()]
    lines = [line for line in lines if line["type"] != "link"]
    assert [line["type"] for line in lines] == ["connected", "decision", "decision", "caught_up", "stopped"]
    assert lines[3]["missed"] == 2
    assert durable_state(up, "alice") == (0, 0)


def test_text_output_says_what_was_decided(up):
    alice = up.add_user("alice", ["signals.*.*"])
    publish(up, a_signal("AA"), a_signal("BB", confidence="0.5"))
    done = friend("run", "--until-drained", "-c", alice)
    bought, refused = done.stdout.splitlines()
    assert "buy 100 @ 5 FILLED" in bought
    assert "refused: LOW_CONFIDENCE" in refused
    assert "connected as alice; 2 signals waiting" in done.stderr
    assert "caught up: 2 missed: 1 low confidence, 1 acted on" in done.stderr


# Halt ---------------------------------------------------------------------------------------------------------------


def test_halt_stops_the_very_next_signal_survives_a_restart_and_resume_ends_it(up, agents):
    alice = up.add_user("alice", ["signals.*.*"])
    agent = agents.online(alice)
    publish(up, a_signal("AA"))
    assert agent.codes(1) == ["FILLED"]
    halted = envelope(friend("halt", "--reason", "earnings day", "-c", alice, "--json"))["data"]
    assert halted == {"before": "ACTIVE", "after": "HALTED", "operator": "ACTIVE", "holds": []}
    publish(up, a_signal("BB"), a_signal("AA", action="close", catalyst="fraud", catalysts=["fraud"]))
    assert agent.codes(3)[1:] == ["HALTED", "HALTED"]
    assert agent.stop() == ExitCode.OK
    again = agents.online(alice)
    publish(up, a_signal("CC"))
    assert again.codes(1) == ["HALTED"]
    assert "earnings day" in friend("status", "-c", alice).stdout
    assert "HALTED → ACTIVE" in friend("resume", "-c", alice).stdout
    publish(up, a_signal("DD"))
    assert again.codes(2)[1:] == ["FILLED"]


def test_reduce_refuses_entries_and_lets_exits_through(up, agents):
    alice = up.add_user("alice", ["signals.*.*"])
    agent = agents.online(alice)
    publish(up, a_signal("AA"))
    agent.until_line("decision")
    friend("reduce", "-c", alice)
    publish(up, a_signal("BB"), a_signal("AA", action="close", catalyst="fraud", catalysts=["fraud"]))
    assert agent.codes(3) == ["FILLED", "REDUCING", "FILLED"]
    assert envelope(friend("positions", "-c", alice, "--json"))["data"]["positions"] == []


# Showing ------------------------------------------------------------------------------------------------------------


def test_before_the_first_run_each_command_says_what_to_run(up):
    alice = up.add_user("alice", ["signals.*.*"])
    for words in (["status"], ["explain", "3f9a"], ["halt"]):
        message = refusal(ExitCode.NOT_FOUND, "NOT_FOUND", "subscriber-agent", *words, "--config", alice)
        assert "nothing received yet" in message


def test_views_answer_beside_a_running_agent_and_without_one(up, agents):
    alice = up.add_user("alice", ["signals.*.*"])
    agent = agents.online(alice)
    bought, refused = publish(up, a_signal("AA"), a_signal("BB", confidence="0.5"))
    agent.codes(2)
    status = envelope(friend("status", "-c", alice, "--json"))["data"]
    assert (status["running"], status["link"]["state"]) == (True, "LIVE")
    rows = envelope(friend("signals", "-c", alice, "--json"))["data"]
    assert [(row["ticker"], row["verdict"], row["code"], row["order"]) for row in rows] == [
        ("BB", "REFUSED", "LOW_CONFIDENCE", None),
        ("AA", "ACCEPTED", None, "FILLED"),
    ]
    (held,) = envelope(friend("positions", "-c", alice, "--json"))["data"]["positions"]
    assert (held["ticker"], Decimal(held["quantity"]), Decimal(held["average_price"])) == ("AA", 100, 5)
    assert agent.stop() == ExitCode.OK
    status = envelope(friend("status", "-c", alice, "--json"))
    assert status["command"] == "subscriber-agent status"
    data = status["data"]
    assert (data["running"], data["link"]["state"]) == (False, "stopped")
    assert (data["user"], data["mode"], data["undecided"], data["last_sequence"]) == ("alice", "paper", 0, 2)
    assert {each["verdict"]: each["count"] for each in data["decisions"]} == {"ACCEPTED": 1, "REFUSED": 1}
    account = {key: Decimal(value) for key, value in data["account"].items()}
    assert account == {"cash_usd": 9500, "equity_usd": 10000, "realised_usd": 0, "positions": 1}
    only = envelope(friend("signals", "-c", alice, "--verdict", "refused", "--json"))["data"]
    assert [row["signal_id"] for row in only] == [refused.signal_id]
    why = envelope(friend("explain", bought.signal_id[:12], "-c", alice, "--json"))["data"]
    assert (why["decision"]["verdict"], len(why["orders"])) == ("ACCEPTED", 1)


def test_views_in_text_name_what_counts(up):
    alice = up.add_user("alice", ["signals.*.*"])
    _, refused = publish(up, a_signal("AA"), a_signal("BB", confidence="0.5"))
    friend("run", "--until-drained", "-c", alice)
    status = friend("status", "-c", alice).stdout
    assert "not running" in status
    assert "10,000.00 USD, cash 9,500.00, 1 positions" in status
    listed = friend("signals", "-c", alice).stdout
    assert "LOW_CONFIDENCE" in listed
    assert "FILLED" in listed
    assert "AA" in friend("positions", "-c", alice).stdout
    why = friend("explain", refused.signal_id[:10], "-c", alice).stdout
    assert "REFUSED: LOW_CONFIDENCE" in why
    assert "0.5 " in why
    assert "0.7 " in why


def test_explain_of_an_unknown_or_shared_prefix_is_refused(up):
    alice = up.add_user("alice", ["signals.*.*"])
    publish(up, *(a_signal(f"T{n}") for n in range(17)))  # of 17 ids two begin with the same digit
    friend("run", "--until-drained", "-c", alice)
    refusal(ExitCode.NOT_FOUND, "NOT_FOUND", "subscriber-agent", "explain", "not-an-id", "-c", alice)
    first = sorted(key[0] for key in codes_of(alice))
    shared = next(a for a, b in pairwise(first) if a == b)
    message = refusal(ExitCode.INPUT, "INPUT_INVALID", "subscriber-agent", "explain", shared, "-c", alice)
    assert f"begin with {shared!r}" in message
    refusal(ExitCode.INPUT, "INPUT_INVALID", "subscriber-agent", "signals", "--verdict", "maybe", "-c", alice)


def test_config_commands_answer_in_text_and_json(up, tmp_path):
    alice = up.add_user("alice", ["signals.*.*"])
    assert "is fine" in friend("config", "check", "-c", alice).stdout
    checked = envelope(friend("config", "check", "-c", alice, "--json"))
    assert (checked["command"], checked["data"]["file"]) == ("subscriber-agent config check", str(alice))
    assert "risk.min_confidence" in friend("config", "show", "-c", alice).stdout
    assert envelope(friend("config", "show", "-c", alice, "--json"))["data"]["risk"]["min_confidence"] == "0.70"
    example = friend("config", "example").stdout
    assert envelope(friend("config", "example", "--json"))["data"]["yaml"] == example
    (tmp_path / "agent.yaml").write_text(example, encoding="utf-8")
    assert "is fine" in friend("config", "check", "-c", tmp_path / "agent.yaml").stdout


# What is never acted on ---------------------------------------------------------------------------------------------


def test_entries_that_waited_too_long_are_refused_and_fresh_ones_are_not(up):
    alice = up.add_user("alice", ["signals.*.*"])
    old = a_signal("AA", age_s=600)
    over = a_signal("BB", age_s=60, expires_at=a_signal(age_s=30).published_at.isoformat())
    ahead = a_signal("CC", age_s=-600)
    publish(up, old, over, ahead, a_signal("DD"))
    friend("run", "--until-drained", "-c", alice)
    assert list(reversed(codes_of(alice).values())) == ["STALE", "EXPIRED", "CLOCK_SKEW", "ACCEPTED"]


def test_what_the_publisher_did_not_sign_for_this_subject_is_set_aside_and_holds_up_nothing(up, agents):
    alice = up.add_user("alice", ["signals.*.*"])
    agent = agents.online(alice)
    own = Signer.from_secret_text(next((up.data / "publisher").glob("*seed*")).read_text())
    payload, subject, other = encode(a_signal()), "signals.fda.AAPL", "signals.fda.MSFT"
    stranger, newer = Signer.generate(), payload.replace(b'"schema_version":1', b'"schema_version":9')
    forged = [
        (subject, payload, None),
        (subject, payload, "no base64"),
        (subject, payload, stranger.sign(subject, payload)),
        (subject, payload.replace(b'"5.00"', b'"4.00"'), own.sign(subject, payload)),
        (other, payload, own.sign(subject, payload)),
        (other, payload, own.sign(other, payload)),
        (subject, b"{}", own.sign(subject, b"{}")),
        (subject, newer, own.sign(subject, newer)),
    ]

    async def send(link: Any) -> None:
        for number, (where, data, signature) in enumerate(forged):
            headers = {MESSAGE_ID_HEADER: f"forged-{number}"} | ({SIGNATURE_HEADER: signature} if signature else {})
            await link.publish_stored(where, data, headers=headers)

    with_link(up, "publisher", send)
    publish(up, a_signal())
    assert agent.codes(1) == ["FILLED"]
    codes = [*["SIGNATURE_INVALID"] * 6, "SCHEMA_INVALID", "SCHEMA_TOO_NEW"]
    assert [line["code"] for line in agent.of("parked")] == codes
    assert agent.stop() == ExitCode.OK
    assert durable_state(up, "alice") == (0, 0)
    with journal_of(alice) as journal:
        assert [each.code for each in reversed(journal.parked())] == codes
        assert [row.verdict for row in journal.signals()] == ["ACCEPTED"]
    again = agents(alice, "--until-drained")
    assert again.ended() == ExitCode.OK
    assert again.of("parked") == again.of("decision") == []
