"""`subscriber-agent explain`: as it was decided, as it would be now, and what would have to change."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from processes import a_signal, envelope, journal_of, publish, refusal, run_command, with_settings

from signal_contract.codec import encode
from signal_contract.errors import ExitCode

KEY = "ed25519:" + "A" * 43


def explained(*words: object) -> dict[str, Any]:
    return dict(envelope(run_command("subscriber-agent", "explain", *words, "--json"))["data"])


@pytest.fixture(name="config")
def _config(tmp_path: Path) -> Path:
    """A config whose agent never ran: no journal, no creds, no server."""
    path = tmp_path / "agent.yaml"
    lines = [
        'servers: ["nats://127.0.0.1:1"]',
        "creds: none.creds",
        f'publisher_key: "{KEY}"',
        f"data: {tmp_path}/data",
    ]
    path.write_text("\n".join([*lines, "risk:", '  min_confidence: "0.95"', "  max_ticker_exposure_percent: '0.04'"]))
    return path


def a_file(folder: Path, **changes: Any) -> Path:
    """A signal of now as JSON set out on several lines, as a person keeps it."""
    path = folder / "signal.json"
    path.write_text(json.dumps(json.loads(encode(a_signal("AA", **changes))), indent=2))
    return path


def test_a_file_is_explained_offline_with_every_check_and_what_would_have_to_change(config, tmp_path):
    answer = explained("--file", a_file(tmp_path), "--config", config)
    assert (answer["decision"], answer["attempts"], answer["orders"]) == (None, [], [])
    now = answer["now"]
    assert (now["decision"]["verdict"], now["decision"]["code"]) == ("REFUSED", "LOW_CONFIDENCE")
    assert len(now["decision"]["checks"]) == 50
    assert [(each["code"], each["changes"]) for each in now["remedies"]] == [
        ("LOW_CONFIDENCE", {"min_confidence": answer["signal"]["confidence"]}),
        ("MAX_TICKER_EXPOSURE", {"max_ticker_exposure_percent": "0.1"}),
    ]
    assert any("there is no journal" in each for each in now["unknown"])
    assert not (tmp_path / "data").exists()


def test_the_text_says_seen_limit_and_verdict_in_words(config, tmp_path):
    done = run_command("subscriber-agent", "explain", "--file", a_file(tmp_path), "--config", config)
    text = " ".join(done.stdout.split())
    assert "REFUSED: LOW_CONFIDENCE" in text
    assert "the classifier's confidence is below your minimum" in text
    assert "0.95 REFUSES LOW_CONFIDENCE" in text
    assert "confidence LOW_CONFIDENCE min_confidence: 0." in text
    assert "note: there is no journal" in text


def test_an_accepted_file_shows_the_order_with_what_cut_it_down(config, tmp_path):
    config.write_text(config.read_text().split("risk:")[0] + "risk:\n  fixed_usd: 3000\n  min_confidence: 0")
    done = run_command("subscriber-agent", "explain", "--file", a_file(tmp_path), "--config", config)
    text = " ".join(done.stdout.split())
    assert "ACCEPTED at" in text
    assert "order: buy 200 AA, market, day, stop" in text
    assert "cut down by order value to 1000.00 USD: 200 shares" in text
    assert "What would have to change" not in text


def test_an_expired_signal_has_no_remedy(config, tmp_path):
    ago = datetime.now(UTC) - timedelta(hours=3)
    times = {name: ago.isoformat() for name in ("published_at", "classified_at")}
    times["expires_at"] = (ago + timedelta(hours=1)).isoformat()
    now = explained("--file", a_file(tmp_path, **times), "--config", config)["now"]
    found = {each["code"]: each for each in now["remedies"]}
    assert found["EXPIRED"]["changes"] == {}
    assert found["EXPIRED"]["text"] == "nothing: it is expired"
    assert 10_800 <= float(found["STALE"]["changes"]["max_age_s"]) < 11_000


@pytest.mark.parametrize("content", ["", "{", '{"schema_version": 1}', "[1]", "x" * 1_000_001])
def test_a_file_that_holds_no_signal_is_refused(config, tmp_path, content):
    path = tmp_path / "bad.json"
    path.write_text(content)
    done = run_command("subscriber-agent", "explain", "--file", path, "--config", config, "--json")
    assert envelope(done)["exit_code"] == ExitCode.INPUT


def test_a_file_that_is_not_there_is_refused(config, tmp_path):
    refusal(ExitCode.INPUT, "INPUT_INVALID", "subscriber-agent", "explain", "--file", tmp_path / "no", "-c", config)


@pytest.mark.parametrize("words", [(), ("3f9a", "--last"), ("--last", "--file", "x.json")])
def test_exactly_one_signal_is_named(words):
    done = run_command("subscriber-agent", "explain", *words)
    assert done.returncode == ExitCode.USAGE
    assert "Usage: " in done.stderr


def test_the_journal_shows_how_it_was_decided_and_now_how_it_would_be(up):
    alice = up.add_user("alice", ["signals.*.*"])
    bought, refused = publish(up, a_signal("AA"), a_signal("BB", confidence="0.5"))
    assert run_command("subscriber-agent", "run", "--until-drained", "-c", alice).returncode == 0
    with journal_of(alice) as journal:
        before = journal.chain_head()
    last = explained("--last", "-c", alice)
    assert (last["signal"]["signal_id"], last["now"]) == (refused.signal_id, None)
    assert [each["code"] for each in last["attempts"]] == ["LOW_CONFIDENCE"]
    assert last["decision"] == last["attempts"][-1]
    now = explained(bought.signal_id, "--now", "-c", alice)
    assert now["decision"]["verdict"] == "ACCEPTED"
    found = {each["code"]: each["text"] for each in now["now"]["remedies"]}
    assert now["now"]["decision"]["code"] == "DUPLICATE"
    assert found["ALREADY_IN_POSITION"].startswith("nothing: one position per ticker")
    # The rules of now, not those it was decided by.
    with_settings(alice, risk={"min_confidence": "0.4"})
    assert "LOW_CONFIDENCE" not in {
        each["code"] for each in explained("--last", "--now", "-c", alice)["now"]["remedies"]
    }
    run_command("subscriber-agent", "halt", "-c", alice)
    halted = explained("--last", "--now", "-c", alice)["now"]
    assert halted["decision"]["code"] == "HALTED"
    assert "`subscriber-agent resume`" in halted["remedies"][0]["text"]
    with journal_of(alice) as journal:
        assert journal.chain_head() == before


def test_last_of_an_empty_journal_is_not_found(up):
    alice = up.add_user("alice", ["signals.*.*"])
    assert run_command("subscriber-agent", "run", "--until-drained", "-c", alice).returncode == 0
    refusal(ExitCode.NOT_FOUND, "NOT_FOUND", "subscriber-agent", "explain", "--last", "-c", alice)
