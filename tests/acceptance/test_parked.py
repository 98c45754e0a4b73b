"""`parked`, `journal prune` and `status --check` as processes, beside a journal whose agent does not run."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import filelock
import pytest
from agent_process import agent, answer
from processes import a_signal, refusal

from signal_contract.codec import encode
from signal_contract.control import Control, Verb
from signal_contract.creds import creds_text, write_secret
from signal_contract.errors import ExitCode
from signal_contract.nkey import KeyKind, KeyPair
from signal_contract.signing import Signer
from subscriber_agent.journal import Arrival, Journal

NOW = datetime.now(UTC)
SUBJECT = "signals.fda.AAPL"
HOSTILE = b"\x1b[31mred\x00\xff"


class Home:
    """A friend's directory: config, creds and a journal, and the publisher's key."""

    def __init__(self, root: Path) -> None:
        key = KeyPair.generate(KeyKind.USER)
        details = {"type": "user", "version": 2, "issuer_account": "ACCOUNT", "tags": ["role:subscriber"]}
        claims = {"sub": key.public, "name": "alice", "iss": "ACCOUNT", "nats": details}
        parts = [base64.urlsafe_b64encode(json.dumps(each).encode()).decode().rstrip("=") for each in ({}, claims)]
        write_secret(root / "alice.creds", creds_text(f"{parts[0]}.{parts[1]}.signature", key.seed))
        self.signer = Signer.generate()
        self.data, self.config = root / "data", root / "agent.yaml"
        self.config.write_text(
            'servers: ["nats://127.0.0.1:1"]\ncreds: alice.creds\ndata: data\n'
            f'publisher_key: "{self.signer.verifier.public_key}"\nprivacy: outcomes\n',
            encoding="utf-8",
        )
        with self.journal() as journal:
            good = encode(a_signal())
            journal.record(
                [
                    Arrival(5, SUBJECT, HOSTILE, NOW, None, "SIGNATURE_INVALID", "no signature\x07"),
                    Arrival(6, SUBJECT, good, NOW, None, "SIGNATURE_INVALID", "wrong", self.sign(good)),
                ]
            )

    def sign(self, payload: bytes) -> str:
        return self.signer.sign(SUBJECT, payload)

    def journal(self) -> Journal:
        return Journal.open(self.data / "journal.sqlite")

    def answer(self, *words: object, status: int = 0) -> Any:
        return answer(*words, "--config", self.config, status=status)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def test_parked_messages_are_listed_and_shown_with_nothing_unescaped(home: Home) -> None:
    rows = home.answer("parked", "list")["data"]
    assert [(row["number"], row["seq"], row["code"]) for row in rows] == [
        (2, 6, "SIGNATURE_INVALID"),
        (1, 5, "SIGNATURE_INVALID"),
    ]
    shown = home.answer("parked", "show", 1)["data"]
    assert (bytes.fromhex(shown["hex"]), shown["bytes"], shown["document"]) == (HOSTILE, len(HOSTILE), None)
    assert shown["today"]["code"] == "SIGNATURE_INVALID"
    for words in (["list"], ["show", 1]):
        done = agent("parked", *words, "--config", home.config)
        assert done.returncode == 0
        assert all(each.isprintable() or each == "\n" for each in done.stdout)
    assert HOSTILE.hex() in done.stdout


def test_a_message_that_passes_today_says_so_and_is_taken_up(home: Home) -> None:
    shown = home.answer("parked", "show", 2)["data"]
    assert (shown["today"]["code"], shown["document"]["ticker"]) == (None, "AAPL")
    assert home.answer("parked", "retry", 2)["data"][0]["outcome"] == "taken up"
    with home.journal() as journal:
        assert [each.stream_seq for each in journal.undecided()] == [6]
        assert [each.number for each in journal.parked()] == [1]
    assert "there is no parked message 2" in refusal(
        ExitCode.NOT_FOUND, "NOT_FOUND", "subscriber-agent", "parked", "retry", "2", "--config", home.config
    )


def test_trying_all_again_names_what_stays_and_ends_with_partial(home: Home) -> None:
    result = home.answer("parked", "retry", "--all", status=ExitCode.PARTIAL)
    assert [(row["number"], row["outcome"]) for row in result["data"]] == [(1, "set aside"), (2, "taken up")]
    assert [each["code"] for each in result["errors"]] == ["SIGNATURE_INVALID"]
    home.answer("parked", "retry", status=ExitCode.INPUT)
    home.answer("parked", "retry", 1, "--all", status=ExitCode.INPUT)


def test_pruning_counts_first_and_says_what_it_took_for_the_streams_start(home: Home) -> None:
    old = NOW - timedelta(days=100)
    with home.journal() as journal:
        journal.record([Arrival(1, SUBJECT, b"?", old, None, "SIGNATURE_INVALID", "why")])
        journal.set_meta("heartbeat", json.dumps(a_heartbeat(first_sequence=5)))
    for options in (["--dry-run"], []):
        data = home.answer("journal", "prune", "--older-than", "90d", *options)["data"]
        assert (data["parked"], data["seen"], data["stream_first_sequence"]) == (1, 1, 5)
    assert home.answer("journal", "prune")["data"]["parked"] == 0
    home.answer("journal", "prune", "--older-than", "soon", status=ExitCode.INPUT)


def a_heartbeat(**changes: Any) -> dict[str, Any]:
    fields = {"at": NOW.isoformat(), "state": "up", "last_sequence": 9, "first_sequence": 1, "classifier": None}
    return {**fields, **changes}


def test_status_shows_the_link_the_operator_and_what_waits(home: Home) -> None:
    fields = {"user": None, "issued_at": NOW}
    halt = Control(control_id="1" * 32, verb=Verb.HALT, reason="broker down", **fields)
    notice = Control(control_id="2" * 32, verb=Verb.NOTICE, reason="back at noon", **fields)
    with home.journal() as journal:
        journal.record(
            [
                Arrival(7, halt.subject, b"7", NOW, None, None, "", control=halt),
                Arrival(8, notice.subject, b"8", NOW, None, None, "", control=notice),
            ]
        )
        journal.set_link("QUIET", "the publisher gives no sign of life", NOW)
        journal.set_progress(8, 3, NOW)
        journal.set_meta("heartbeat", json.dumps(a_heartbeat()))
    lock = filelock.FileLock(home.data / "agent.lock")
    with lock:
        data = home.answer("status", "--check")["data"]
        text = agent("status", "--config", home.config).stdout
    assert (data["link"]["state"], data["position"], data["pending"], data["parked"]) == ("QUIET", 8, 3, 2)
    assert (data["control"]["verb"], data["notice"]["reason"]) == ("halt", "back at noon")
    assert data["trading"]["operator"] | {"since": None} == {"state": "HALTED", "reason": "broker down", "since": None}
    assert (data["privacy"], data["feedback"]) == ("outcomes", {"waiting": 0, "dropped": 0})
    assert data["heartbeat"]["age_s"] >= 0
    for words in ("QUIET since", "operator HALTED broker down", "back at noon", "sequence 8, 3 waiting", "outbox up"):
        assert words in text


def test_resuming_says_that_a_word_to_this_friend_alone_still_counts(home: Home) -> None:
    word = Control(control_id="3" * 32, verb=Verb.REDUCE, user="alice", reason="", issued_at=NOW)
    with home.journal() as journal:
        journal.record([Arrival(9, word.subject, b"9", NOW, None, None, "", control=word)])
    assert home.answer("resume")["data"] == {
        "before": "ACTIVE",
        "after": "ACTIVE",
        "operator": "REDUCING",
        "holds": [],
    }


def test_status_check_fails_unless_the_agent_runs_and_signals_flow(home: Home) -> None:
    check = ("subscriber-agent", "status", "--check", "--config", home.config)
    assert "does not run" in refusal(ExitCode.NOT_LIVE, "LINK_NOT_LIVE", *check)
    with filelock.FileLock(home.data / "agent.lock"):
        assert "never connected" in refusal(ExitCode.NOT_LIVE, "LINK_NOT_LIVE", *check)
        with home.journal() as journal:
            journal.set_link("LAGGING", "messages wait", NOW)
        assert "LAGGING since" in refusal(ExitCode.NOT_LIVE, "LINK_NOT_LIVE", *check)
        with home.journal() as journal:
            journal.set_link("LIVE", "signals flow", NOW)
        assert home.answer("status", "--check")["status"] == "ok"
        assert agent("status", "--check", "--config", home.config).stdout.startswith("LIVE since")
    (home.data / "journal.sqlite").unlink()
    refusal(ExitCode.NOT_LIVE, "LINK_NOT_LIVE", *check)
    home.answer("status", status=ExitCode.NOT_FOUND)


@pytest.mark.parametrize("mistake", ["alert_after_s: soon\n", "risk: [\n", "colour: red\n"])
def test_a_halt_works_with_mistakes_in_the_config_and_a_resume_names_them(home: Home, mistake: str) -> None:
    home.config.write_text(home.config.read_text(encoding="utf-8") + mistake, encoding="utf-8")
    assert home.answer("halt")["data"]["after"] == "HALTED"
    refused = home.answer("resume", status=ExitCode.CONFIG)
    assert [each["code"] for each in refused["errors"]] == ["CONFIG_INVALID"]
    with home.journal() as journal:
        latch = journal.latch("local")
        assert latch is not None
        assert latch.value == "HALTED"
