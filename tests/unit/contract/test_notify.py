"""What is said to systemd, and which exit statuses it may answer with a restart."""

import asyncio
import socket

import pytest

from signal_contract.errors import ExitCode
from signal_contract.notify import ServiceManager, feed
from signal_contract.supervision import CURE, Cure, cure_for, needs_person

unix_only = pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="systemd's socket is a Unix one")


@pytest.fixture
def listener(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # a socket's path may be 107 characters long
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiving:
        receiving.bind("notify")
        receiving.setblocking(False)
        yield receiving, str(tmp_path / "notify")


def _said(receiving):
    said = []
    while True:
        try:
            said.append(receiving.recv(4096).decode())
        except BlockingIOError:
            return said


@unix_only
def test_each_word_is_one_datagram_of_its_lines(listener):
    receiving, address = listener
    manager = ServiceManager(address, 30.0)
    manager.ready("connected as alice")
    manager.status("LIVE: signals flow")
    manager.alive()
    manager.stopping()
    assert _said(receiving) == [
        "READY=1\nSTATUS=connected as alice",
        "STATUS=LIVE: signals flow",
        "WATCHDOG=1",
        "STOPPING=1\nSTATUS=stopping",
    ]


@unix_only
def test_a_status_cannot_bring_a_line_of_its_own(listener):
    receiving, address = listener
    ServiceManager(address).status("hello\nREADY=1\r\nWATCHDOG=1")
    assert _said(receiving) == ["STATUS=hello READY=1 WATCHDOG=1"]


@unix_only
def test_without_a_watchdog_no_sign_of_life_is_given(listener):
    receiving, address = listener
    ServiceManager(address).alive()
    assert _said(receiving) == []


@unix_only
def test_an_abstract_socket_is_reached():
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiving:
        try:
            receiving.bind("\0catalyst-notify-test")
        except OSError:
            pytest.skip("this system has no abstract sockets")
        ServiceManager("@catalyst-notify-test").status("here")
        assert receiving.recv(100) == b"STATUS=here"


def test_a_manager_that_has_gone_is_no_error(tmp_path):
    ServiceManager(str(tmp_path / "gone"), 1.0).ready("nobody hears it")


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, (None, None)),
        ({"NOTIFY_SOCKET": "vsock:2:1234", "WATCHDOG_USEC": "5"}, (None, None)),
        ({"WATCHDOG_USEC": "30000000"}, (None, None)),
        ({"NOTIFY_SOCKET": "/run/n"}, ("/run/n", None)),
        ({"NOTIFY_SOCKET": "/run/n", "WATCHDOG_USEC": "30000000"}, ("/run/n", 30.0)),
        ({"NOTIFY_SOCKET": "/run/n", "WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "42"}, ("/run/n", 30.0)),
        ({"NOTIFY_SOCKET": "/run/n", "WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "43"}, ("/run/n", None)),
        ({"NOTIFY_SOCKET": "/run/n", "WATCHDOG_USEC": "0"}, ("/run/n", None)),
        ({"NOTIFY_SOCKET": "/run/n", "WATCHDOG_USEC": "-1"}, ("/run/n", None)),
        ({"NOTIFY_SOCKET": "/run/n", "WATCHDOG_USEC": "soon"}, ("/run/n", None)),
    ],
    ids=["none", "vsock", "no socket", "no watchdog", "both", "ours", "another's", "zero", "negative", "words"],
)
@unix_only
def test_what_the_environment_says(environ, expected):
    manager = ServiceManager.from_environment(environ, 42)
    assert (manager.address, manager.watchdog_s) == expected


@unix_only
async def test_the_watchdog_is_fed_by_proofs_and_not_by_time(listener):
    receiving, address = listener
    answers = [True, False, False, True, False]
    asked = asyncio.Event()

    async def is_alive():
        answer = answers.pop(0)
        if not answers:
            asked.set()
        return answer

    feeding = asyncio.create_task(feed(ServiceManager(address, 0.02), is_alive))
    async with asyncio.timeout(5):
        await asked.wait()
    feeding.cancel()
    await asyncio.wait({feeding})
    assert _said(receiving) == ["WATCHDOG=1"] * 2


async def test_nobody_is_asked_for_a_proof_that_nobody_waits_for():
    async def is_alive():
        raise AssertionError

    await feed(ServiceManager("/run/n"), is_alive)


def test_every_exit_status_says_whether_a_restart_can_mend_it():
    assert set(CURE) == set(ExitCode)


def test_a_restart_never_follows_where_somebody_must_look():
    person = {
        ExitCode.CONFIG, ExitCode.REVOKED, ExitCode.CREDS, ExitCode.ALREADY_RUNNING, ExitCode.USAGE, ExitCode.CONFLICT
    }  # fmt: skip
    assert person <= set(needs_person())
    assert ExitCode.OK not in needs_person()


@pytest.mark.parametrize("code", [ExitCode.UNREACHABLE, ExitCode.EXPIRED, ExitCode.DENIED, ExitCode.NOT_LIVE])
def test_what_passes_by_itself_is_tried_again(code):
    # Limited hours: the server says "expired" at their end, and "denied" until they begin.
    assert cure_for(code) is Cure.RESTART


def test_a_kill_and_an_unknown_status_are_tried_again():
    assert cure_for(-9) is Cure.RESTART
    assert cure_for(99) is Cure.RESTART
