"""A friend's credentials from the invite to the end, with installed commands against `catalyst up`."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from agent_process import Running, agent, answer, waited

from signal_admin.claims import signed_jwt, user_claims
from signal_admin.server.binary import find_binary
from signal_admin.vault import read_vault
from signal_contract.codec import decode
from signal_contract.creds import creds_text, read_creds, write_secret
from signal_contract.errors import ExitCode
from signal_contract.link import Link
from signal_contract.nkey import KeyKind, KeyPair
from signal_contract.permissions import RoleName
from signal_contract.resources import resource_path
from signal_contract.signing import MESSAGE_ID_HEADER, SIGNATURE_HEADER, Signer
from signal_contract.topology import Account, durable_name

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals are sent as on POSIX")

_SAMPLE = "config/samples/catalyst_bot_signals.jsonl"
_GOLDEN = "signals.fda.BRK_B"


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Any]:
    """`start(config, …)`: an agent in the background, ended with the test."""
    begun: list[Running] = []

    def starting(config: Path, *more: str) -> Running:
        begun.append(Running.start(config, tmp_path, *more))
        return begun[-1]

    yield starting
    for each in begun:
        if each.process.poll() is None:
            each.process.kill()
        each.process.wait(10)


def invited(up: Any, name: str, file: Path, *more: str) -> Path:
    """`catalyst user invite`, for everything on the wire."""
    done = up.run("user", "invite", name, "--filter", "signals.>", "-o", str(file), "--json", *more)
    assert done.returncode == 0, done.stdout + done.stderr
    return file


def on_server(up: Any, role: str, subject: str, payload: bytes, **headers: str) -> int:
    """Store one message with the creds of a role; its sequence."""

    async def store() -> int:
        creds = read_creds(up.data / role / f"{role}.creds")
        async with await Link.open([up.url], creds, label="test") as link:
            return (await link.publish_stored(subject, payload, headers=headers)).sequence

    return asyncio.run(store())


def api(up: Any, subject: str) -> dict[str, Any]:
    """One JetStream API call as admin."""

    async def ask() -> dict[str, Any]:
        async with await Link.open([up.url], read_creds(up.data / "admin" / "admin.creds"), label="test") as link:
            return await link.api(subject)

    return asyncio.run(ask())


def minted(up: Any, creds: Path, *, lasts_s: float, name: str = "alice") -> None:
    """Overwrite a creds file: the same key with another end, as `catalyst user extend` makes it but in seconds."""
    vault, now, old = read_vault(up.data / "vault"), datetime.now(UTC), read_creds(creds)
    claims = user_claims(
        old.public_key,
        name=name,
        role=RoleName.SUBSCRIBER,
        account=vault.account_keys[Account.FRIENDS],
        issued_at=now - timedelta(hours=1),
        expires_at=now + timedelta(seconds=lasts_s),
    )
    write_secret(creds, creds_text(signed_jwt(claims, vault.roles[RoleName.SUBSCRIBER]), old.key.seed))


# Coming in --------------------------------------------------------------------------------------------------------


def test_a_friend_who_keeps_his_key_comes_in_and_trades(up: Any, tmp_path: Path) -> None:
    home = tmp_path / "home"
    enrolled = agent("enroll", "--config-dir", home)
    public_key = enrolled.stdout.strip()
    assert (enrolled.returncode, public_key[0], len(public_key)) == (0, "U", 56)
    assert f"--public-key {public_key}" in enrolled.stderr
    assert answer("enroll", "--config-dir", home)["data"] == {
        "public_key": public_key,
        "is_new": False,
        "config_dir": str(home),
    }
    file = invited(up, "alice", tmp_path / "alice.invite", "--public-key", public_key)
    assert "SU" not in "".join(word[:2] for word in file.read_text().split('"'))
    data = answer("join", file, "--config-dir", home)["data"]
    assert (data["user"], data["mode"], data["server"]) == ("alice", "paper", {"reached": True, "waiting": 0})
    assert data["filters"] == ["signals.*.*"]
    up.run("publish", str(resource_path(_SAMPLE)))
    run = agent("run", "--config", home / "agent.yaml", "--until-drained")
    assert run.returncode == 0, run.stderr
    assert answer("status", "--config", home / "agent.yaml")["data"]["last_sequence"] == 25


def test_the_default_place_needs_no_flags(up: Any, tmp_path: Path) -> None:
    places = {
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
        "XDG_DATA_HOME": str(tmp_path / "data"),
        "HOME": str(tmp_path),
    }
    file = invited(up, "alice", tmp_path / "alice.invite")
    done = agent("join", file, **places)
    assert done.returncode == 0, done.stderr
    assert "next: subscriber-agent run " in done.stdout
    assert agent("run", "--until-drained", **places).returncode == 0
    assert answer("status", **places)["data"]["user"] == "alice"


def test_an_invite_under_a_passphrase_opens_with_it_only(up: Any, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("CATALYST_PASSPHRASE", "four random words here")
    file = invited(up, "alice", tmp_path / "alice.invite", "--passphrase")
    assert b"age-encryption" in file.read_bytes() or b"BEGIN AGE" in file.read_bytes()
    home = tmp_path / "home"
    wrong = answer("join", file, "--config-dir", home, status=ExitCode.CREDS, SUBSCRIBER_AGENT_PASSPHRASE="wrong wrong")
    assert "passphrase is wrong" in wrong["errors"][0]["message"]
    none = answer("join", file, "--config-dir", home, status=ExitCode.INPUT)
    assert "SUBSCRIBER_AGENT_PASSPHRASE" in none["errors"][0]["hint"]
    assert not (home / "agent.yaml").exists()
    right = {"SUBSCRIBER_AGENT_PASSPHRASE": "four random words here"}
    assert answer("join", file, "--config-dir", home, **right)["data"]["user"] == "alice"


def test_join_says_at_once_that_the_server_refuses_and_writes_nothing(up: Any, tmp_path: Path) -> None:
    file = invited(up, "alice", tmp_path / "alice.invite")
    assert up.run("user", "revoke", "alice", "--confirm", "alice").returncode == 0
    refused = answer("join", file, "--config-dir", tmp_path / "home", status=ExitCode.DENIED)
    assert refused["errors"][0]["code"] == "DENIED"
    assert [each for each in (tmp_path / "home").rglob("*") if each.is_file()] == []


# Living with it ---------------------------------------------------------------------------------------------------


def test_a_replaced_creds_file_is_taken_up_without_a_restart(up: Any, tmp_path: Path, start: Any) -> None:
    home, file = tmp_path / "home", invited(up, "alice", tmp_path / "alice.invite", "--expires", "2d")
    answer("join", file, "--config-dir", home)
    running = start(home / "agent.yaml")
    (warned,) = running.wait_for("creds_expiring")
    assert (warned["threshold_days"], warned["days_left"]) == (3, 1)
    running.wait_for("caught_up")
    done = up.run("user", "extend", "alice", "--expires", "90d", "-o", str(file), "--json")
    assert done.returncode == 0, done.stdout
    renewed = answer("join", file, "--config-dir", home)["data"]
    assert renewed["is_renewal"]
    (replaced,) = running.wait_for("creds_replaced")
    assert replaced["expires_at"] == renewed["expires_at"]
    running.wait_for("reconnected")
    up.run("publish", str(resource_path(_SAMPLE)))
    running.wait_for("decision", 25)
    assert answer("status", "--config", home / "agent.yaml")["data"]["creds_days_left"] == 89
    assert running.stop() == 0
    assert running.lines("parked") == []


def test_a_bad_creds_file_changes_nothing_but_the_report(up: Any, tmp_path: Path, start: Any) -> None:
    home, file = tmp_path / "home", invited(up, "alice", tmp_path / "alice.invite")
    answer("join", file, "--config-dir", home)
    running = start(home / "agent.yaml")
    running.wait_for("caught_up")
    creds = home / "alice.creds"
    good = creds.read_text()
    write_secret(creds, "garbage")
    running.wait_for("creds_kept", 1)
    other = up.add_user("bob", ["signals.>"]).with_name("bob.creds")
    write_secret(creds, other.read_text())
    assert "bob" in running.wait_for("creds_kept", 2)[1]["detail"]
    stranger = KeyPair.generate(KeyKind.USER)
    claims = user_claims(
        stranger.public,
        name="alice",
        role=RoleName.SUBSCRIBER,
        account=read_creds(other).account,
        issued_at=datetime.now(UTC),
    )
    write_secret(creds, creds_text(signed_jwt(claims, KeyPair.generate(KeyKind.ACCOUNT)), stranger.seed))
    assert running.wait_for("creds_kept", 3)[2]["code"] == "DENIED"
    # Not even a reconnect reads the bad file.
    os.kill(json.loads((up.data / "server.json").read_text())["nats_pid"], signal.SIGKILL)
    running.wait_for("reconnected")
    up.run("publish", str(resource_path(_SAMPLE)))
    running.wait_for("decision", 25)
    halted = agent("halt", "--config", home / "agent.yaml", "--reason", "bad creds must not keep me from it")
    assert halted.returncode == (0 if "data:" in (home / "agent.yaml").read_text() else ExitCode.CREDS)
    write_secret(creds, good)
    assert running.stop() == 0


# The ends ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def alice(up: Any) -> Path:
    """Alice's config file; her creds lie beside it."""
    return Path(up.add_user("alice", ["signals.>"]))


