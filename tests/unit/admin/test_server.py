from dataclasses import replace
from pathlib import Path, PureWindowsPath

import pytest

from signal_admin.server.binary import find_binary, version_checked, version_from
from signal_admin.server.config import TEMPLATE_NAME, ServerConfig, TlsFiles, bytes_from, quoted, rendered
from signal_admin.server.failures import failure_from_log, losses_from_log
from signal_admin.server.orphan import orphan_of, pid_from_file
from signal_admin.server.supervisor import restart_delay_s
from signal_contract.errors import ConfigInvalid, ServerBinaryMissing, ServerStartFailed, ServerTooOld
from signal_contract.resources import resource_path

CONFIG = ServerConfig(
    host="127.0.0.1",
    port=4222,
    monitor_port=0,
    server_name="catalyst",
    max_store_bytes=1 << 30,
    store_dir=Path("/data"),
    resolver_dir=Path("/data/jwt"),
    ports_dir=Path("/data/ports"),
    pid_file=Path("/data/pid"),
    log_file=Path("/data/log"),
    operator_jwt="OJWT",
    system_account="ASYS",
    accounts={"ASYS": "JWT1", "ASIGNALS": "JWT2"},
)
TEMPLATE = resource_path(TEMPLATE_NAME).read_text(encoding="utf-8")


def test_the_template_is_filled_in_completely():
    text = rendered(TEMPLATE, CONFIG)
    assert "$" not in text
    assert 'listen: "127.0.0.1:4222"' in text
    assert "sync_interval: always" in text
    assert '"ASIGNALS": "JWT2"' in text
    assert "max_payload: 128KB" in text


@pytest.mark.parametrize(
    ("path", "form"),
    [
        (PureWindowsPath(r"C:\Users\A B\new"), r'"C:\\Users\\A B\\new"'),
        (Path('/a "quoted" dir'), r'"/a \"quoted\" dir"'),
        (Path("/größe/$HOME/{x}"), '"/größe/$HOME/{x}"'),
    ],
)
def test_paths_are_quoted(path, form):
    assert quoted(str(path)) == form


def test_a_control_character_in_a_path_is_refused():
    with pytest.raises(ConfigInvalid):
        rendered(TEMPLATE, replace(CONFIG, store_dir=Path("/a\nb")))


def test_monitoring_listens_on_loopback_whatever_the_host_is():
    text = rendered(TEMPLATE, replace(CONFIG, host="0.0.0.0", monitor_port=8222))
    assert 'http: "127.0.0.1:8222"' in text
    assert "http:" not in rendered(TEMPLATE, CONFIG)


def test_the_configuration_asks_for_tls_1_3_first_and_names_no_key():
    files = TlsFiles(Path('/a "b"/server.pem'), Path("/k$HOME"))
    text = rendered(TEMPLATE, replace(CONFIG, tls=files, wss_port=8443, is_encrypted=True))
    assert text.count('min_version: "1.3"') == 2
    assert text.count("handshake_first: true") == 1
    assert r'cert_file: "/a \"b\"/server.pem"' in text
    assert 'key_file: "/k$HOME"' in text
    assert "key: $CATALYST_STORE_KEY" in text
    for change in ({"wss_port": 4222}, {"wss_port": 70000}, {"tls": None}):
        with pytest.raises(ConfigInvalid):
            rendered(TEMPLATE, replace(CONFIG, **({"tls": files, "wss_port": 8443} | change)))


def test_an_ipv6_address_is_bracketed():
    assert 'listen: "[::1]:4222"' in rendered(TEMPLATE, replace(CONFIG, host="::1"))


@pytest.mark.parametrize(
    "change",
    [
        {"port": 0},
        {"port": 65536},
        {"port": -2},
        {"monitor_port": 70000},
        {"monitor_port": 4222},
        {"max_store_bytes": 1024},
        {"host": ""},
        {"host": "a b"},
    ],
)
def test_settings_out_of_range_are_refused(change):
    with pytest.raises(ConfigInvalid):
        rendered(TEMPLATE, replace(CONFIG, **change))


@pytest.mark.parametrize(
    ("text", "size"), [("512MB", 512 << 20), ("4GB", 4 << 30), ("1 tb", 1 << 40), ("100000000", 100_000_000)]
)
def test_sizes_are_powers_of_1024(text, size):
    assert bytes_from(text) == size


@pytest.mark.parametrize("text", ["", "GB", "-1GB", "1.5GB", "4XB", "١GB", "9" * 20])
def test_what_is_not_a_size_is_refused(text):
    with pytest.raises(ConfigInvalid):
        bytes_from(text)


