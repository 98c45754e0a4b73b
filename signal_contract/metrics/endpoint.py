"""The address where the page is shown: a small HTTP server on a thread of its own, on loopback unless told.

It answers GET /metrics and nothing else. On loopback it wants to be called by a loopback name, so that no web page of
a stranger can read it through the friend's own browser.
"""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import socket
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar, Self

from signal_contract.errors import CatalystError, ConfigInvalid, Conflict
from signal_contract.metrics.exposition import CONTENT_TYPE, check_installed

_log = logging.getLogger("catalyst.metrics")

LOOPBACK = "127.0.0.1"
PATH = "/metrics"
_CLIENT_TIMEOUT_S = 5.0
_STOP_TIMEOUT_S = 2.0
_POLL_S = 0.1  # how soon a stop is heard
# Readers at once; each takes a thread and a file of a process that trades. One more ends the oldest.
MAX_READERS = 16
_LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})

Page = Callable[[], bytes]


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen; port 0 lets the system choose."""

    host: str
    port: int

    @property
    def is_local(self) -> bool:
        """Whether only this machine reaches it."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def address_from(text: str) -> Address:
    """`127.0.0.1:9465`, `[::1]:9465`, `:9465` or `9465` (both on loopback). Raises ConfigInvalid."""
    host, _, port = text.strip().rpartition(":")
    host = host.removeprefix("[").removesuffix("]") or LOOPBACK
    if not (port.isascii() and port.isdigit() and int(port) <= 65_535) or not _is_host(host):
        raise ConfigInvalid(f"{text[:60]!r} is no address for metrics", hint="Such as 127.0.0.1:9465, or 9465.")
    return Address(host, int(port))


def _is_host(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost"
    return True


class Endpoint:
    """A running endpoint. `page` is called on its threads, one call at a time."""

    def __init__(self, address: Address, page: Page) -> None:
        family = _V6Server if ":" in address.host else _Server
        self._server = family((address.host, address.port), _handler(address, page))
        self.address = Address(address.host, int(self._server.server_address[1]))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(_POLL_S,), name="metrics", daemon=True)

    @classmethod
    def start(cls, address: Address, page: Page) -> Self:
        """Listen and answer. Raises ConfigInvalid without prometheus-client, Conflict when the port is taken."""
        check_installed()
        try:
            endpoint = cls(address, page)
        except OSError as error:
            raise Conflict(
                f"metrics cannot be shown on {address}: {error.strerror or error}",
                hint="Stop the program that listens there, or choose another port with --metrics.",
            ) from error
        endpoint._thread.start()
        return endpoint

    @property
    def url(self) -> str:
        return f"http://{self.address}{PATH}"

    def close(self) -> None:
        """Stop listening; an answer under way is not waited for longer than two seconds."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(_STOP_TIMEOUT_S)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True
    request_queue_size = 64  # of the default 5, a scraper among idle callers waits for seconds

    def __init__(self, where: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        super().__init__(where, handler)
        self._readers: dict[socket.socket, None] = {}
        self._turn = threading.Lock()

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._turn:
            self._readers[request] = None
            oldest = next(iter(self._readers)) if len(self._readers) > MAX_READERS else None
            if oldest is not None:
                del self._readers[oldest]  # at once: the next one ends another
        if oldest is not None:
            with contextlib.suppress(OSError):  # it went by itself
                oldest.shutdown(socket.SHUT_RDWR)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._turn:
            self._readers.pop(request, None)
        super().shutdown_request(request)

    def handle_error(self, request: object, client_address: object) -> None:
        # A reader that hangs up is no news; the standard library would print a traceback.
        if isinstance(sys.exc_info()[1], OSError):
            _log.debug("a reader of the metrics went away: %s", client_address)
        else:
            _log.exception("the metrics cannot be shown: a fault in the program")


class _V6Server(_Server):
    address_family = socket.AF_INET6


def _handler(address: Address, page: Page) -> type[BaseHTTPRequestHandler]:
    lock = threading.Lock()

    def answered_in_turn() -> bytes:
        with lock:
            return page()

    return type("Handler", (_Handler,), {"is_local": address.is_local, "page": staticmethod(answered_in_turn)})


class _Handler(BaseHTTPRequestHandler):
    timeout = _CLIENT_TIMEOUT_S
    server_version = "catalyst"
    sys_version = ""
    is_local: ClassVar[bool]
    page: ClassVar[Page]

    def do_GET(self) -> None:
        if self.is_local and not _is_local_name(self.headers.get("Host", "")):
            self._answer(403, b"call it by a loopback name\n")
        elif self.path.partition("?")[0] != PATH:
            self._answer(404, b"there is only /metrics here\n")
        else:
            self._answer_page()

    def _answer_page(self) -> None:
        try:
            found = self.__class__.page()
        except CatalystError as error:
            self._answer(503, f"{error.code}: {error.message}\n".encode())
        else:
            self._answer(200, found, CONTENT_TYPE)

    def _answer(self, status: int, body: bytes, kind: str = "text/plain; charset=utf-8") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        _log.debug(format, *args)


def _is_local_name(host: str) -> bool:
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() and not host.endswith("]") else host
    return name.removeprefix("[").removesuffix("]").lower() in _LOCAL_NAMES