def test_expired_creds_end_it_with_their_own_status(up: Any, alice: Path, start: Any) -> None:
    creds = alice.with_name("alice.creds")
    minted(up, creds, lasts_s=4)
    running = start(alice)
    running.wait_for("caught_up")
    assert running.ended(10) == ExitCode.EXPIRED
    assert "CREDS_EXPIRED" in running.err.read_text() + running.out.read_text()
    began = time.monotonic()
    assert answer("run", "--config", alice, status=ExitCode.EXPIRED)["errors"][0]["code"] == "CREDS_EXPIRED"
    assert time.monotonic() - began < 2


def test_revoked_creds_end_it_with_their_own_status_also_at_the_next_start(up: Any, alice: Path, start: Any) -> None:
    running = start(alice)
    running.wait_for("caught_up")
    assert up.run("user", "revoke", "alice", "--confirm", "alice").returncode == 0
    assert running.ended(5) == ExitCode.REVOKED
    assert answer("run", "--config", alice, status=ExitCode.REVOKED)["errors"][0]["code"] == "CREDS_REVOKED"


def test_creds_that_the_server_does_not_know_are_denied_within_two_seconds(up: Any, alice: Path) -> None:
    creds = alice.with_name("alice.creds")
    own = read_creds(creds)
    claims = user_claims(
        own.public_key,
        name="alice",
        role=RoleName.SUBSCRIBER,
        account=own.account,
        issued_at=datetime.now(UTC),
    )
    write_secret(creds, creds_text(signed_jwt(claims, KeyPair.generate(KeyKind.ACCOUNT)), own.key.seed))
    began = time.monotonic()
    answer("run", "--config", alice, status=ExitCode.DENIED)
    assert time.monotonic() - began < 2


