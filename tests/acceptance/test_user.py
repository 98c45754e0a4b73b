"""`catalyst user …` as an installed command: one line each, and the answers that scripts and people rely on."""

import json
import os
import stat

import pytest

from signal_contract.errors import ExitCode
from signal_contract.invite import read_invite
from signal_contract.nkey import KeyKind, KeyPair

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals are sent as on POSIX")


def answer(up, *arguments, code=ExitCode.OK) -> dict:
    done = up.run("user", *arguments, "--json")
    assert done.returncode == code, done.stdout + done.stderr
    return json.loads(done.stdout)


def invited(up, tmp_path, name="alice", *more) -> dict:
    return answer(up, "invite", name, "--catalysts", "fda", "-o", str(tmp_path / f"{name}.invite"), *more)["data"]


def no_passphrase() -> str:
    raise AssertionError("nobody should be asked")


def test_a_friend_is_let_in_limited_rotated_and_thrown_out_in_one_command_each(up, tmp_path):
    data = invited(up, tmp_path, "alice", "--expires", "30d")
    invite = read_invite(tmp_path / "alice.invite", no_passphrase)
    assert stat.S_IMODE((tmp_path / "alice.invite").stat().st_mode) == 0o600
    assert (data["invite"], data["public_key"]) == (str(tmp_path / "alice.invite"), invite.public_key)
    assert list(invite.servers) == [up.url]
    assert {step["outcome"] for step in data["steps"]} == {"done"}

    assert answer(up, "set-filters", "alice", "--catalysts", "fda,M&A")["status"] == "ok"
    extended = answer(up, "extend", "alice", "--expires", "90d", "-o", str(tmp_path / "b.invite"))["data"]
    assert extended["public_key"] == data["public_key"]
    rotated = answer(up, "rotate", "alice", "--confirm", "alice", "-o", str(tmp_path / "c.invite"))["data"]
    assert [each["public_key"] for each in rotated["retiring"]] == [data["public_key"]]

    shown = answer(up, "show", "alice")["data"]
    assert (shown["status"], shown["filters"]) == (
        "active",
        ["signals.acquisition.*", "signals.fda.*", "signals.merger.*"],
    )
    revoked = answer(up, "revoke", "alice", "--confirm", "alice")["data"]
    assert [step["step"] for step in revoked["steps"]] == ["registry", "account JWT", "live connections", "audit"]
    assert answer(up, "list")["data"]["users"][0]["status"] == "revoked"
    gone = answer(up, "offboard", "alice", "--confirm", "alice")["data"]
    assert {step["step"]: step["outcome"] for step in gone["steps"]} == dict.fromkeys(
        ("registry", "account JWT", "live connections", "durable", "registry entry", "audit"), "done"
    )
    assert answer(up, "list")["data"]["users"] == []
    assert answer(up, "show", "alice", code=ExitCode.NOT_FOUND)["errors"][0]["code"] == "NOT_FOUND"


def test_every_limit_is_an_option(up, tmp_path):
    more = ("--cidr", "203.0.113.0/24", "--cidr", "2001:db8::/32", "--hours", "03:30-20:30", "--tz", "America/New_York")
    data = invited(up, tmp_path, "alice", *more)
    assert data["constraints"] == {
        "cidrs": ["203.0.113.0/24", "2001:db8::/32"],
        "hours": ["03:30-20:30"],
        "timezone": "America/New_York",
        "websocket_only": False,
    }
    text = up.run("user", "show", "alice").stdout
    assert "203.0.113.0/24" in text
    assert "03:30-20:30 America/New_York" in text


def test_a_friend_who_keeps_his_key_gets_an_invite_without_a_seed(up, tmp_path):
    key = KeyPair.generate(KeyKind.USER).public
    invited(up, tmp_path, "alice", "--public-key", key)
    invite = read_invite(tmp_path / "alice.invite", no_passphrase)
    assert (invite.public_key, invite.seed) == (key, None)


def test_a_passphrase_comes_from_the_environment_and_never_from_an_argument(up, tmp_path, monkeypatch):
    monkeypatch.setenv("CATALYST_PASSPHRASE", "correct horse battery")
    invited(up, tmp_path, "alice", "--passphrase")
    assert read_invite(tmp_path / "alice.invite", lambda: "correct horse battery").name == "alice"
    monkeypatch.delenv("CATALYST_PASSPHRASE")
    refused = answer(
        up, "invite", "bob", "--catalysts", "fda", "--passphrase", "-o", str(tmp_path / "b"), code=ExitCode.INPUT
    )
    assert "CATALYST_PASSPHRASE" in refused["errors"][0]["hint"]


