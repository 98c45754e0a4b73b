"""Logs as JSON lines, and the net that keeps secrets out of them."""

import json
import logging

import pytest

from signal_contract.cli.answer import say
from signal_contract.logs import LogFormat, log_event, set_up_logs
from signal_contract.nkey import KeyKind, KeyPair
from signal_contract.redaction import MAX_CHARACTERS, REMOVED, redacted, redacted_value
from signal_contract.signing import Signer

SEED = KeyPair.generate(KeyKind.USER).seed
SEED_TEXT = SEED.decode() if isinstance(SEED, bytes) else str(SEED)
JWT = "eyJ0eXAiOiJKV1QifQ.eyJzdWIiOiJVQUFBIn0.c2lnbmF0dXJl"
SECRETS = {
    "nkey seed": SEED_TEXT,
    "signing seed": Signer.generate().secret_text,
    "age key": "AGE-SECRET-KEY-1" + "Q" * 58,
    "jwt": JWT,
    "pem": "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2Vw\n-----END PRIVATE KEY-----",
    "creds file": f"-----BEGIN NATS USER JWT-----\n{JWT}\n------END NATS USER JWT------",
    "broker key": "PKABCDEFGHIJKLMNOPQR",
    "address": "nats://alice:hunter22@example.org",
    "bearer": "Authorization: Bearer abcdefghijklmnop",
    "named": "api_key=abcdef123456",
    "quoted": '{"secret_key": "abc def ghi"}',
    "passphrase": "CATALYST_PASSPHRASE=correct-horse",
}
PARTS = {
    "address": "hunter22", "bearer": "abcdefghijklmnop", "named": "abcdef123456", "quoted": "abc def",
    "passphrase": "correct-horse", "pem": "MC4CAQ", "creds file": "eyJ",
}  # fmt: skip


@pytest.fixture(autouse=True)
def _logs_as_before():
    root = logging.getLogger()
    handlers, level, nats = root.handlers[:], root.level, logging.getLogger("nats").level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.getLogger("nats").setLevel(nats)


@pytest.fixture
def lines(capsys):
    """What stderr holds: a function that reads it as JSON lines."""
    return lambda: [json.loads(line) for line in capsys.readouterr().err.splitlines()]


@pytest.mark.parametrize("what", SECRETS)
def test_a_secret_is_taken_out_of_a_text(what):
    shown = redacted(f"could not use {SECRETS[what]} here")
    assert PARTS.get(what, SECRETS[what]) not in shown
    assert REMOVED in shown
    assert shown.startswith("could not use ")


@pytest.mark.parametrize(
    "text",
    [
        "connected as alice; 3 signals waiting; clock +0.003 s",
        "buy 92 ABCD @ 5.41",
        "ed25519:" + "A" * 43,
        "U" + "A" * 55,
        "tls://signals.example.org:4222",
        "your credentials expire in 3 days",
        "3f9a" * 8,
    ],
)
def test_an_ordinary_line_is_left_as_it_is(text):
    assert redacted(text) == text


def test_what_bears_a_secrets_name_is_taken_out_whole():
    found = redacted_value({"a": {"password": "x", "api_key": ["y", "z"], "count": 3}, "user": "alice", "token": ""})
    assert found == {
        "a": {"password": REMOVED, "api_key": [REMOVED, REMOVED], "count": 3}, "user": "alice", "token": "",
    }  # fmt: skip


def test_a_value_without_end_gets_one():
    assert len(redacted("x" * (MAX_CHARACTERS * 3))) == MAX_CHARACTERS + 1


def test_every_record_is_one_json_line(lines):
    set_up_logs(log_format=LogFormat.JSON)
    logging.getLogger("catalyst.agent").warning("a\nline of %s", SEED_TEXT)
    found = lines()
    assert len(found) == 1
    assert found[0]["level"] == "warning"
    assert found[0]["logger"] == "catalyst.agent"
    assert found[0]["message"] == f"a\nline of {REMOVED}"
    assert found[0]["at"].endswith("+00:00")


def test_what_is_said_to_people_is_a_record_too(lines):
    set_up_logs(log_format=LogFormat.JSON)
    say("metrics: http://127.0.0.1:9465/metrics")
    assert lines()[0]["message"] == "metrics: http://127.0.0.1:9465/metrics"


def test_an_event_carries_its_facts_without_secrets(lines):
    set_up_logs(log_format=LogFormat.JSON)
    log_event("decision", {"ticker": "ABCD", "quantity": "92", "jwt": JWT}, "buy ABCD")
    found = lines()[0]
    assert (found["event"], found["message"]) == ("decision", "buy ABCD")
    assert found["facts"] == {"ticker": "ABCD", "quantity": "92", "jwt": REMOVED}


def test_an_exception_stays_on_its_line_and_loses_its_secrets(lines):
    set_up_logs(log_format=LogFormat.JSON)
    try:
        raise ValueError(SEED_TEXT)
    except ValueError:
        logging.getLogger("catalyst").exception("a fault")
    found = lines()
    assert len(found) == 1
    assert "ValueError" in found[0]["error"]
    assert SEED_TEXT not in found[0]["error"]


def test_text_logs_lose_their_secrets_too(capsys):
    set_up_logs()
    logging.getLogger("catalyst").warning("using %s", SEED_TEXT)
    assert capsys.readouterr().err.endswith(f"WARNING catalyst: using {REMOVED}\n")


def test_a_strangers_text_stays_on_its_line_in_text_logs(capsys):
    set_up_logs()
    logging.getLogger("catalyst").warning("the server said %s", "no\n2026-01-01T00:00:00Z INFO x: all is well\x1b[2J")
    assert capsys.readouterr().err.endswith(r"said no\n2026-01-01T00:00:00Z INFO x: all is well\x1b[2J" + "\n")


def test_what_utf_8_cannot_say_does_not_lose_the_line_nor_print_it_raw(lines):
    set_up_logs(log_format=LogFormat.JSON)
    logging.getLogger("catalyst").warning("file %s of %s", "\udcff.yaml", SEED_TEXT)
    (found,) = lines()
    assert found["message"] == rf"file \udcff.yaml of {REMOVED}"
