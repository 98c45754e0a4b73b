"""What `status` says of the engine and the account: the breaker, the stops, and whether both logs agree."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from subscriber_agent.cli.held import stop_dict, unprotected

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from subscriber_agent.in_force import InForce
    from subscriber_agent.journal import Journal


def engine_health(journal: Journal, counts: InForce, now: datetime) -> dict[str, Any]:
    """The circuit breaker of the engine that spoke last, and how old its last word is."""
    word = journal.snapshot()
    breaker = journal.breaker()
    return {
        "name": counts.engine if word is None else word.engine,
        "health": breaker.health(counts.limits, now).value,
        "failures": breaker.failures,
        "word_age_s": None if word is None else round((now - word.at).total_seconds(), 1),
    }


def protections_now(journal: Journal, now: datetime) -> dict[str, Any]:
    """How many positions have their stop, and which have not had it for too long."""
    stops = [each for each in journal.protections() if each.is_open]
    states = [each.state.value for each in stops]
    return {
        "confirmed": states.count("CONFIRMED"),
        "failed": states.count("FAILED"),
        "wanted": sum(each not in ("CONFIRMED", "FAILED") for each in states),
        "unprotected": [{"ticker": each.ticker, **stop_dict(each, now)} for each in unprotected(stops, now)],
    }


def open_reconcile(journal: Journal) -> dict[str, Any] | None:
    """What differs from the engine's word; None when nothing does."""
    row = journal.open_reconcile()
    if row is None:
        return None
    return {"number": row.number, "since": row.at.isoformat(), "differences": [dict(each) for each in row.differences]}


def account_alarms(data: dict[str, Any]) -> Iterator[str]:
    """Why monitoring should raise an alarm over engine and account."""
    engine, reconcile = data["engine_health"], data["reconcile"]
    if engine["health"] == "OPEN":
        yield f"the engine {engine['name']} failed {engine['failures']} times in a row: nothing is ordered"
    if reconcile is not None:
        count = len(reconcile["differences"])
        yield f"the engine says something else than the agent's log in {count} respects: `subscriber-agent reconcile`"
    for each in data["protections"]["unprotected"]:
        yield f"{each['ticker']} has had no confirmed stop for {each['for_s']:.0f} s ({each['state']})"


def engine_text(engine: dict[str, Any]) -> str:
    """The engine's row for people."""
    age = engine["word_age_s"]
    heard = "not asked yet" if age is None else f"last word {age:.0f} s ago"
    faults = f", {engine['failures']} failures in a row" if engine["failures"] else ""
    return f"{engine['name']} {engine['health']}{faults}, {heard}"


def stops_text(stops: dict[str, Any]) -> str:
    """How many stops are where they should be, for people."""
    parts = [f"{stops[name]} {name}" for name in ("confirmed", "wanted", "failed") if stops[name]]
    return ", ".join(parts) or "none needed"


def reconcile_text(row: dict[str, Any] | None) -> str:
    """What differs, for people."""
    if row is None:
        return "the engine agrees"
    what = ", ".join(f"{each['kind']} {each['ticker']}" for each in row["differences"])
    return f"no entries since {row['since'][:19]} UTC: {what}: see `subscriber-agent reconcile`"
