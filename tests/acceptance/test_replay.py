"""`subscriber-agent replay` as installed: a file, the journal of a real run, and the same bytes every time."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from agent_process import agent, answer

from signal_contract.codec import encode, signal_id_from
from signal_contract.errors import ExitCode
from signal_contract.model import Action, Classifier, ClassifierMode, Event, Market, News, Priority, Signal
from signal_contract.resources import resource_path

_AT = datetime(2026, 1, 5, 15, 0, tzinfo=UTC)
_SAMPLE = "config/samples/catalyst_bot_signals.jsonl"


def a_line(number: int, confidence: str = "0.9") -> bytes:
    """A buy at 5.00 at 10 o'clock in New York and `number` minutes."""
    at, news, ticker = _AT + timedelta(minutes=number), f"news-{number}", f"T{number}"
    fields: dict[str, Any] = {
        "schema_version": 1,
        "signal_id": signal_id_from(news, ticker, Action.BUY),
        "revision": 1,
        "event": Event.NEW,
        "action": Action.BUY,
        "ticker": ticker,
        "catalyst": "fda",
        "catalysts": ("fda",),
        "confidence": confidence,
        "score": None,
        "sentiment": None,
        "reference_price": "5",
        "reference_price_at": at,
        "stop_price": "4.75",
        "target_price": "6",
        "suggested_size_fraction": None,
        "news": News(id=news, title="Made up", url=None, source="test", published_at=None),
        "market": Market(),
        "classified_at": at,
        "published_at": at,
        "expires_at": at + timedelta(hours=1),
        "classifier": Classifier(name="test", version="1", mode=ClassifierMode.LLM, degraded=False),
        "priority": Priority.NORMAL,
        "meta": {},
    }
    return encode(Signal.model_validate(fields))


def a_config(path: Path, risk: str = "{}") -> Path:
    key = "ed25519:" + "A" * 43
    lines = ['servers: ["nats://127.0.0.1:1"]', "creds: none.creds", f'publisher_key: "{key}"', f"risk: {risk}"]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def past(tmp_path: Path) -> Path:
    """Ten signals, the third below the default confidence."""
    path = tmp_path / "past.jsonl"
    path.write_bytes(b"".join(a_line(n, "0.65" if n == 3 else "0.9") + b"\n" for n in range(1, 11)))
    return path


def test_two_configs_are_compared_and_everything_asked_for_is_written(tmp_path: Path, past: Path) -> None:
    first = a_config(tmp_path / "mine.yaml", "{sessions: [regular], max_open_positions: 3}")
    second = a_config(tmp_path / "wider.yaml", "{min_confidence: 0.6, max_open_positions: 3}")
    csv, page = tmp_path / "out.csv", tmp_path / "out.html"
    options = ("--file", past, "--config", first, "--compare", second, "--csv", csv, "--chart", page)
    data = answer("replay", *options)["data"]
    mine, wider = data["configs"]
    assert (mine["name"], wider["name"], mine["signals"], mine["taken"]) == ("mine.yaml", "wider.yaml", 10, 3)
    assert mine["refused"]["LOW_CONFIDENCE"] == 1
    assert [each["ticker"] for each in data["differences"]["signals"]] == ["T3", "T4"]
    assert len(csv.read_text().splitlines()) == 11
    assert "<svg" in page.read_text()
    text = agent("replay", *options)
    assert text.returncode == 0, text.stderr
    assert "2 signals come out otherwise" in text.stdout
    assert "LOW_CONFIDENCE (confidence: 0.65, allowed 0.7)" in text.stdout
    assert "equity USD" in text.stdout


def test_the_same_input_gives_the_same_bytes_in_every_process(tmp_path: Path, past: Path) -> None:
    config = a_config(tmp_path / "mine.yaml")
    outputs = {
        agent("replay", "--file", past, "--config", config, "--json", PYTHONHASHSEED=seed, TZ=zone).stdout
        for seed, zone in (("1", "UTC"), ("2", "Asia/Tokyo"), ("77", "America/New_York"))
    }
    assert len(outputs) == 1
    assert json.loads(outputs.pop())["data"]["configs"][0]["signals"] == 10


def test_bad_lines_are_named_and_the_rest_is_answered(tmp_path: Path, past: Path) -> None:
    past.write_bytes(past.read_bytes() + b"{\n" + b'{"schema_version": 1}\n')
    config = a_config(tmp_path / "mine.yaml")
    envelope = answer("replay", "--file", past, "--config", config, status=ExitCode.PARTIAL)
    assert (envelope["status"], envelope["data"]["bad_lines"]["count"]) == ("partial", 2)
    assert [each["message"].split(" is ")[0] for each in envelope["errors"]] == ["line 11", "line 12"]


def test_quotes_carry_a_target_out(tmp_path: Path, past: Path) -> None:
    quotes = tmp_path / "quotes.csv"
    quotes.write_text("ts,ticker,price\n2026-01-05T16:00:00Z,T1,6.5\n", encoding="utf-8")
    config = a_config(tmp_path / "mine.yaml")
    data = answer("replay", "--file", past, "--config", config, "--quotes", quotes)["data"]
    assert (data["quotes"], data["configs"][0]["exits"]["by_target"], data["configs"][0]["won"]) == (1, 1, 1)


@pytest.mark.parametrize(
    ("options", "status"),
    [
        (("--file", "none.jsonl"), ExitCode.NOT_FOUND),
        (("--file", "none.jsonl", "--since", "3d"), ExitCode.INPUT),
        (("--file", "none.jsonl", "--chart", "x.gif"), ExitCode.INPUT),
        (("--file", "none.jsonl", "--latency", "soon"), ExitCode.INPUT),
        (("--since", "30d"), ExitCode.CREDS),
    ],
)
def test_what_cannot_be_done_has_its_own_status(tmp_path: Path, options: tuple[str, ...], status: ExitCode) -> None:
    config = a_config(tmp_path / "mine.yaml")
    assert answer("replay", "--config", config, *options, status=status)["errors"][0]["hint"]


def test_the_journal_of_a_real_run_is_replayed_beside_it(up: Any) -> None:
    config = Path(up.add_user("alice", ["signals.>"]))
    up.run("publish", str(resource_path(_SAMPLE)))
    run = agent("run", "--config", config, "--until-drained")
    assert run.returncode == 0, run.stderr
    before = answer("signals", "--config", config, "--limit", 100)["data"]
    whole = answer("replay", "--config", config, "--limit", 100)["data"]
    assert [each["signal_id"] for each in whole["signals"]] == [each["signal_id"] for each in reversed(before)]
    assert answer("replay", "--config", config, "--since", "1h")["data"]["configs"][0]["signals"] == len(before)
    assert answer("replay", "--config", config, "--since", "2999-01-01")["data"]["configs"][0]["signals"] == 0
    assert answer("signals", "--config", config, "--limit", 100)["data"] == before
