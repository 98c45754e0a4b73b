"""The HTTP door: who gets in, what a body may be, and what it costs to be slow."""

from __future__ import annotations

import json
import socket
import stat
import threading
from collections.abc import Iterator, Sequence
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from publisher.intake.web import MAX_BODY_BYTES, MAX_CONNECTIONS, Door, is_authorized, records_from, token_at
from signal_contract.errors import CredsInvalid, InputError, PortTaken, StorageFailed

TOKEN = "t" * 32


class Records:
    """A backend that keeps what it gets; a record `full` finds the disk full."""

    def __init__(self) -> None:
        self.taken: list[bytes] = []

    def take(self, records: Sequence[bytes]) -> list[dict[str, Any]]:
        if b"full" in records:
            raise StorageFailed("the disk is full")
        self.taken += records
        return [{"code": "ACCEPTED"} for _ in records]

    def health(self) -> dict[str, Any]:
        return {"waiting": 0}


@pytest.fixture
def door() -> Iterator[Door]:
    with Door(0, TOKEN, Records()) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.02,))
        thread.start()
        yield running
        running.shutdown()
        thread.join(5)


def ask(door: Door, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, dict[str, Any]]:
    connection = HTTPConnection("127.0.0.1", door.port, timeout=5)
    try:
        connection.request(method, path, body, {"Authorization": f"Bearer {TOKEN}", **headers})
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


def test_records_are_answered_one_by_one(door: Door):
    assert ask(door, "POST", "/signals", b'{"a": 1}\n\n{"b": 2}\n') == (
        200,
        {"results": [{"code": "ACCEPTED"}, {"code": "ACCEPTED"}]},
    )
    assert door.backend.taken == [b'{"a": 1}', b'{"b": 2}']


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer wrong", f"Basic {TOKEN}", f"Bearer {TOKEN}x", "Bearer \xff"])
def test_without_the_token_nothing_is_read(door: Door, header: str):
    status, answer = ask(door, "POST", "/signals", b"{}", Authorization=header)
    assert (status, answer["errors"][0]["code"], door.backend.taken) == (401, "TOKEN_WRONG", [])


def test_health_tells_strangers_nothing_but_that_it_is_there(door: Door):
    assert ask(door, "GET", "/health", Authorization="no") == (200, {"status": "ok"})
    assert ask(door, "GET", "/health") == (200, {"status": "ok", "waiting": 0})
    assert ask(door, "GET", "/other")[0] == 404
    assert ask(door, "POST", "/other", b"{}")[0] == 404


def test_an_oversized_body_is_refused_before_it_is_sent(door: Door):
    with socket.create_connection(("127.0.0.1", door.port), 5) as client:
        head = (
            f"POST /signals HTTP/1.1\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: {MAX_BODY_BYTES + 1}\r\n\r\n"
        )
        client.sendall(head.encode())
        assert b" 413 " in client.recv(100)


@pytest.mark.parametrize(
    ("headers", "status"),
    [("Transfer-Encoding: chunked", 411), ("X: y", 411), ("Content-Length: -1", 400), ("Content-Length: ²", 400)],
)
def test_a_body_without_a_length_is_refused(door: Door, headers: str, status: int):
    with socket.create_connection(("127.0.0.1", door.port), 5) as client:
        client.sendall(f"POST /signals HTTP/1.1\r\nAuthorization: Bearer {TOKEN}\r\n{headers}\r\n\r\n".encode())
        assert f" {status} ".encode() in client.recv(100)


def test_garbage_is_answered_and_the_door_stays_open(door: Door):
    for garbage in (b"\x16\x03\x01\x02\x00\x01\x00\n\n", b"GET\n\n", b"\0" * 100 + b"\r\n\r\n", b"x" * 70_000 + b"\n"):
        with socket.create_connection(("127.0.0.1", door.port), 5) as client:
            client.settimeout(10)
            try:
                client.sendall(garbage)
                client.recv(100)
            except ConnectionError:
                pass
    assert ask(door, "GET", "/health")[0] == 200


def test_a_client_that_drips_is_cut_off(door: Door):
    door.request_timeout_s = 0.3
    with socket.create_connection(("127.0.0.1", door.port), 5) as client:
        client.settimeout(5)
        client.sendall(b"POST /signals HT")
        assert client.recv(10) == b""
    assert door.backend.taken == []


def test_the_seventeenth_connection_is_turned_away_at_once(door: Door):
    idle = [socket.create_connection(("127.0.0.1", door.port), 5) for _ in range(MAX_CONNECTIONS)]
    try:
        with socket.create_connection(("127.0.0.1", door.port), 5) as late:
            assert b" 503 " in late.recv(100)
    finally:
        for each in idle:
            each.close()


def test_a_body_that_ends_early_publishes_nothing(door: Door):
    with socket.create_connection(("127.0.0.1", door.port), 5) as client:
        client.sendall(
            f"POST /signals HTTP/1.1\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: 50\r\n\r\n{{}}".encode()
        )
        client.shutdown(socket.SHUT_WR)
        assert b" 400 " in client.recv(100)
    assert door.backend.taken == []


def test_a_full_disk_is_503_and_an_empty_body_400(door: Door):
    status, answer = ask(door, "POST", "/signals", b"full")
    assert (status, answer["errors"][0]["code"]) == (503, "STORAGE_FAILED")
    assert ask(door, "POST", "/signals", b" ")[0] == 400


def test_a_taken_port_is_named(door: Door):
    with pytest.raises(PortTaken):
        Door(door.port, TOKEN, Records())


def test_the_token_is_made_once_and_for_the_owner_only(tmp_path: Path):
    path = tmp_path / "intake.token"
    token = token_at(path)
    assert token_at(path) == token
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o644)
    with pytest.raises(CredsInvalid):
        token_at(path)
    path.chmod(0o600)
    path.write_text("short\n")
    with pytest.raises(InputError):
        token_at(path)


def test_an_array_and_an_object_over_several_lines_are_records_too():
    assert records_from(b'[{"a": 1}, 2]') == [b'{"a":1}', b"2"]
    assert records_from(b'{\n"a": 1\n}') == [b'{\n"a": 1\n}']
    for wrong in (b"", b"[]", b"\n" * 5, b"1\n" * 1001):
        with pytest.raises(InputError):
            records_from(wrong)


@given(st.text(max_size=60))
def test_no_header_but_the_right_one_is_authorized(header: str):
    assert is_authorized(header, TOKEN) == (
        header.partition(" ")[2].strip() == TOKEN and header[:7].lower() == "bearer "
    )
