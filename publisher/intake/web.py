"""A small HTTP door on this machine for classifiers in other languages: `POST /signals`, `GET /health`.

The standard library's server, because the door must work without extras; it is bounded here: connections, bytes and
the time of each. Knows neither outbox nor event loop: both are behind `Backend`.
"""

from __future__ import annotations

import hmac
import logging
import secrets
import socket
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Protocol

import orjson

from signal_contract.creds import read_secret, write_secret
from signal_contract.errors import CatalystError, InputError, PortTaken

MAX_BODY_BYTES = 1_000_000
MAX_RECORDS = 1000
MAX_CONNECTIONS = 16
# Between two reads, and for the whole request: a client that sends byte by byte is cut off.
READ_TIMEOUT_S = 5.0
REQUEST_TIMEOUT_S = 15.0
_HEADER_ENCODING = "latin-1"
_log = logging.getLogger("publisher.intake.web")


class Backend(Protocol):
    """What stands behind the door; called from the server's threads."""

    def take(self, records: Sequence[bytes]) -> list[dict[str, Any]]:
        """One answer for each record, in order. Raises CatalystError when nothing could be kept."""
        ...

    def health(self) -> dict[str, Any]:
        """What `/health` says."""
        ...


@dataclass(frozen=True, slots=True)
class Answer:
    """Status and JSON document of a response."""

    status: HTTPStatus
    document: dict[str, Any]


def token_at(path: Path) -> str:
    """The bearer token in a 0600 file, made when it is not there yet. Raises CredsInvalid for one that others read."""
    if not path.exists():
        write_secret(path, secrets.token_urlsafe(32) + "\n")
    token = read_secret(path, what="intake token").strip()
    if len(token) < 16:
        raise InputError(f"{path} holds no token of at least 16 characters", hint="Remove it; a new one is made.")
    return token


def is_authorized(header: str | None, token: str) -> bool:
    """Whether an Authorization header carries the token; takes the same time for every wrong one."""
    scheme, _, given = (header or "").partition(" ")
    # Headers come as latin-1; compare_digest takes no other text than ASCII, but any bytes.
    fits = hmac.compare_digest(given.strip().encode(_HEADER_ENCODING, "replace"), token.encode())
    return scheme.lower() == "bearer" and fits


def records_from(body: bytes) -> list[bytes]:
    """The records of a body: one JSON object, an array of them, or one a line. Raises InputError for none or too many.

    What is no object is handed on as it is: the intake answers for it by name.
    """
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        records = [line.strip() for line in body.split(b"\n") if line.strip()]
    else:
        records = [orjson.dumps(each) for each in document] if isinstance(document, list) else [body.strip()]
    if not records:
        raise InputError("the body holds no record")
    if len(records) > MAX_RECORDS:
        raise InputError(f"{len(records)} records are over the limit of {MAX_RECORDS} in one request")
    return records


def length_from(header: str | None, is_chunked: bool) -> int | Answer:
    """The body's length in bytes, or the refusal of the request."""
    if is_chunked or header is None:
        return refusal(HTTPStatus.LENGTH_REQUIRED, "LENGTH_REQUIRED", "send a Content-Length, not chunks")
    if not (header.isascii() and header.isdigit()) or len(header) > 12:
        return refusal(HTTPStatus.BAD_REQUEST, "LENGTH_INVALID", "Content-Length is not a number")
    if int(header) > MAX_BODY_BYTES:
        return refusal(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "BODY_TOO_LARGE", f"a body is at most {MAX_BODY_BYTES} bytes"
        )
    return int(header)


def refusal(status: HTTPStatus, code: str, message: str, hint: str = "") -> Answer:
    """An answer that says what was wrong with the request."""
    return Answer(status, {"errors": [{"code": code, "message": message, "hint": hint}]})


