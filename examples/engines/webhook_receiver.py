"""A receiver for the webhook engine: checks every request, fills every order at once, keeps all of it in memory.

Run it, then point `engine.webhook.url` at it:

    openssl rand -hex 32 > webhook.secret; chmod 600 webhook.secret
    python webhook_receiver.py webhook.secret 8080        # answers on http://127.0.0.1:8080/

Nothing but Python's standard library. It is a start for your own: put your broker where `Account.submit` fills, keep
the orders on disk (this one forgets them when it ends), and put a web server with TLS in front of it.
"""

import hashlib
import hmac
import json
import sys
import time
from decimal import Decimal
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock
from typing import Any

Document = dict[str, Any]

MAX_BYTES = 1_000_000
FRESH_S = 300
CAPABILITIES = {
    "shorts": True,
    "brackets": True,
    "limits": True,
    "cancels": True,
    "idempotent": True,
    "marks_positions": True,
    "concurrent": True,
    "times_in_force": ["day", "gtc"],
}


class Account:
    """Pretend money. Numbers are Decimals inside and text outside: a float would not be exact."""

    def __init__(self, cash: str) -> None:
        self.cash, self.lock = Decimal(cash), Lock()
        self.shares: dict[str, Decimal] = {}
        self.prices: dict[str, Decimal] = {}
        self.orders: dict[str, Document] = {}

    def on_hello(self, request: Document) -> Any:
        return {"name": "example-receiver", "version": "1", "is_paper": True, "capabilities": CAPABILITIES}

    def on_submit(self, request: Document) -> Any:
        order = request["order"]
        order_id, ticker = order["order_id"], order["ticker"]
        if order_id in self.orders:  # the rule that matters most: the same id never trades twice
            return self.on_lookup(order)
        price = order["limit_price"] or order["reference_price"] or self.prices.get(ticker)
        sign, quantity = (1 if order["side"] == "buy" else -1), Decimal(order["quantity"])
        held = self.shares.get(ticker, Decimal(0))
        if price is None or quantity <= 0:
            outcome = {"state": "REJECTED", "reason": "no price is known, or an order of nothing"}
        elif order["leg"] == "exit" and (held * sign >= 0 or abs(held) < quantity):
            outcome = {"state": "REJECTED", "reason": f"no position of {quantity} {ticker} to close"}
        else:
            self.fill(ticker, sign * quantity, Decimal(price))
            outcome = {"state": "FILLED", "filled_quantity": str(quantity), "average_price": str(price), "legs": []}
            for leg in ("stop", "target") if order["leg"] == "entry" else ():
                if order[f"{leg}_price"] is not None:
                    leg_id = f"{order_id.rsplit('-', 1)[0]}-{leg}"
                    held_leg = {"leg": leg, "order_id": leg_id, "state": "ACCEPTED", "protects": str(quantity)}
                    outcome["legs"].append({**held_leg, "trigger_price": order[f"{leg}_price"]})
        self.orders[order_id] = {"order": order, "outcome": outcome}
        return outcome

    def on_lookup(self, request: Document) -> Any:
        known = self.orders.get(request["order_id"])
        return None if known is None else known["outcome"]  # null: certain that it never came

    def on_cancel(self, request: Document) -> Any:
        outcome = self.on_lookup(request)
        for leg in (outcome or {}).get("legs", ()):
            if leg["state"] == "ACCEPTED":
                leg["state"] = "CANCELLED"
        return outcome

    def on_account(self, request: Document) -> Any:
        worth = sum(held * self.prices[ticker] for ticker, held in self.shares.items())
        return {"cash": str(self.cash), "equity": str(self.cash + worth), "is_blocked": False}

    def on_positions(self, request: Document) -> Any:
        rows = [(ticker, str(held), str(self.prices[ticker])) for ticker, held in self.shares.items()]
        return [{"ticker": ticker, "quantity": held, "last_price": price} for ticker, held, price in rows]

    def on_orders(self, request: Document) -> Any:
        found = []
        for known in self.orders.values():
            order, side = known["order"], "sell" if known["order"]["side"] == "buy" else "buy"
            for leg in known["outcome"].get("legs", ()):
                if leg["state"] == "ACCEPTED":
                    kind, name = ("stop", "stop_price") if leg["leg"] == "stop" else ("limit", "limit_price")
                    row = {"order_id": leg["order_id"], "ticker": order["ticker"], "side": side, "order_type": kind}
                    found.append({**row, "quantity": leg["protects"], name: leg["trigger_price"]})
        return found

    def on_observe(self, request: Document) -> Any:
        """A price on the wire: this account has no market of its own, so stops and targets live by these."""
        ticker, price, triggered = request["ticker"], Decimal(request["price"]), []
        self.prices[ticker] = price
        for order_id, known in self.orders.items():
            order, legs = known["order"], known["outcome"].get("legs", [])
            sign = 1 if order["side"] == "buy" else -1
            for leg in legs if order["ticker"] == ticker else ():
                distance = (price - Decimal(leg["trigger_price"])) * sign
                if leg["state"] == "ACCEPTED" and (distance <= 0 if leg["leg"] == "stop" else distance >= 0):
                    self.fill(ticker, -sign * Decimal(leg["protects"]), price)
                    self.on_cancel({"order_id": order_id})
                    leg.update(state="FILLED", filled_quantity=leg["protects"], average_price=str(price))
                    triggered.append(order_id)
        return triggered

    def on_health(self, request: Document) -> Any:
        return None

    def fill(self, ticker: str, signed: Decimal, price: Decimal) -> None:
        self.cash -= signed * price
        self.prices[ticker] = price
        self.shares[ticker] = self.shares.get(ticker, Decimal(0)) + signed
        if not self.shares[ticker]:
            del self.shares[ticker]