@pytest.mark.parametrize("command", [["revoke"], ["offboard"], ["rotate"]])
def test_what_cannot_be_undone_wants_the_name(up, tmp_path, command):
    invited(up, tmp_path)
    for more in ([], ["--confirm", "bob"]):
        refused = answer(up, *command, "alice", *more, code=ExitCode.INPUT)
        assert "--confirm alice" in refused["errors"][0]["hint"]
    assert answer(up, "show", "alice")["data"]["status"] == "active"


@pytest.mark.parametrize(
    "command",
    [
        ["invite", "bob", "--catalysts", "fda", "--cidr", "10.0.0.0/8"],
        ["rotate", "alice"],
        ["extend", "alice", "--expires", "200d"],
        ["revoke", "alice"],
        ["offboard", "alice"],
        ["set-filters", "alice", "--catalysts", "merger"],
    ],
)
def test_a_dry_run_shows_the_difference_and_changes_nothing(up, tmp_path, command):
    invited(up, tmp_path)
    before = answer(up, "list")["data"]
    files = sorted(tmp_path.glob("*.invite"))
    data = answer(up, *command, "--dry-run")["data"]
    assert data["dry_run"] is True
    assert data["changes"]
    assert data["steps"] == []
    assert answer(up, "list")["data"] == before
    assert sorted(tmp_path.glob("*.invite")) == files
    assert "→" in up.run("user", *command, "--dry-run").stdout


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--catalysts", "fda", "--cidr", "10.0.0.1/8"], "INPUT_INVALID"),
        (["--catalysts", "fda", "--hours", "03:30-20:30"], "INPUT_INVALID"),
        (["--catalysts", "fda", "--hours", "25:00-26:00", "--tz", "UTC"], "INPUT_INVALID"),
        (["--catalysts", "fda", "--hours", "03:30-20:30", "--tz", "Mars/Olympus"], "INPUT_INVALID"),
        (["--catalysts", "fda", "--expires", "0d"], "INPUT_INVALID"),
        (["--catalysts", "fda", "--public-key", "U123"], "CREDS_INVALID"),
        (["--catalysts", "nonsense"], "CATALYST_UNKNOWN"),
        (["--filter", "$JS.>"], "SUBJECT_INVALID"),
        ([], "SUBJECT_INVALID"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_signed(up, tmp_path, arguments, code):
    done = up.run("user", "invite", "alice", *arguments, "-o", str(tmp_path / "a.invite"), "--json")
    assert json.loads(done.stdout)["errors"][0]["code"] == code
    assert not list((up.data / "users").iterdir())
    assert not (tmp_path / "a.invite").exists()


def test_no_answer_holds_a_secret(up, tmp_path):
    said = ""
    for command in (
        ["invite", "alice", "--catalysts", "fda", "--cidr", "127.0.0.0/8", "-o", str(tmp_path / "a.invite")],
        ["rotate", "alice", "--confirm", "alice", "-o", str(tmp_path / "b.invite")],
        ["show", "alice"],
        ["list"],
        ["sync"],
    ):
        for form in ([], ["--json"]):
            if command[0] != "invite" or not form:
                done = up.run("user", *command, *form)
                assert done.returncode == 0, done.stderr
                said += done.stdout + done.stderr
    seeds = [read_invite(tmp_path / name, no_passphrase).seed for name in ("a.invite", "b.invite")]
    seeds.append((up.data / "users" / "alice" / "scope.seed").read_text().strip())
    assert not [seed for seed in seeds if seed in said]


def test_actions_without_a_server_say_what_happens_later_and_are_no_failure(up, tmp_path, start_up):
    invited(up, tmp_path)
    up.stop()
    done = up.run("user", "revoke", "alice", "--confirm", "alice", "--json")
    steps = {step["step"]: step["outcome"] for step in json.loads(done.stdout)["data"]["steps"]}
    assert done.returncode == ExitCode.OK
    assert steps == {"registry": "done", "account JWT": "later", "live connections": "later", "audit": "done"}
    again = start_up(up.data, up.port)
    try:
        listed = json.loads(again.run("user", "list", "--json").stdout)["data"]["users"]
        assert listed[0]["status"] == "revoked"
    finally:
        again.stop()