class _Handler(BaseHTTPRequestHandler):
    """One connection, one request (HTTP/1.0)."""

    server: Door
    server_version = "catalyst-intake"
    sys_version = ""
    timeout = READ_TIMEOUT_S

    def setup(self) -> None:
        super().setup()
        self._deadline = threading.Timer(self.server.request_timeout_s, _cut_off, [self.connection])
        self._deadline.daemon = True
        self._deadline.start()

    def finish(self) -> None:
        self._deadline.cancel()
        super().finish()

    def do_GET(self) -> None:
        """Health; without the token it says whether anybody is there, and nothing else."""
        if self.path != "/health":
            self._answer(refusal(HTTPStatus.NOT_FOUND, "NOT_FOUND", "there is POST /signals and GET /health"))
        elif is_authorized(self.headers.get("Authorization"), self.server.token):
            self._answer(_guarded(lambda: Answer(HTTPStatus.OK, {"status": "ok", **self.server.backend.health()})))
        else:
            self._answer(Answer(HTTPStatus.OK, {"status": "ok"}))

    def do_POST(self) -> None:
        """Signals in any form that `catalyst publish` reads."""
        if self.path != "/signals":
            self._answer(refusal(HTTPStatus.NOT_FOUND, "NOT_FOUND", "there is POST /signals and GET /health"))
            return
        if not is_authorized(self.headers.get("Authorization"), self.server.token):
            self._answer(refusal(HTTPStatus.UNAUTHORIZED, "TOKEN_WRONG", "a Bearer token is needed", self.server.hint))
            return
        length = length_from(self.headers.get("Content-Length"), self.headers.get("Transfer-Encoding") is not None)
        if isinstance(length, Answer):
            self._answer(length)
            return
        body = self.rfile.read(length)
        if len(body) < length:
            self._answer(refusal(HTTPStatus.BAD_REQUEST, "BODY_CUT", "the body ended before its Content-Length"))
            return
        self._answer(_guarded(lambda: self._taken(body)))

    def _taken(self, body: bytes) -> Answer:
        return Answer(HTTPStatus.OK, {"results": self.server.backend.take(records_from(body))})

    def _answer(self, answer: Answer) -> None:
        content = orjson.dumps(answer.document) + b"\n"
        self.send_response(answer.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        if answer.status is HTTPStatus.UNAUTHORIZED:
            self.send_header("WWW-Authenticate", "Bearer")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: what came of a record is told by the one who runs the door."""


def _guarded(work: Callable[[], Answer]) -> Answer:
    try:
        return work()
    except InputError as error:
        return refusal(HTTPStatus.BAD_REQUEST, error.code, error.message, error.hint)
    except CatalystError as error:
        return refusal(HTTPStatus.SERVICE_UNAVAILABLE, error.code, error.message, error.hint)


def _cut_off(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # it has ended by itself


class Door(ThreadingHTTPServer):
    """The server on 127.0.0.1; at most 16 connections at a time, the next ones are answered 503 at once."""

    daemon_threads = True
    request_queue_size = 32

    def __init__(
        self,
        port: int,
        token: str,
        backend: Backend,
        *,
        hint: str = "",
        request_timeout_s: float = REQUEST_TIMEOUT_S,
    ) -> None:
        self.token, self.backend, self.hint = token, backend, hint
        self.request_timeout_s = request_timeout_s
        self._free = threading.BoundedSemaphore(MAX_CONNECTIONS)
        try:
            super().__init__(("127.0.0.1", port), _Handler)
        except OSError as error:
            raise PortTaken(f"127.0.0.1:{port} cannot be opened: {error.strerror or error}") from error

    @property
    def port(self) -> int:
        """Where it listens; for port 0 the one that the system chose."""
        return int(self.server_address[1])

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._free.acquire(blocking=False):
            _turned_away(request)
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except RuntimeError:  # no thread to be had
            self._free.release()
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Nothing for a client that went away or was cut off; a fault of ours is told as such."""
        if not isinstance(sys.exc_info()[1], OSError):
            _log.exception("a request failed")


def _turned_away(request: socket.socket) -> None:
    try:
        request.settimeout(0.5)
        request.sendall(b"HTTP/1.0 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n")
    except OSError:
        return