def refusal(secret: bytes, headers: Message, body: bytes) -> str | None:
    """Why a request is not ours or not fresh; None when it is fine. Compare signatures in constant time."""
    timestamp = headers.get("X-Catalyst-Timestamp", "")
    expected = "sha256=" + hmac.new(secret, timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()
    if not hmac.compare_digest(expected.encode(), headers.get("X-Catalyst-Signature", "").encode()):
        return "the signature is wrong"
    return None if abs(time.time() - int(timestamp)) <= FRESH_S else "the timestamp is more than five minutes off"


def answer(account: Account, request: Document) -> Document:
    head = {"v": 1, "id": request.get("id")}
    operation = getattr(account, f"on_{request.get('op')}", None)
    if request.get("v") != 1 or operation is None:
        return {**head, "ok": False, "error": {"code": "unknown_op", "message": str(request.get("op"))}}
    with account.lock:
        return {**head, "ok": True, "result": operation(request)}


def handler(account: Account, secret: bytes) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 30
        wbufsize = 65_536  # an answer in one packet: unbuffered, each takes 40 ms longer

        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            if not 0 < length <= MAX_BYTES:
                return self.reply(413, {"error": "between 1 byte and 1 MB"})
            body = self.rfile.read(length)
            reason = refusal(secret, self.headers, body)
            if reason is not None:
                return self.reply(401, {"error": reason})
            return self.reply(200, answer(account, json.loads(body)))

        def reply(self, status: int, document: Document) -> None:
            body = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing: an address in a log may hold a token."""

    return Handler


def main() -> None:
    secret = Path(sys.argv[1]).read_text(encoding="utf-8").strip().encode()
    port = int(sys.argv[2]) if len(sys.argv) > 2 else 8080
    server = ThreadingHTTPServer(("127.0.0.1", port), handler(Account("100000"), secret))
    server.daemon_threads = True
    sys.stdout.write(f"http://127.0.0.1:{server.server_port}/\n")
    sys.stdout.flush()
    server.serve_forever()


if __name__ == "__main__":
    main()
