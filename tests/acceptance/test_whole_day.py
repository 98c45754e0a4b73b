"""The whole wire as processes: a server, a publisher, two friends; and one of them is killed again and again."""

from __future__ import annotations

import os
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from processes import (
    AgentProcess,
    Agents,
    a_signal,
    assert_once_each,
    codes_of,
    command_path,
    durable_state,
    envelope,
    journal_of,
    nth,
    publish,
    run_command,
    with_settings,
)

from signal_contract.codec import encode
from signal_contract.errors import ExitCode
from signal_contract.model import Signal
from signal_contract.subject import is_entitled

RESEARCH = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "catalyst_bot_signals.jsonl"

# After kill -9 the server waits for the dead agent's acknowledgements (30 s) before it delivers again.
BACK_AFTER_KILL_S = 70.0
BUSY = {"max_open_positions": 100, "max_orders_per_minute": 60, "max_trades_per_day": 1000, "fixed_usd": 20}


@pytest.fixture(name="agents")
def _agents() -> Iterator[Agents]:
    """`agents(config)` starts an agent; whatever still runs is ended with the test."""
    with Agents() as started:
        yield started


def test_the_research_file_reaches_each_friend_exactly_once(up: Any, agents: Any) -> None:
    if not RESEARCH.exists():
        pytest.skip("the research data is not beside this checkout")
    only = ["signals.fda.*", "signals.clinical.*"]
    alice, bob = up.add_user("alice", only), up.add_user("bob", ["signals.*.*"])
    of_alice, of_bob = agents.online(alice), agents.online(bob)
    first = envelope(run_command("catalyst", "publish", RESEARCH, "--data", up.data, "--json"))["data"]
    again = envelope(run_command("catalyst", "publish", RESEARCH, "--data", up.data, "--json"))["data"]
    assert (first["published"], first["duplicates"], first["dropped"]["total"]) == (151, 0, 75)
    assert (again["published"], again["duplicates"], again["dropped"]["total"]) == (0, 151, 75)
    of_bob.until_line("decision", 151)
    subjects = [line["subject"] for line in of_bob.of("decision")]
    entitled = [each for each in subjects if is_entitled(each, tuple(only))]
    of_alice.until_line("decision", len(entitled))
    assert (of_alice.stop(), of_bob.stop()) == (ExitCode.OK, ExitCode.OK)
    assert [line["subject"] for line in of_alice.of("decision")] == entitled
    assert 0 < len(entitled) < 151
    for agent, config in ((of_alice, alice), (of_bob, bob)):
        decided = [line["signal_id"] for line in agent.of("decision")]
        assert len(set(decided)) == len(decided)
        assert sorted(codes_of(config)) == sorted(decided)
    assert durable_state(up, "bob") == (0, 0)


def _a_day(start: int, count: int) -> list[Signal]:
    """`count` signals that lead to buys, sales, and refusals of several kinds, each of its own news item."""
    kinds: list[dict[str, Any]] = [
        {},
        {"confidence": "0.4"},
        {},
        {"action": "close", "catalyst": "fraud", "catalysts": ["fraud"]},
        {"reference_price": "250.00", "stop_price": "240.00", "target_price": "300.00"},
        {"action": "watch"},
    ]
    chosen = [kinds[number % len(kinds)] for number in range(count)]
    return [a_signal(f"T{(start + n) // 3}", news=f"news-{start + n}", **kind) for n, kind in enumerate(chosen)]


def test_kill_9_at_any_line_loses_nothing_and_does_nothing_twice(up: Any, agents: Any, tmp_path: Path) -> None:
    if os.name != "posix":
        pytest.skip("kill -9 is POSIX")
    dice = random.Random(20260102)
    alice = with_settings(up.add_user("alice", ["signals.*.*"]), risk=BUSY)
    expected = publish(up, *_a_day(0, 90))
    runs: list[AgentProcess] = []
    for _ in range(4):  # while it works through what waited
        runs.append(agents(alice, kill_when=nth("decision", dice.randint(1, 12))))
        assert runs[-1].ended(BACK_AFTER_KILL_S) == -9
    more = _a_day(90, 90)
    with _publishing(up, more, tmp_path / "more.jsonl") as publishing:  # while new ones arrive and are acknowledged
        runs.append(agents(alice, kill_when=nth("decision", 60)))
        assert runs[-1].ended(BACK_AFTER_KILL_S) == -9
        assert publishing.wait(30) == 0
    runs.append(agents(alice, kill_when=nth("connected", 1)))  # before what is in flight has come
    assert runs[-1].ended(BACK_AFTER_KILL_S) == -9
    runs.append(agents(alice, "--until-drained"))
    assert runs[-1].ended(BACK_AFTER_KILL_S) == ExitCode.OK, runs[-1].said
    assert_once_each(alice, [*expected, *more])
    reported = [(line["signal_id"], line["revision"]) for run in runs for line in run.of("decision")]
    assert len(set(reported)) == len(reported), "a decision was made twice"
    assert durable_state(up, "alice") == (0, 0)
    with journal_of(alice) as journal:
        assert len(journal.fills()) >= 30


def _publishing(up: Any, signals: list[Signal], file: Path) -> subprocess.Popen[bytes]:
    """`catalyst publish` in the background."""
    file.write_bytes(b"".join(encode(each) + b"\n" for each in signals))
    command = [command_path("catalyst"), "publish", str(file), "--data", str(up.data)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
