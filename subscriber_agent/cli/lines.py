"""What `run` prints for people: one line for each thing that happens. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from subscriber_agent.receiving.catch_up import outcomes_text


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
    return f"caught up: {facts['missed']} missed: {outcomes_text(facts['outcomes'])}"


def _control(facts: dict[str, Any]) -> str:
    whom = "to you" if facts["scope"] == "user" else "to everybody"
    if facts["verb"] == "notice":
        return f"NOTICE from the operator {whom}: {facts['reason']}"
    reason = f": {facts['reason']}" if facts["reason"] else ""
    return f"{facts['verb'].upper()} from the operator {whom}{reason}; his word now stands at {facts['state']}"


def _withdrawn(facts: dict[str, Any]) -> str:
    held = facts["position"]
    what = "nothing of it is held now" if held is None else f"you hold {held['quantity']} @ {held['average_price']}"
    return f"the operator withdrew {facts['signal_id'][:8]} {facts['ticker']}, which was traded: {what}"


def _gap(facts: dict[str, Any]) -> str:
    return "" if facts["kind"] == "filtered" else f"gap: {facts['detail']}"


def _expiring(facts: dict[str, Any]) -> str:
    days = facts["days_left"]
    left = "in less than a day" if days == 0 else f"in {days} day{'s' if days > 1 else ''}"
    return f"your credentials expire {left} ({facts['expires_at'][:16]} UTC): ask your operator to extend them"


def _replaced(facts: dict[str, Any]) -> str:
    end = facts["expires_at"]
    return f"took up the new creds file; valid {f'until {end[:16]} UTC' if end else 'without end'}"


def _approval(facts: dict[str, Any]) -> str:
    plan, short = facts["plan"], facts["id"][:8]
    what = f"{plan['side']} {plan['quantity']} {plan['ticker']} @ {plan['limit_price'] or plan['reference_price']}"
    return f"your word is needed until {facts['expires_at'][11:19]} UTC: {what}: `subscriber-agent approve {short}`"


def _breach(facts: dict[str, Any]) -> str:
    then = "; closing every position" if facts["is_flatten"] else ""
    return f"{facts['kind']} LOSS LIMIT: {facts['lost_usd']} USD lost of {facts['limit_usd']} USD: no entries{then}"


def _own_exit(facts: dict[str, Any]) -> str:
    outcome = facts["outcome"]
    came = f"{outcome['quantity']} @ {outcome['price']} " if outcome["price"] is not None else f"{facts['quantity']}: "
    what = f"{facts['side']} {facts['ticker']} {came}{outcome['state']} {outcome['detail']}".rstrip()
    return f"{facts['kind']}: {what} ({facts['reason']})" if facts["reason"] else f"{facts['kind']}: {what}"


def _changed(facts: dict[str, Any]) -> str:
    if not facts["changes"]:
        return "started with another config than the last time"
    what = ", ".join(f"{each['key']} {each['before']} → {each['after']}" for each in facts["changes"])
    return f"config changed{', looser by your word' if facts['is_loosening'] else ''}: {what}"


def _pending(facts: dict[str, Any]) -> str:
    if not facts["changes"]:
        return "no looser settings wait any more"
    what = ", ".join(f"{each['key']} {each['before']} → {each['after']}" for each in facts["changes"])
    return f"looser settings wait for `subscriber-agent config accept --confirm`: {what}"


def _kept(facts: dict[str, Any]) -> str:
    if not facts["violations"]:
        return "the config file can be used again"
    return f"the config file is not used, the old settings stay: {'; '.join(facts['violations'])}"


def _restart(facts: dict[str, Any]) -> str:
    return f"counts from the next start on: {', '.join(facts['keys'])}" if facts["keys"] else ""


def _flags(facts: dict[str, Any]) -> str:
    taken = {"entries": "no new positions", "real_money": "no entries with real money", "asks": "each entry asks you"}
    what = ", ".join(words for key, words in taken.items() if facts[key])
    return f"flags from the operator: {what or 'nothing is held back'}" + "".join(f"; {x}" for x in facts["reasons"])


def _order_end(facts: dict[str, Any]) -> str:
    outcome = facts["outcome"]
    return f"order {facts['order_id']} {facts['ticker']}: {outcome['state']} {outcome['detail']}".rstrip()


def _differs(facts: dict[str, Any]) -> str:
    parts = (f"{each['kind']} {each['ticker']} {each['ours']}/{each['engines']}" for each in facts["differences"])
    what = ", ".join(parts)
    return f"THE ENGINE SAYS SOMETHING ELSE (ours/its): {what}: no entries; see `subscriber-agent reconcile`"


def _not_connected(facts: dict[str, Any]) -> str:
    count = facts["positions"]
    what = f"{count} position{'s' if count > 1 else ''}"
    then = "trying on" if facts["is_tried_again"] else "ending once nothing needs it any more"
    return f"not connected ({facts['detail']}); looking after {what}, and {then}"


_LINES: dict[str, Callable[[dict[str, Any]], str]] = {
    "decision": decision_line,
    "connected": _connected,
    "caught_up": _caught_up,
    "control": _control,
    "retracted_after_trade": _withdrawn,
    "link": lambda facts: f"link {facts['state']}: {facts['reason']} (was {facts['before']})",
    "alert": lambda facts: f"ALERT: no signals for {facts['lasted_s']:.0f} s: {facts['reason']} ({facts['state']})",
    "alert_over": lambda facts: f"signals flow again, after {facts['lasted_s']:.0f} s",
    "gap": _gap,
    "disconnected": lambda facts: f"connection lost, trying again {facts['detail']}".rstrip(),
    "reconnected": lambda facts: "connected again",
    "parked": lambda facts: f"set aside a message at {facts['seq']}: {facts['code']}: {facts['detail']}",
    "approval": _approval,
    "approval_ended": lambda facts: f"{facts['ticker']} {facts['id'][:8]}: {facts['state']}, nothing is ordered",
    "breach": _breach,
    "own_exit": _own_exit,
    "all_closed": lambda facts: "every position is closed" + (f" ({facts['reason']})" if facts["reason"] else ""),
    "order": _order_end,
    "flags": _flags,
    "engine_fault": lambda facts: f"engine {facts['engine']} failed: {facts['detail']} (circuit {facts['health']})",
    "engine_ok": lambda facts: f"engine {facts['engine']} works again",
    "leg_filled": lambda facts: (
        f"{facts['leg']}: {facts['side']} {facts['ticker']} {facts['quantity']} @ {facts['price']} by the engine"
    ),
    "exit_waits": lambda facts: f"the exit of {facts['ticker']} waits: {facts['reason']}",
    "entry_cancelled": lambda facts: f"cancelled what was left of the entry in {facts['ticker']}: {facts['reason']}",
    "unprotected": lambda facts: (
        f"NOBODY HOLDS THE STOP OF {facts['ticker']}: {facts['reason']}: closing it, and everything is halted"
    ),
    "fill_fault": lambda facts: f"the engine contradicts itself about {facts['ticker']}: {facts['detail']}",
    "overfilled": lambda facts: (
        f"MORE WAS TRADED THAN ASKED FOR in {facts['ticker']} (order {facts['order_id']}): no entries until you resume"
    ),
    "target_not_watched": lambda facts: f"the target of {facts['ticker']} is not watched: only its stop is held",
    "engine_not_ready": lambda facts: f"engine {facts['engine']} does not start: {facts['detail']}; trying on",
    "engine_ready": lambda facts: f"engine {facts['engine']} has started",
    "engine_deaf": lambda facts: f"engine {facts['engine']} tells nothing any more: {facts['detail']}; still asked",
    "engine_heard": lambda facts: f"engine {facts['engine']} tells what happens again",
    "not_connected": _not_connected,
    "reconcile": _differs,
    "reconciled": lambda facts: "the engine and the agent's own log say the same again",
    "reconcile_waits": lambda facts: f"no entries until the engine says what it holds: {facts['detail']}",
    "config_changed": _changed,
    "config_pending": _pending,
    "config_kept": _kept,
    "config_needs_restart": _restart,
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
