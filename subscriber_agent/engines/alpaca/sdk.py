"""The only module that imports alpaca-py: Alpaca's clients, tamed. Synchronous; `line` runs it on threads.

alpaca-py 0.44 sends a POST again by itself after 429 and 504, waits without any limit, and reads numbers as floats.
Here a call is sent once, has limits for connecting, reading and size, and gives numbers as Decimal. That an order is
sent once is held twice: its retries are off, and the transport lets no second POST through within one call.
"""

from __future__ import annotations

import importlib.util
import json
import time
import warnings
from collections.abc import Iterator
from decimal import Decimal
from functools import partial
from typing import Any, Protocol

from signal_contract.errors import EngineUnusable
from subscriber_agent.engines.alpaca.keys import AlpacaKeys

_INSTALL = 'Run: pip install "catalyst-signals[alpaca]"'
CONNECT_S = 4.0
_MAX_BYTES = 16 * 1024 * 1024
_CHUNK = 4096
_MAX_TEXT = 300


class Refused(Exception):
    """Alpaca answered, and the answer is no: `status` is HTTP's, `code` Alpaca's own, 0 without one."""

    def __init__(self, status: int, code: int, message: str) -> None:
        super().__init__(f"Alpaca answered {status}: {message}")
        self.status, self.code, self.message = status, code, message

    @property
    def is_for_want_of_rights(self) -> bool:
        """Whether the keys were refused, rather than what was asked; a refused order has a code of 403xxxxx."""
        return self.status == 401 or (self.status == 403 and not 40_300_000 <= self.code < 40_400_000)

    @property
    def is_an_answer(self) -> bool:
        """Whether it says for certain that nothing was ordered: 429 and 5xx do not."""
        return 400 <= self.status < 500 and self.status not in (408, 429)

    @property
    def is_known_already(self) -> bool:
        """Whether an order with this id exists. Alpaca says it in words only, with 422."""
        words = self.message.lower().replace("_", " ")
        return self.status == 422 and "client order id must be unique" in words


class Lost(Exception):
    """No answer, or none that can be read: whether the call did anything is not known."""


class Calls(Protocol):
    """One Alpaca client for one thread. Each call raises Refused or Lost and gives JSON with numbers as Decimal."""

    def get(self, path: str, **query: str) -> Any: ...

    def data(self, path: str, **query: str) -> Any: ...

    def post(self, path: str, body: dict[str, Any]) -> Any: ...

    def delete(self, path: str) -> None: ...

    def close(self) -> None: ...


def require() -> None:
    """Raise EngineUnusable unless alpaca-py is installed; imports nothing."""
    if importlib.util.find_spec("alpaca") is None or importlib.util.find_spec("requests") is None:
        raise EngineUnusable("alpaca-py is not installed", hint=_INSTALL)


def load() -> None:
    """Import alpaca-py, which takes a second or two; raises EngineUnusable when it is not the one that we know."""
    trading, data = _clients()
    probe = trading(api_key="none", secret_key="none", raw_data=True)  # noqa: S106  # no key: it is never used
    if not all(hasattr(probe, name) for name in ("_session", "_retry", "_one_request")) or not hasattr(data, "get"):
        raise EngineUnusable("this version of alpaca-py is not known to send an order only once", hint=_INSTALL)


def calls_for(keys: AlpacaKeys, trading_base: str, data_base: str, timeout_s: float) -> Calls:
    """Clients with a session of their own, for one thread; `timeout_s` limits each read and the whole answer."""
    return _Alpaca(keys, trading_base, data_base, timeout_s)


def _clients() -> tuple[Any, Any]:
    try:
        with warnings.catch_warnings():
            # alpaca-py imports the old half of websockets, which says so at every import; nothing here uses it.
            warnings.simplefilter("ignore", DeprecationWarning)
            from alpaca.data.historical.stock import StockHistoricalDataClient
            from alpaca.trading.client import TradingClient
    except ImportError as error:
        raise EngineUnusable(f"alpaca-py cannot be imported: {error}", hint=_INSTALL) from error
    return TradingClient, StockHistoricalDataClient


