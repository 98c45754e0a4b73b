"""What `run` prints for people: one line for each thing that happens. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def report_line(event: str, facts: dict[str, Any]) -> str:
    """The line for a report of the worker; empty when it is not worth one."""
    return _LINES[event](facts) if event in _LINES else ""


def decision_line(facts: dict[str, Any]) -> str:
    """`BUY AAPL fda: bought 92 @ 5.41`, or why not."""
    what = f"{facts['action']:<5} {facts['ticker']:<6} {facts['catalyst']:<18}"
    return f"{facts['seq']:>7}  {facts['signal_id'][:8]}  {what} {_what_came_of_it(facts)}"


def _what_came_of_it(facts: dict[str, Any]) -> str:
    outcome, plan, label = facts["outcome"], facts["decision"]["plan"], facts["label"]
    if outcome is None or plan is None:
        return f"{facts['decision']['verdict'].lower()}: {label}"
    if outcome["price"] is not None:
        return f"{plan['side']} {outcome['quantity']} @ {outcome['price']} {label}"
    return f"{plan['side']} {plan['quantity']}: {label} {outcome['detail']}".rstrip()


def _connected(facts: dict[str, Any]) -> str:
    skew = facts["skew_s"]
    clock = "clock unknown" if skew is None else f"clock {skew:+.3f} s"
    return f"connected as {facts['user']}; {facts['waiting']} signals waiting; {clock}"


def _caught_up(facts: dict[str, Any]) -> str:
    if not facts["missed"]:
        return "up to date; waiting for signals"
    outcomes = ", ".join(f"{count} {what}" for what, count in facts["outcomes"].items())
    return f"caught up: {facts['missed']} missed: {outcomes or 'none to decide on'}"


def _expiring(facts: dict[str, Any]) -> str:
    days = facts["days_left"]
    left = "in less than a day" if days == 0 else f"in {days} day{'s' if days > 1 else ''}"
    return f"your credentials expire {left} ({facts['expires_at'][:16]} UTC): ask your operator to extend them"


def _replaced(facts: dict[str, Any]) -> str:
    end = facts["expires_at"]
    return f"took up the new creds file; valid {f'until {end[:16]} UTC' if end else 'without end'}"


_LINES: dict[str, Callable[[dict[str, Any]], str]] = {
    "decision": decision_line,
    "connected": _connected,
    "caught_up": _caught_up,
    "disconnected": lambda facts: f"connection lost, trying again {facts['detail']}".rstrip(),
    "reconnected": lambda facts: "connected again",
    "parked": lambda facts: f"set aside a message at {facts['seq']}: {facts['code']}: {facts['detail']}",
    "recovered": lambda facts: f"order {facts['order_id']} of the last run: {facts['outcome']['state']}",
    "occupied": lambda facts: (
        f"somebody else receives as {facts['user']}; waiting up to {facts['wait_s']} s for a left-over to end"
    ),
    "creds_expiring": _expiring,
    "creds_replaced": _replaced,
    "creds_kept": lambda facts: f"the new creds file is not used, the old ones stay: {facts['detail']}",
    "key_changed": lambda facts: f"the publisher signs with a new key from sequence {facts['seq'] + 1} on",
    "stopped": lambda facts: "stopped",
}
