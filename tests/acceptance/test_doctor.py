"""Both doctors as installed commands, over situations that are really broken: ids, cures, exit status, time."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from datetime import timedelta
from pathlib import Path

import pytest
from processes import Agents, a_signal, envelope, journal_of, publish, run_command, with_link, with_settings

INSIDE = Path(__file__).parents[1] / "chaos" / "inside"
POSIX = pytest.mark.skipif(os.name != "posix", reason="Windows has no such modes")


def looked(*words: object, status: int | None = None, **more) -> dict[str, dict]:
    """The findings by id; the command has ended with exit status 3 exactly when one failed, within 15 seconds."""
    started = time.monotonic()
    done = run_command(*words, "--json", "--wait", "0", **more)
    assert time.monotonic() - started < 15
    answer = envelope(done)
    found = {each["id"]: each for each in answer["data"]["findings"]}
    failed = [each for each in found.values() if each["grade"] == "FAIL"]
    assert done.returncode == (3 if failed else 0)
    assert all(each["cure"] for each in failed), "what fails says what to do"
    return found


def of_friend(config: Path, *more: object, **options) -> dict[str, dict]:
    return looked("subscriber-agent", "doctor", "--config", config, *more, **options)


def failed(found: dict[str, dict]) -> set[str]:
    return {each for each, finding in found.items() if finding["grade"] == "FAIL"}


@pytest.fixture
def alice(up) -> Path:
    return up.add_user("alice", ["signals.fda.*"])


def test_a_friend_without_a_config_is_told_to_join(tmp_path):
    done = run_command("subscriber-agent", "doctor", "--config", tmp_path / "agent.yaml")
    assert done.returncode == 3
    assert "D01" in done.stdout
    assert "subscriber-agent join" in done.stdout
    assert "not looked at because of D01: D02" in done.stdout
    assert "DOCTOR_FAILED" in done.stderr


def test_a_config_that_is_no_yaml(tmp_path):
    config = tmp_path / "agent.yaml"
    config.write_text("servers: [tls://a.example:4222\nmode: paper\n")
    assert failed(of_friend(config)) == {"D01"}


@POSIX
def test_creds_that_others_can_read(alice):
    alice.with_name("alice.creds").chmod(0o644)
    found = of_friend(alice)
    assert failed(found) == {"D02"}
    assert "chmod 600" in found["D02"]["cure"]


def test_credentials_that_have_ended(up):
    done = up.run("user", "add", "carol", "--filter", "signals.*.*", "--expires", "1h", "--json")
    config = Path(envelope(done)["data"]["config"])
    ahead = {**os.environ, "PYTHONPATH": str(INSIDE), "CHAOS_CLOCK": str(config.with_name("clock"))}
    config.with_name("clock").write_text(str(timedelta(days=2).total_seconds()))
    found = of_friend(config, env=ahead)
    assert {"D03", "D13"} <= failed(found), "by this clock they have ended, and the clock is wrong"


def test_a_clock_that_is_30_seconds_off(alice):
    alice.with_name("clock").write_text("30")
    off = {**os.environ, "PYTHONPATH": str(INSIDE), "CHAOS_CLOCK": str(alice.with_name("clock"))}
    found = of_friend(alice, env=off)
    assert failed(found) == {"D13"}
    assert found["D13"]["facts"]["skew_s"] == pytest.approx(30, abs=2)


def test_a_name_that_nobody_has(alice):
    assert failed(of_friend(with_settings(alice, servers=["tls://signals.invalid:4222"]))) == {"D08"}


def test_a_port_where_nothing_listens(alice):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    assert failed(of_friend(with_settings(alice, servers=[f"nats://127.0.0.1:{port}"]))) == {"D09"}


def test_clear_text_to_another_machine(alice):
    found = of_friend(with_settings(alice, servers=["nats://signals.example.org:4222"]))
    assert failed(found) == {"D01", "D07"}


def test_a_revoked_friend(up, alice):
    assert up.run("user", "revoke", "alice", "--confirm", "alice").returncode == 0
    found = of_friend(alice)
    assert failed(found) == {"D12"}
    assert "revoked" in found["D12"]["message"] + found["D12"]["cure"]


def test_a_durable_that_is_gone_is_named_by_both_doctors_and_comes_back_by_their_cure(up, alice):
    with_link(up, "admin", lambda link: link.api("$JS.API.CONSUMER.DELETE.SIGNALS.sub_alice"))
    assert failed(of_friend(alice)) == {"D15"}
    found = looked("catalyst", "doctor", "--data", up.data)
    assert failed(found) == {"D15"}
    assert "catalyst user repair alice" in found["D15"]["cure"]
    assert up.run("user", "repair", "alice").returncode == 0
    assert failed(of_friend(alice)) == set()
    assert failed(looked("catalyst", "doctor", "--data", up.data)) == set()


def test_filters_that_are_not_what_was_granted(up, alice):
    async def widen(link):
        config = (await link.api("$JS.API.CONSUMER.INFO.SIGNALS.sub_alice"))["config"]
        filters = ["signals.*.*", *config["filter_subjects"][1:]]
        body = {"stream_name": "SIGNALS", "config": {**config, "filter_subjects": filters}, "action": "update"}
        await link.api("$JS.API.CONSUMER.CREATE.SIGNALS.sub_alice", body)

    with_link(up, "admin", widen)
    found = looked("catalyst", "doctor", "--data", up.data, "--only", "D15")
    assert failed(found) == {"D15"}
    assert "alice (filter_subjects)" in found["D15"]["message"]
    assert up.run("user", "sync").returncode == 0
    assert failed(looked("catalyst", "doctor", "--data", up.data, "--only", "D15")) == set()


def test_a_damaged_journal(up, alice):
    done = run_command("subscriber-agent", "run", "--config", alice, "--until-drained")
    assert done.returncode == 0
    with journal_of(alice) as journal:
        path = journal.path
    content = bytearray(path.read_bytes())
    content[4096:8192] = b"\x5a" * 4096
    path.write_bytes(content)
    found = of_friend(alice)
    assert failed(found) == {"D05"}
    assert path.read_bytes() == bytes(content), "it is left as it is"


def test_an_agent_elsewhere_and_one_here(up, alice, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(alice.parent, elsewhere)
    with Agents() as agents:
        agent = agents.online(elsewhere / alice.name)
        assert of_friend(alice)["D20"]["grade"] == "WARN"
        here = of_friend(elsewhere / alice.name)
        assert failed(here) == set()
        assert here["D20"]["grade"] == "OK"
        publish(up, a_signal("AAPL"))
        agent.until_line("decision")
        assert len(agent.of("decision")) == 1, "the doctors took nothing from it"
        assert len(agent.of("connected")) == 1


def test_another_certificate_authority_and_clear_text_where_tls_is_spoken(data_dir, tmp_path, start_up):
    assert run_command("catalyst", "init", "--data", data_dir, "--tls", "localhost").returncode == 0
    server = start_up(data_dir)
    try:
        config = server.add_user("alice", ["signals.fda.*"])
        sound = of_friend(config)
        assert failed(sound) == set(), [sound[each] for each in failed(sound)]
        assert "TLSv1.3" in sound["D10"]["message"]
        other = tmp_path / "other"
        assert run_command("catalyst", "init", "--data", other, "--tls", "localhost").returncode == 0
        wrong = of_friend(with_settings(config, ca_file=str(other / "tls" / "ca.pem")))
        assert failed(wrong) == {"D10"}
        assert wrong["D12"]["facts"]["because_of"] == "D10"
        clear = with_settings(config, servers=[f"nats://127.0.0.1:{server.port}"])
        found = of_friend(clear, "--only", "D11")
        assert failed(found) == {"D11"}
        assert "tls://" in found["D11"]["cure"]
    finally:
        server.stop()


def test_a_server_that_is_too_old(alice):
    code = (
        "import socket;s=socket.create_server(('127.0.0.1',0));print(s.getsockname()[1],flush=True)\n"
        'while True:\n c,_=s.accept();c.sendall(b\'INFO {"version":"2.9.0","max_payload":9}\\r\\n\');c.close()'
    )
    python = shutil.which("python3") or "python"
    with subprocess.Popen([python, "-c", code], stdout=subprocess.PIPE, text=True) as old:
        try:
            assert old.stdout is not None
            url = f"nats://127.0.0.1:{old.stdout.readline().strip()}"
            found = of_friend(with_settings(alice, servers=[url]), "--only", "D11")
        finally:
            old.kill()
    assert failed(found) == {"D11"}
    assert "2.9.0" in found["D11"]["message"]


def test_a_halt_is_told_and_is_no_failure(alice):
    assert run_command("subscriber-agent", "run", "--config", alice, "--until-drained").returncode == 0
    assert run_command("subscriber-agent", "halt", "--config", alice, "--reason", "earnings day").returncode == 0
    found = of_friend(alice)
    assert failed(found) == set()
    assert found["D23"]["grade"] == "WARN"
    assert "earnings day" in found["D23"]["message"]


def test_the_operators_doctor_finds_a_sound_house_and_its_canary_is_for_nobody(up, alice):
    with Agents() as agents:
        agent = agents.online(alice)
        found = looked("catalyst", "doctor", "--data", up.data, "--canary")
        assert failed(found) == set(), [found[each] for each in failed(found)]
        assert found["D29"]["grade"] == "OK"
        publish(up, a_signal("AAPL"))
        agent.until_line("decision")
        assert agent.of("control") == [], "no friend heard the canary"
        assert agent.of("parked") == []


def test_a_house_whose_server_was_stopped(up):
    up.stop()
    found = looked("catalyst", "doctor", "--data", up.data)
    assert failed(found) == {"D07"}
    assert "catalyst up" in found["D07"]["cure"]


def test_explain_and_unknown_ids():
    done = run_command("subscriber-agent", "doctor", "--explain", "d07")
    assert done.returncode == 0
    assert "server address" in done.stdout
    assert run_command("subscriber-agent", "doctor", "--only", "D99").returncode == 5
    assert run_command("catalyst", "doctor", "--only", "D05").returncode == 5
