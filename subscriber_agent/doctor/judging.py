"""What the measurements on the friend's side amount to. Pure: `now` is an argument, durations are seconds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from signal_contract.doctor.finding import Verdict, fail, ok, warn
from signal_contract.model import Session
from signal_contract.subject import SIGNALS_ROOT, control_filters
from signal_contract.topology import durable_config
from subscriber_agent.accounting.calendar import Calendar
from subscriber_agent.receiving.durable import Durable
from subscriber_agent.receiving.link_state import PUBLISHER_SILENT_S

MAX_UNCONFIRMED = 256
UNDECIDED_S = 120.0
_CALENDAR_WARN = timedelta(days=90)
# These decide which messages come; the rest of a durable is the operator's affair.
_SETTINGS = ("ack_policy", "ack_wait", "max_deliver", "replay_policy", "max_waiting", "max_ack_pending")


@dataclass(frozen=True, slots=True)
class Beat:
    """A sign of life: seconds since it was made, the outbox's state, whether the classifier has stalled."""

    age_s: float
    state: str
    is_stalled: bool = False


def judged_durable(user: str, answer: Mapping[str, Any], durable: Durable) -> Verdict:
    """D15: the filters that it reads, and whether it is set as this version sets it."""
    own = [each for each in durable.filters if each.startswith(f"{SIGNALS_ROOT}.")]
    missing = [each for each in control_filters(user) if each not in durable.filters]
    if not durable.filters or any(each in (">", f"{SIGNALS_ROOT}.>") for each in durable.filters):
        return fail("it has no filter of its own and delivers everything", "tell your operator: this is not yours")
    strange = [each for each in durable.filters if each not in own and each not in control_filters(user)]
    if strange:
        return fail(f"it reads what is not yours: {', '.join(strange)}", "tell your operator: `catalyst user sync`")
    if missing:
        return fail(
            f"it leaves out the operator's word: {', '.join(missing)}", "tell your operator: `catalyst user sync`"
        )
    if not own:
        return fail("it reads no signals at all", "tell your operator: `catalyst user sync`")
    text = f"reads {', '.join(own)}; confirmed up to sequence {durable.position}"
    differing = _differing(user, answer)
    if differing:
        return warn(f"{text}; other settings: {', '.join(differing)}", "your operator restarts `catalyst up`")
    return ok(text, filters=list(durable.filters), position=durable.position)


def _differing(user: str, answer: Mapping[str, Any]) -> list[str]:
    found = answer.get("config")
    wanted = durable_config(user, (f"{SIGNALS_ROOT}.*.*",))
    settings = found if isinstance(found, dict) else {}
    return [f"{key} {settings.get(key)!r}" for key in _SETTINGS if settings.get(key) != wanted[key]]


def judged_alone(pulls: Sequence[int], *, is_running: bool) -> Verdict:
    """D20: `pulls` are how many waited on the durable at each of several looks; one agent has one, at times two."""
    fewest = min(pulls, default=0)
    if is_running:
        if fewest > 1:
            return fail(f"{fewest} agents receive as you: one here, the rest elsewhere")
        return ok("the agent here, and no other" if fewest else "the agent here; it does not ask at this moment")
    return warn("no agent runs here, and another one receives as you") if fewest else ok("no agent runs")


def judged_waiting(durable: Durable, *, is_running: bool) -> Verdict:
    """D21: what waits on the durable, and what was delivered and not confirmed."""
    text = f"{durable.waiting} wait, {durable.in_flight} delivered and not confirmed"
    facts: dict[str, Any] = {"waiting": durable.waiting, "unconfirmed": durable.in_flight}
    if is_running and durable.in_flight >= MAX_UNCONFIRMED:
        return fail(f"{text}: the durable is held up", "look at disk space (D04) and the agent's output", **facts)
    return warn(text, **facts) if durable.waiting or durable.in_flight else ok(text, **facts)


def judged_beat(beat: Beat | None, listened_s: float) -> Verdict | None:
    """D19: the publisher's last sign of life; None when nothing was heard for too short a time to say."""
    if beat is not None and beat.age_s <= PUBLISHER_SILENT_S:
        text = f"{max(0.0, beat.age_s):.0f} s ago, its outbox is {beat.state}"
        if beat.is_stalled:
            return warn(f"{text}; the classifier has stopped looking at the news", "tell your operator")
        return ok(text) if beat.state == "up" else warn(text, "your operator looks at `catalyst doctor` (D28)")
    if beat is not None:
        return fail(f"the last one is {beat.age_s:.0f} s old; one comes every 15 s")
    return fail(f"none within {listened_s:.0f} s; one comes every 15 s") if listened_s >= 16 else None


@dataclass(frozen=True, slots=True)
class Backlog:
    """What the journal holds beside decided signals; `oldest_s`: how long the oldest undecided one has waited."""

    undecided: int
    oldest_s: float | None
    parked: int


def judged_backlog(backlog: Backlog, *, is_running: bool) -> Verdict:
    """D22: signals without a decision, and messages that were set aside."""
    text = f"{backlog.undecided} undecided, {backlog.parked} parked"
    if is_running and backlog.oldest_s is not None and backlog.oldest_s > UNDECIDED_S:
        return fail(f"{text}; the oldest has waited for {backlog.oldest_s:.0f} s: the engine or the agent hangs")
    waits = backlog.undecided and not is_running
    return warn(text) if backlog.parked or waits else ok(text)


def judged_latches(latches: Mapping[str, tuple[str, str]], holds: Sequence[str]) -> Verdict:
    """D23: latch → (state, reason) of those that are set, and what else holds entries back, in words."""
    said = [
        f"{name.replace('_', ' ')} {state} {reason}".strip()
        for name, (state, reason) in latches.items()
        if state != "ACTIVE"
    ]
    return warn("; ".join([*said, *holds])) if said or holds else ok("nothing holds it back")


def judged_calendar(calendar: Calendar, now: datetime, traded: Sequence[Session]) -> Verdict:
    """D25: whether today and the coming months are in the table, and whether this is a session to trade in."""
    session, opens = calendar.session_at(now), calendar.next_open(now)
    if session is None:
        return fail(f"today is not in the table of trading days ({calendar.first} to {calendar.last})")
    when = f", next open {opens:%Y-%m-%d %H:%M} UTC" if opens is not None else ""
    text = f"the session is {session.value}{when}"
    if calendar.last - now.date() < _CALENDAR_WARN:
        return warn(f"{text}; the table ends with {calendar.last}", "upgrade catalyst-signals for a newer table")
    if session not in traded:
        # Every night is such a time: it is said, and is no fault.
        return ok(f"{text}; you trade in {', '.join(each.value for each in traded)}, so entries wait")
    return ok(text)
