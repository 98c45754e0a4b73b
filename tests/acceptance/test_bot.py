"""`catalyst bot run` as a process: the bot's own runner with its alerts published."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from processes import AgentProcess, Agents

from signal_contract.resources import resource_path

_STAND_IN = Path(__file__).parents[1] / "stand_in"
_SAMPLE = "config/samples/catalyst_bot_signals.jsonl"


@pytest.fixture(name="items")
def _items(tmp_path: Path) -> Path:
    """Five records that carry a signal, with a price."""
    lines = []
    for number, line in enumerate(resource_path(_SAMPLE).read_text(encoding="utf-8").splitlines()[:1] * 5):
        record = json.loads(line)
        record["news_item"] |= {"id": f"item-{number}", "price": 5.4}
        lines.append(json.dumps(record))
    path = tmp_path / "items.jsonl"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def run_bot(words: list[str], items: Path, data: Path, folder: Path = _STAND_IN) -> subprocess.CompletedProcess[str]:
    """Run a command in the bot's folder."""
    environment = os.environ | {"BOT_ITEMS": str(items), "CATALYST_DATA": str(data)}
    environment["BOT_ALERTED"] = str(items.with_name("alerted"))
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False, cwd=folder, env=environment)
    assert "Traceback" not in done.stderr, done.stderr
    return done


@contextmanager
def bot_that_goes_on(items: Path, data: Path, stands: Path, cycle_s: int) -> Iterator[subprocess.Popen[str]]:
    """`catalyst bot run` that cycles until its stdin ends, and stands still while the file `stands` is there."""
    environment = os.environ | {"BOT_ITEMS": str(items), "BOT_STANDS": str(stands), "BOT_CYCLE_S": str(cycle_s)}
    command = [catalyst(), "bot", "run", "--data", str(data)]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=_STAND_IN, env=environment
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate(timeout=20)


def catalyst() -> str:
    return str(Path(sys.executable).with_name("catalyst" + (".exe" if os.name == "nt" else "")))


def sent(up: Any) -> list[dict[str, Any]]:
    """What `catalyst signal list` says of this outbox."""
    return list(json.loads(up.run("signal", "list", "--json").stdout)["data"]["signals"])


@pytest.mark.parametrize("by_module", [False, True])
def test_bot_runs_as_ever_and_its_alerts_are_in_the_stream(up: Any, items: Path, by_module: bool) -> None:
    words = [sys.executable, "-m", "publisher.intake.catalyst_bot"] if by_module else [catalyst(), "bot", "run"]
    done = run_bot([*words, "--", "--loop", "--status", "7"], items, up.data)
    assert done.returncode == 7, done.stderr
    assert items.with_name("alerted").read_text().split() == [f'"item-{number}"' for number in range(5)]
    signals = sent(up)
    assert len(signals) == 5
    assert all(each["sequence"] is not None for each in signals), signals


@pytest.mark.skipif(os.name != "posix", reason="the stand-in waits for its stdin as on POSIX")
def test_friends_see_a_bot_that_stands_still_and_that_it_goes_on(up: Any, items: Path, tmp_path: Path) -> None:
    stands, file = tmp_path / "stands", up.data / "publisher" / "classifier.json"
    stands.touch()
    # Three cycles are longer than the 15 s between two heartbeats.
    with Agents() as agents, bot_that_goes_on(items, up.data, stands, cycle_s=6) as bot:
        agent = agents(up.add_user("alice", ["signals.*.*"]))
        agent.until(lambda: _links(agent)[-1:] == ["QUIET"], "the friend sees the standstill", 60)
        assert agent.of("link")[-1]["reason"] == "the classifier has stopped looking at the news"
        assert bot.poll() is None, "it stands still, and has not ended"
        stands.unlink()
        agent.until(lambda: _links(agent)[-1:] == ["LIVE"], "the friend sees that it goes on", 60)
        assert bot.poll() is None
        assert file.exists()
        _, said = bot.communicate(timeout=30)
        assert bot.returncode == 0, said
        assert not file.exists(), "it has ended cleanly: that is no standstill"


def _links(agent: AgentProcess) -> list[str]:
    return [each["state"] for each in agent.of("link")]


@pytest.mark.parametrize("by_line", [False, True])
def test_bot_that_crashes_stays_a_standstill(
    up: Any, items: Path, by_line: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [sys.executable, "-m", "catalyst_bot.runner"] if by_line else [catalyst(), "bot", "run", "--"]
    if by_line:
        monkeypatch.setenv("BOT_INSTALLS", "1")
    environment = os.environ | {"BOT_ITEMS": str(items), "CATALYST_DATA": str(up.data)}
    run = partial(subprocess.run, capture_output=True, text=True, timeout=60, cwd=_STAND_IN, env=environment)
    crashed = run([*words, "--crash"])
    assert crashed.returncode != 0
    assert "the bot's own end" in crashed.stderr
    file = up.data / "publisher" / "classifier.json"
    assert file.exists()
    assert run(words).returncode == 0
    assert not file.exists()


def test_with_approve_the_bots_signals_wait(up: Any, items: Path) -> None:
    done = run_bot([catalyst(), "bot", "run", "--approve"], items, up.data)
    assert done.returncode == 0, done.stderr
    assert "[HELD]" in done.stderr
    assert sent(up) == []


def test_without_a_server_the_bot_runs_and_the_signals_wait(up: Any, items: Path) -> None:
    up.stop()
    done = run_bot([catalyst(), "bot", "run"], items, up.data)
    assert done.returncode == 0, done.stderr
    assert [each["sequence"] for each in sent(up)] == [None] * 5


def test_without_the_bot_it_says_what_to_do(data_dir: Path, items: Path, tmp_path: Path) -> None:
    done = run_bot([catalyst(), "bot", "run"], items, data_dir, folder=tmp_path)
    assert done.returncode == 6
    assert "catalyst_bot" in done.stderr
    assert "environment" in done.stderr


def test_without_an_operator_it_says_what_to_do(data_dir: Path, items: Path) -> None:
    done = run_bot([catalyst(), "bot", "run"], items, data_dir)
    assert done.returncode == 6
    assert "catalyst up" in done.stderr
    assert not items.with_name("alerted").exists()


def test_one_line_in_the_bot_is_enough(up: Any, items: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOT_INSTALLS", "1")
    done = run_bot([sys.executable, "-m", "catalyst_bot.runner", "--status", "3"], items, up.data)
    assert done.returncode == 3, done.stderr
    signals = sent(up)
    assert len(signals) == 5
    assert all(each["sequence"] is not None for each in signals), signals


def test_with_one_line_and_no_operator_the_bot_runs_as_ever(
    data_dir: Path, items: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BOT_INSTALLS", "1")
    done = run_bot([sys.executable, "-m", "catalyst_bot.runner"], items, data_dir)
    assert done.returncode == 0
    assert "catalyst up" in done.stderr
    assert len(items.with_name("alerted").read_text().split()) == 5