# In the words of nats-server 2.15 and of the systems below it.
@pytest.mark.parametrize(
    ("log", "code"),
    [
        (
            "[7] 2026/11/22 17:37:04.106 [FTL] Error listening on port: 127.0.0.1:4222, "
            '"listen tcp 127.0.0.1:4222: bind: address already in use"',
            "PORT_TAKEN",
        ),
        ("[FTL] Error listening on port: x, listen tcp 127.0.0.1:80: bind: permission denied", "SERVER_NOT_PERMITTED"),
        (
            '[FTL] Can\'t start JetStream: could not create storage directory - mkdir "/x": permission denied',
            "SERVER_NOT_PERMITTED",
        ),
        (
            "[FTL] Can't start JetStream: storage directory is not a directory",
            "STORE_DAMAGED",
        ),
        ("[FTL] Can't start JetStream: write /x: no space left on device", "STORE_DAMAGED"),
        ('nats-server: /data/server.conf:3:5: unknown field "listn"', "SERVER_CONFIG_REFUSED"),
        ("[FTL] listen tcp 10.9.8.7:4222: bind: cannot assign requested address", "SERVER_CONFIG_REFUSED"),
        ("something new", "SERVER_START_FAILED"),
        ("", "SERVER_START_FAILED"),
    ],
)
def test_each_cause_of_death_has_its_own_code_and_a_hint(log, code):
    error = failure_from_log(log, log_path="server.log")
    assert error.code == code
    assert error.hint


def test_losses_are_warnings_about_the_store_only():
    log = (
        "[1] 2026/11/22 17:44:26.083942 [INF] Starting JetStream\n"
        '[1] 2026/11/22 17:44:26.083942 [WRN]   Stream metafile "/d/meta.inf": checksums do not match "01" vs "06"\n'
        "[1] 2026/11/22 17:44:26.083942 [WRN] Some other advice\n"
        '[1] 2026/11/22 17:44:26.876533 [WRN]     Error unmarshalling consumer metafile "/d": invalid character\n'
    )
    assert len(losses_from_log(log)) == 2


def test_five_deaths_within_a_minute_are_the_end():
    assert restart_delay_s((0.0,), 0.0) == 0.1
    assert restart_delay_s((0.0, 1.0, 2.0), 2.0) == 0.4
    assert restart_delay_s((0.0, 1.0, 2.0, 3.0, 4.0), 4.0) is None
    assert restart_delay_s((0.0, 70.0, 140.0, 210.0, 280.0), 280.0) == 0.1


def test_a_chosen_binary_that_does_not_exist_is_refused_and_not_replaced(tmp_path):
    with pytest.raises(ServerBinaryMissing):
        find_binary(tmp_path / "nats-server")


def test_the_binary_of_this_environment_is_found(monkeypatch):
    monkeypatch.delenv("CATALYST_NATS_SERVER", raising=False)
    assert version_checked(find_binary(None)) >= "2.12"


def test_the_environment_variable_chooses_the_binary(monkeypatch, tmp_path):
    monkeypatch.setenv("CATALYST_NATS_SERVER", str(tmp_path / "absent"))
    with pytest.raises(ServerBinaryMissing):
        find_binary(None)


@pytest.mark.parametrize("text", ["", "nats-server: unknown", "hello 2.15.1"])
def test_an_answer_without_version_is_not_a_nats_server(text):
    with pytest.raises(ServerStartFailed):
        version_from(text)


def fake_server(folder: Path, answer: str) -> Path:
    path = folder / "nats-server"
    path.write_text(f"#!/bin/sh\necho '{answer}'\n")
    path.chmod(0o755)
    return path


def test_a_server_below_2_12_is_too_old(tmp_path):
    with pytest.raises(ServerTooOld):
        version_checked(fake_server(tmp_path, "nats-server: v2.11.9"))


def test_a_file_that_cannot_be_run_is_told(tmp_path):
    path = tmp_path / "nats-server"
    path.write_text("not a program")
    with pytest.raises(ServerStartFailed):
        version_checked(path)


def test_a_pid_of_another_program_is_not_an_orphan(tmp_path):
    import os

    (tmp_path / "pid").write_text(str(os.getpid()))
    assert orphan_of(tmp_path / "pid", tmp_path / "server.conf") is None


@pytest.mark.parametrize("content", ["", "abc", "-5", "0", "1"])
def test_a_pid_file_without_a_plausible_pid_is_ignored(tmp_path, content):
    (tmp_path / "pid").write_text(content)
    assert pid_from_file(tmp_path / "pid") is None
