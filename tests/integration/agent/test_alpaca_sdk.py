"""What keeps alpaca-py from sending an order twice, from waiting for ever and from floats, each for itself."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import pytest

from subscriber_agent.engines.alpaca import sdk
from subscriber_agent.engines.alpaca.keys import AlpacaKeys
from subscriber_agent.engines.alpaca.sdk import Lost, Refused

KEYS = AlpacaKeys("PKTESTTESTTESTTEST01", "sEcReTsEcReTsEcReT")


class Handler(BaseHTTPRequestHandler):
    """Answers what `answer` says to everything."""

    answer: ClassVar[tuple[int, bytes]] = (200, b"{}")
    drips: ClassVar[bool] = False
    seen: ClassVar[list[str]] = []
    leave: ClassVar[threading.Event] = threading.Event()

    def _serve(self) -> None:
        self.seen.append(self.command)
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        status, body = self.answer
        self.send_response(status)
        self.send_header("Content-Length", str(10_000_000 if self.drips else len(body)))
        self.end_headers()
        if not self.drips:
            self.wfile.write(body)
            return
        try:
            while not self.leave.wait(0.05):
                self.wfile.write(b" " * 8192)
        except OSError:
            pass

    do_GET = do_POST = do_DELETE = _serve

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    Handler.answer, Handler.drips, Handler.seen, Handler.leave = (200, b"{}"), False, [], threading.Event()
    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{running.server_address[1]}"
    Handler.leave.set()
    running.shutdown()
    thread.join()
    running.server_close()


@pytest.fixture
def calls(server: str) -> Iterator[Any]:
    found = sdk.calls_for(KEYS, server, server, 0.5)
    yield found
    found.close()


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_post_is_sent_exactly_once(calls: Any, status: int) -> None:
    Handler.answer = (status, b'{"message": "busy"}')
    with pytest.raises(Refused) as caught:
        calls.post("/orders", {"qty": "1"})
    assert Handler.seen == ["POST"]
    assert not caught.value.is_an_answer


def test_should_alpaca_py_retry_again_the_transport_lets_no_second_post_through(calls: Any) -> None:
    calls._trading._retry, calls._trading._retry_codes, calls._trading._retry_wait = 3, [504], 0
    Handler.answer = (504, b"{}")
    with pytest.raises(RuntimeError, match="second time"):
        calls.post("/orders", {"qty": "1"})
    assert Handler.seen == ["POST"]


def test_alpaca_py_by_itself_would_send_it_again(server: str) -> None:
    """The control: when this fails, alpaca-py has changed, and the two rules above may be looked at again."""
    trading, _ = sdk._clients()
    client = trading(api_key="a", secret_key="b", url_override=server, raw_data=True)
    client._retry_wait = 0
    Handler.answer = (504, b'{"message": "late"}')
    with pytest.raises(Exception, match="late"):
        client.post("/orders", {"qty": "1"})
    client._session.close()
    assert len(Handler.seen) > 1


def test_numbers_come_as_they_were_written(calls: Any) -> None:
    Handler.answer = (200, b'{"p": 0.1234, "q": 123456789.123456789012}')
    assert calls.data("/x") == {"p": Decimal("0.1234"), "q": Decimal("123456789.123456789012")}


@pytest.mark.parametrize("body", [b"<html>", b'{"p": NaN}', b'{"p":', b"\x80{"], ids=str)
def test_what_is_no_json_is_lost(calls: Any, body: bytes) -> None:
    Handler.answer = (200, body)
    with pytest.raises(Lost):
        calls.get("/account")


def test_an_answer_that_drips_is_given_up(calls: Any) -> None:
    Handler.drips = True
    with pytest.raises(Lost):
        calls.get("/account")


def test_nobody_there_is_lost_and_says_no_address() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{probe.getsockname()[1]}"
    calls = sdk.calls_for(KEYS, address, address, 0.5)
    with pytest.raises(Lost) as caught:
        calls.get("/account")
    calls.close()
    assert "127.0.0.1" not in str(caught.value)


@pytest.mark.parametrize(
    ("status", "body", "is_rights", "is_answer", "is_known"),
    [
        (401, b'{"code": 40110000, "message": "request is not authorized"}', True, True, False),
        (403, b'{"message": "forbidden."}', True, True, False),
        (403, b'{"code": 40310000, "message": "insufficient buying power"}', False, True, False),
        (422, b'{"code": 40010001, "message": "client_order_id must be unique"}', False, True, True),
        (422, b'{"code": 42210000, "message": "client order id must be unique"}', False, True, True),
        (422, b'{"code": 42210000, "message": "qty must be > 0"}', False, True, False),
        (429, b'{"message": "too many requests."}', False, False, False),
        (408, b"", False, False, False),
        (500, b"<html>", False, False, False),
        (504, b"[1]", False, False, False),
    ],
    ids=str,
)
def test_what_a_refusal_means(
    calls: Any, status: int, body: bytes, is_rights: bool, is_answer: bool, is_known: bool
) -> None:
    Handler.answer = (status, body)
    with pytest.raises(Refused) as caught:
        calls.get("/account")
    error = caught.value
    assert (error.is_for_want_of_rights, error.is_an_answer, error.is_known_already) == (is_rights, is_answer, is_known)
    assert KEYS.secret not in f"{error!r} {error.__cause__!r} {error.__context__!r}"