class _Alpaca:
    def __init__(self, keys: AlpacaKeys, trading_base: str, data_base: str, timeout_s: float) -> None:
        trading, data = _clients()
        auth = {"api_key": keys.key_id, "secret_key": keys.secret, "raw_data": True}
        self._trading, self._data = trading(**auth, url_override=trading_base), data(**auth, url_override=data_base)
        self._once = _tame(self._trading, timeout_s)
        _tame(self._data, timeout_s)

    def get(self, path: str, **query: str) -> Any:
        return _asked(partial(self._trading.get, path, query))

    def data(self, path: str, **query: str) -> Any:
        return _asked(partial(self._data.get, path, query))

    def post(self, path: str, body: dict[str, Any]) -> Any:
        self._once.posts_left = 1
        try:
            return _asked(partial(self._trading.post, path, body))
        finally:
            self._once.posts_left = 0

    def delete(self, path: str) -> None:
        _asked(partial(self._trading.delete, path))

    def close(self) -> None:
        self._trading._session.close()
        self._data._session.close()


def _asked(call: Any) -> Any:
    """Make a call and put what it raises into our words; Alpaca's own text is kept, ours never holds a key."""
    from alpaca.common.exceptions import APIError
    from requests.exceptions import RequestException

    try:
        return call()
    except APIError as error:
        raise _refused(error) from None
    except (RequestException, OSError, ValueError) as error:
        # ValueError: an answer that is no JSON. The class is enough; the text may hold the address.
        raise Lost(f"no answer from Alpaca that can be read ({type(error).__name__})") from None


def _refused(error: Any) -> Refused:
    status = error.status_code if isinstance(error.status_code, int) else 0
    body = str(error)
    try:
        found = json.loads(body)
    except ValueError:
        found = {}
    found = found if isinstance(found, dict) else {}
    code, message = found.get("code"), found.get("message")
    words = message if isinstance(message, str) else body
    printable = "".join(letter if letter.isprintable() else " " for letter in words[:_MAX_TEXT])
    return Refused(status, code if isinstance(code, int) else 0, printable.strip() or "no reason was given")


def _tame(client: Any, timeout_s: float) -> Any:
    """Take alpaca-py's retries away and put a transport with limits under it; the transport is returned."""
    from requests.adapters import HTTPAdapter
    from requests.exceptions import ReadTimeout

    class Once(HTTPAdapter):
        posts_left = 0

        def send(self, request: Any, *_: Any, **options: Any) -> Any:
            if request.method not in ("GET", "DELETE"):
                if self.posts_left < 1:
                    raise RuntimeError("an order was about to be sent a second time")
                self.posts_left -= 1
            ends = time.monotonic() + timeout_s
            options |= {"stream": True, "timeout": (min(CONNECT_S, timeout_s), timeout_s)}
            response = super().send(request, **options)
            response.raw = _Bounded(response.raw, ends, ReadTimeout)
            return response

    client._retry, client._retry_codes = 0, []
    session, transport = client._session, Once(max_retries=0)
    session.mount("https://", transport)
    session.mount("http://", transport)
    session.hooks["response"].append(_exact_numbers)
    return transport


def _exact_numbers(response: Any, **_: Any) -> Any:
    """A hook of requests: the answer's numbers become Decimal, and NaN and Infinity are no numbers."""
    response.json = lambda **_: json.loads(response.content, parse_float=Decimal, parse_constant=_no_number)
    return response


def _no_number(name: str) -> Any:
    raise ValueError(f"{name} is no number")


class _Bounded:
    """A body that may take only so long and be only so large."""

    def __init__(self, raw: Any, ends: float, too_late: type[Exception]) -> None:
        self._raw, self._ends, self._too_late = raw, ends, too_late

    def stream(self, _amount: int, decode_content: bool | None = None) -> Iterator[bytes]:
        size = 0
        for chunk in self._raw.stream(_CHUNK, decode_content=decode_content):
            size += len(chunk)
            if size > _MAX_BYTES or time.monotonic() > self._ends:
                self._raw.close()
                raise self._too_late("the answer is too long or too slow")
            yield chunk

    def __getattr__(self, name: str) -> Any:
        return getattr(self._raw, name)
