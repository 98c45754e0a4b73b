"""TLS and encryption at rest with the installed commands: prepared, started without flags, read by a friend's agent."""

import os
import subprocess

import pytest
from processes import Agents, a_signal, envelope, publish, run_command

MARKER = b"signals.fda"


def test_init_prepares_everything_and_doing_it_again_makes_nothing(data_dir):
    words = ("catalyst", "init", "--data", data_dir, "--tls", "localhost,signals.example.org", "--encrypt", "--json")
    first = envelope(run_command(*words))["data"]
    again = envelope(run_command(*words))["data"]
    made = {os.path.relpath(path, data_dir) for path in first["made"]}
    assert {"vault", "vault/store.key", "tls/ca.pem", "tls/server.pem", "settings.json"} <= made
    assert again["made"] == []
    assert first["public"] == again["public"] == ["tls://signals.example.org:4222"]
    assert again["encrypted"] is True
    assert set(again["tls"]["names"]) >= {"localhost", "signals.example.org"}
    assert not (data_dir / "server.json").exists(), "nothing was started"


def test_a_user_can_be_minted_before_the_first_start(data_dir):
    run_command("catalyst", "init", "--data", data_dir, "--tls", "signals.example.org")
    done = run_command("catalyst", "user", "add", "alice", "--catalysts", "fda", "--data", data_dir, "--json")
    assert envelope(done)["data"]["durable"] == "at the next `catalyst up`"
    assert (data_dir / "users" / "alice" / "alice-ca.pem").read_bytes() == (data_dir / "tls" / "ca.pem").read_bytes()


@pytest.mark.parametrize(
    "flags",
    [
        ("--wss-port", "8443"),
        ("--tls", "not a host"),
        ("--tls", "localhost", "--no-tls"),
        ("--cert", "only.pem"),
        ("--public", "nats://signals.example.org:4222"),
    ],
)
def test_settings_that_cannot_work_are_refused_before_anything_is_made(data_dir, flags):
    done = run_command("catalyst", "init", "--data", data_dir, *flags, "--json")
    answer = envelope(done)
    assert answer["errors"][0]["code"] in {"CONFIG_INVALID", "PLAINTEXT_REFUSED"}
    assert not data_dir.exists()


def test_a_friend_reads_encrypted_and_the_certificate_is_renewed_meanwhile(data_dir, start_up):
    init = ("catalyst", "init", "--data", data_dir, "--tls", "localhost", "--encrypt")
    assert run_command(*init).returncode == 0
    server = start_up(data_dir)  # no flag but the port
    try:
        assert str(server.ready["data"]["url"]).startswith("tls://")
        with Agents() as agents:
            agent = agents.online(server.add_user("alice", ["signals.*.*"]))
            renewed = envelope(server.run("tls", "renew", "--json"))["data"]
            assert renewed["served"] is True
            assert renewed["before"] != renewed["fingerprint"]
            publish(server, a_signal("AAPL"))
            agent.until_line("decision")
            assert len(agent.of("connected")) == 1, "its connection stayed"
        assert envelope(server.run("tls", "show", "--json"))["data"]["served"] is True
        blocks = list((data_dir / "jetstream").rglob("*.blk"))
        assert blocks
        assert [path for path in blocks if MARKER in path.read_bytes()] == []
    finally:
        server.stop()


def test_the_keys_never_show_in_arguments_or_answers(data_dir, start_up):
    run_command("catalyst", "init", "--data", data_dir, "--tls", "localhost", "--encrypt")
    secrets = [(data_dir / "vault" / "store.key").read_text().strip()]
    secrets += [(data_dir / "tls" / name).read_text().splitlines()[1] for name in ("ca.key", "server.key")]
    server = start_up(data_dir)
    try:
        shown = subprocess.run(["ps", "-ww", "-eo", "args"], capture_output=True, text=True, check=True).stdout
        for words in (("tls", "show"), ("tls", "show", "--json"), ("tls", "renew", "--json")):
            done = server.run(*words)
            shown += done.stdout + done.stderr
        shown += (data_dir / "server.log").read_text() + (data_dir / "server.conf").read_text()
        assert [secret for secret in secrets if secret in shown] == []
    finally:
        server.stop()
