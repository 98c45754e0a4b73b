"""`catalyst vault` and `catalyst audit` as installed commands; no answer of theirs ever shows a secret."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from signal_admin.desk import Desk
from signal_admin.seeds import read_seeds
from signal_contract.errors import ExitCode

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals are sent as on POSIX")
PASSPHRASE = "four random words here"


@pytest.fixture
def run(up):
    """`run(*arguments)`: the command's answer; fails when a secret of the vault is in it."""
    desk = Desk(up.data)
    secrets = set(read_seeds(desk.vault).values())

    def run(*arguments, status=ExitCode.OK):
        done = up.run(*arguments)
        for path in desk.root.rglob("*.seed"):
            secrets.add(path.read_text().strip())
        shown = done.stdout + done.stderr
        assert not [each for each in secrets if each in shown], "a seed is shown"
        assert done.returncode == status, shown
        return json.loads(done.stdout)["data"] if "--json" in arguments else shown

    return run


def test_the_identity_keys_leave_the_machine_and_the_week_goes_on(up, run, start_up, tmp_path):
    stick = tmp_path / "stick"
    assert "would move" in run("vault", "export-offline", str(stick), "--dry-run")
    assert "--yes" in run("vault", "export-offline", str(stick), status=ExitCode.INPUT)
    assert not stick.exists()
    moved = run("vault", "export-offline", str(stick), "--yes", "--json")
    accounts = ["account-sys", "account-signals", "account-friends", "account-observers"]
    assert moved["removed_here"] == ["operator", *accounts]
    assert run("vault", "status", "--json")["identity_keys"] == "offline"
    run("user", "add", "alice", "--catalysts", "fda")
    assert up.stop() == 0
    again = start_up(up.data, up.port)
    try:
        assert "alice" in run("user", "list")
        run("user", "add", "bob", "--catalysts", "fda")
        run("vault", "import-offline", str(stick))
        assert run("vault", "status", "--json")["identity_keys"] == "here"
        actions = [each["action"] for each in run("audit", "--action", "vault", "--json")["entries"]]
        assert actions == ["vault export-offline", "vault import-offline"]
    finally:
        assert again.stop() == 0


def test_under_a_passphrase_up_and_user_add_ask_the_environment(up, run, start_up, monkeypatch):
    assert "CATALYST_VAULT_NEW_PASSPHRASE" in run("vault", "set-passphrase", status=ExitCode.CREDS)
    monkeypatch.setenv("CATALYST_VAULT_NEW_PASSPHRASE", PASSPHRASE)
    run("vault", "set-passphrase")
    monkeypatch.delenv("CATALYST_VAULT_NEW_PASSPHRASE")
    assert not list((up.data / "vault").glob("*.seed"))
    assert "CATALYST_VAULT_PASSPHRASE" in run("user", "add", "alice", "--catalysts", "fda", status=ExitCode.CREDS)
    monkeypatch.setenv("CATALYST_VAULT_PASSPHRASE", "a wrong passphrase")
    refused = run("vault", "status", status=ExitCode.CREDS)
    assert "wrong" in refused
    assert "a wrong passphrase" not in refused
    monkeypatch.setenv("CATALYST_VAULT_PASSPHRASE", PASSPHRASE)
    run("user", "add", "alice", "--catalysts", "fda")
    assert up.stop() == 0
    again = start_up(up.data, up.port)
    try:
        commands = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
        assert PASSPHRASE not in commands
        _is_not_in_the_environment_of(again.ready["data"]["nats_pid"])
        run("vault", "rotate-publisher-key", "--yes")
        run("vault", "remove-passphrase", "--yes")
        assert not run("vault", "status", "--json")["passphrase"]
    finally:
        assert again.stop() == 0


def _is_not_in_the_environment_of(pid):
    environment = Path(f"/proc/{pid}/environ")
    if environment.exists():  # Linux only
        assert PASSPHRASE.encode() not in environment.read_bytes()


def test_the_publisher_key_is_changed_and_the_change_is_in_the_audit_log(up, run, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    before = run("vault", "status", "--json")["publisher_key"]
    plan = run("vault", "rotate-publisher-key", "--dry-run", "--json")
    assert (plan["publisher_key"], plan["next_key"]) == (before, "a new one")
    done = run("vault", "rotate-publisher-key", "--yes", "--json")
    assert (done["old_key"], done["sequence"]) == (before, 1)
    assert run("vault", "status", "--json")["publisher_key"] == done["publisher_key"] != before
    (entry,) = run("audit", "--action", "vault rotate-publisher-key", "--json")["entries"]
    assert entry["before"] == {"publisher_key": before}
    assert "vault rotate-publisher-key" in run("audit", "--since", "1h")
    # What a friend is given from now on pins the new key.
    run("user", "add", "alice", "--catalysts", "fda")
    assert done["publisher_key"] in (up.data / "users" / "alice" / "alice.yaml").read_text()


def test_what_happened_while_the_server_was_down_is_in_the_log_afterwards(up, run, start_up, tmp_path):
    assert up.stop() == 0
    run("vault", "export-offline", str(tmp_path / "stick"), "--yes")
    again = start_up(up.data, up.port)
    try:
        (entry,) = run("audit", "--action", "vault", "--json")["entries"]
        assert entry["action"] == "vault export-offline"
    finally:
        assert again.stop() == 0


def test_who_connected_is_shown_and_filtered(up, run, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    run("user", "list")
    shown = run("audit", "--action", "connect", "--limit", "5")
    assert "nats-server" in shown
    assert "127.0.0.1" in shown
    assert run("audit", "--user", "nobody", "--json")["entries"] == []


@pytest.mark.parametrize("wrong", [("--since", "soon"), ("--limit", "0")])
def test_a_wrong_filter_is_refused(run, wrong):
    assert "INPUT_INVALID" in run("audit", *wrong, status=ExitCode.INPUT)


def test_without_a_server_the_key_is_not_changed_and_the_log_is_not_read(up, run):
    assert up.stop() == 0
    run("vault", "rotate-publisher-key", "--yes", status=ExitCode.UNREACHABLE)
    assert "catalyst up" in run("audit", status=ExitCode.UNREACHABLE)