@pytest.mark.parametrize("content", ["", "garbage", None, "mode"])
def test_a_bad_creds_file_ends_it_within_two_seconds(up: Any, alice: Path, content: str | None) -> None:
    creds = alice.with_name("alice.creds")
    if content is None:
        creds.unlink()
    elif content == "mode":
        creds.chmod(0o644)
    else:
        write_secret(creds, content)
    began = time.monotonic()
    answer("run", "--config", alice, status=ExitCode.CREDS)
    assert time.monotonic() - began < 2


def test_a_missing_durable_ends_it_with_its_own_status(up: Any, alice: Path, start: Any) -> None:
    running = start(alice)
    running.wait_for("caught_up")
    api(up, f"$JS.API.CONSUMER.DELETE.SIGNALS.{durable_name('alice')}")
    assert running.ended(15) == ExitCode.DURABLE_MISSING
    answer("run", "--config", alice, status=ExitCode.DURABLE_MISSING)


def test_a_missing_stream_ends_it_with_its_own_status(up: Any, alice: Path) -> None:
    """A server that lost its store: nats-server alone, without the `catalyst up` that would make the stream."""
    conf = (up.data / "server.conf").read_text()
    up.stop()
    shutil.rmtree(up.data / "jetstream")
    (up.data / "bare.conf").write_text(conf)
    process = subprocess.Popen(
        [find_binary(None), "-c", str(up.data / "bare.conf")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        waited(lambda: agent("run", "--config", alice).returncode == ExitCode.STREAM_MISSING, what="STREAM_MISSING")
    finally:
        process.terminate()
        process.wait(10)


def test_a_second_copy_on_this_machine_names_the_first(up: Any, alice: Path, start: Any) -> None:
    running = start(alice)
    running.wait_for("caught_up")
    assert "runs as alice" in answer("run", "--config", alice, status=ExitCode.ALREADY_RUNNING)["errors"][0]["message"]
    assert running.stop() == 0


def test_a_second_copy_elsewhere_waits_for_a_left_over_and_ends(
    up: Any, alice: Path, start: Any, tmp_path: Path
) -> None:
    first = start(alice)
    first.wait_for("caught_up")
    elsewhere = tmp_path / "laptop"
    shutil.copytree(alice.parent, elsewhere, ignore=shutil.ignore_patterns("*-data"))
    second = start(elsewhere / alice.name)
    second.wait_for("occupied")
    assert second.ended(60) == ExitCode.ALREADY_RUNNING
    assert second.lines("connected") == []
    third = start(elsewhere / alice.name)
    third.wait_for("occupied")
    first.process.kill()
    third.wait_for("caught_up", timeout_s=5)
    assert third.stop() == 0


# Signatures -------------------------------------------------------------------------------------------------------


def forged(up: Any) -> list[int]:
    """Store what must be refused, with the publisher's creds; and in the middle, one genuine signal. Sequences."""
    signer = Signer.from_secret_text((up.data / "publisher" / "signing.seed").read_text())
    payload = (Path(__file__).parents[1] / "unit" / "golden" / "signal_v1_buy.json").read_bytes()
    assert decode(payload).subject == _GOLDEN
    genuine = signer.sign(_GOLDEN, payload)
    elsewhere = "signals.merger.BRK_B"
    messages = [
        (_GOLDEN, {}),
        (_GOLDEN, {SIGNATURE_HEADER: Signer.generate().sign(_GOLDEN, payload)}),
        (_GOLDEN, {SIGNATURE_HEADER: genuine}),
        (elsewhere, {SIGNATURE_HEADER: genuine}),
        (elsewhere, {SIGNATURE_HEADER: signer.sign(elsewhere, payload)}),
        (_GOLDEN, {SIGNATURE_HEADER: genuine}),
    ]
    return [
        on_server(up, "publisher", subject, payload, **headers, **{MESSAGE_ID_HEADER: f"forged-{n}"})
        for n, (subject, headers) in enumerate(messages)
    ]


def test_unsigned_wrongly_signed_resubjected_and_replayed_messages_are_refused(
    up: Any, alice: Path, start: Any
) -> None:
    running = start(alice)
    running.wait_for("caught_up")
    unsigned, wrong, genuine, resubjected, signed_elsewhere, replayed = forged(up)
    parked = running.wait_for("parked", 5)
    assert {each["seq"]: each["code"] for each in parked} == dict.fromkeys(
        (unsigned, wrong, resubjected, signed_elsewhere, replayed), "SIGNATURE_INVALID"
    )
    (decided,) = running.wait_for("decision")
    assert decided["seq"] == genuine
    info = waited(lambda: _settled(up), what="nothing is delivered again")
    assert info["num_redelivered"] == 0
    assert running.stop() == 0
    status = answer("status", "--config", alice)["data"]
    assert {"verdict": "PARKED", "code": "SIGNATURE_INVALID", "count": 5} in status["decisions"]
    with sqlite3.connect(status["journal"]) as journal:
        kept = journal.execute("SELECT payload, signature FROM parked ORDER BY stream_seq").fetchall()
    journal.close()
    golden = (Path(__file__).parents[1] / "unit" / "golden" / "signal_v1_buy.json").read_bytes()
    assert [payload for payload, _ in kept] == [golden] * 5
    assert [signature is None for _, signature in kept] == [True, False, False, False, False]


def _settled(up: Any) -> dict[str, Any] | None:
    info = api(up, f"$JS.API.CONSUMER.INFO.SIGNALS.{durable_name('alice')}")
    return info if not info["num_ack_pending"] and not info["num_pending"] else None


def test_agents_follow_the_publishers_next_key_and_refuse_the_old_one(up: Any, alice: Path, start: Any) -> None:
    old = Signer.from_secret_text((up.data / "publisher" / "signing.seed").read_text())
    running = start(alice)
    running.wait_for("caught_up")
    done = up.run("vault", "rotate-publisher-key", "--yes", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    (changed,) = running.wait_for("key_changed")
    new = Signer.from_secret_text((up.data / "publisher" / "signing.seed").read_text())
    assert changed["publisher_key"] == new.public_key != old.public_key
    up.run("publish", str(resource_path(_SAMPLE)))
    running.wait_for("decision", 25)
    assert running.stop() == 0
    again = start(alice)
    again.wait_for("caught_up")
    payload = (Path(__file__).parents[1] / "unit" / "golden" / "signal_v1_buy.json").read_bytes()
    late = on_server(
        up,
        "publisher",
        _GOLDEN,
        payload,
        **{SIGNATURE_HEADER: old.sign(_GOLDEN, payload), MESSAGE_ID_HEADER: "by the old key"},
    )
    (parked,) = again.wait_for("parked")
    assert (parked["seq"], parked["code"]) == (late, "SIGNATURE_INVALID")
    assert "retired" in parked["detail"]
    good = on_server(
        up,
        "publisher",
        _GOLDEN,
        payload,
        **{SIGNATURE_HEADER: new.sign(_GOLDEN, payload), MESSAGE_ID_HEADER: "by the new key"},
    )
    assert again.wait_for("decision")[0]["seq"] == good
    assert again.stop() == 0


# The log of decisions ---------------------------------------------------------------------------------------------


def test_the_log_of_decisions_shows_what_was_done_to_it(up: Any, alice: Path) -> None:
    up.run("publish", str(resource_path(_SAMPLE)))
    assert agent("run", "--config", alice, "--until-drained").returncode == 0
    whole = answer("audit", "verify", "--config", alice)["data"]
    assert (whole["rows"], whole["broken_at"]) == (25, None)
    assert "none changed" in agent("audit", "verify", "--config", alice).stdout
    rows = answer("audit", "show", "-n", "3", "--config", alice)["data"]
    assert [row["row"] for row in rows] == [23, 24, 25]
    assert rows[-1]["hash"] == whole["head"]
    assert rows[1]["prev_hash"] == rows[0]["hash"]
    journal = answer("status", "--config", alice)["data"]["journal"]
    with sqlite3.connect(journal) as other:
        other.execute("UPDATE decisions SET verdict = 'ACCEPTED' WHERE number = 7")
    other.close()
    broken = answer("audit", "verify", "--config", alice, status=ExitCode.STORAGE)
    assert broken["errors"][0]["code"] == "AUDIT_BROKEN"
    assert (broken["data"]["broken_at"]["row"], broken["data"]["broken_at"]["kind"]) == (7, "changed")
    assert agent("audit", "show", "--config", alice).returncode == 0


# TLS --------------------------------------------------------------------------------------------------------------


def test_an_invite_of_a_tls_server_carries_its_ca(start_up: Any, data_dir: Path, tmp_path: Path, start: Any) -> None:
    up = start_up(data_dir, None, "--tls", "localhost")
    try:
        home = tmp_path / "home"
        data = answer("join", invited(up, "alice", tmp_path / "alice.invite"), "--config-dir", home)["data"]
        assert data["server"]["reached"]
        assert data["servers"][0].startswith("tls://localhost:")
        assert (home / "alice-ca.pem").exists()
        running = start(home / "agent.yaml")
        running.wait_for("caught_up")
        assert running.stop() == 0
        (home / "alice-ca.pem").write_text((home / "alice-ca.pem").read_text().replace("M", "N", 1))
        assert agent("run", "--config", home / "agent.yaml").returncode not in (0, ExitCode.UNEXPECTED)
    finally:
        assert up.stop() == 0
