"""`subscriber-agent status`: how it is doing, for people, for machines, and as an exit status for monitoring."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer

from signal_contract.cli.answer import finish, table
from signal_contract.envelope import Envelope, Problem
from signal_contract.errors import LinkNotLive, NotFound
from subscriber_agent.cli.account import book_now, hold_line, holds_by, ledger_now, session_now, usd
from subscriber_agent.cli.health import (
    account_alarms,
    engine_health,
    engine_text,
    open_reconcile,
    protections_now,
    reconcile_text,
    stops_text,
)
from subscriber_agent.cli.held import account_dict, held_now
from subscriber_agent.cli.place import ConfigOption, JsonOption, Place, open_place

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

    from subscriber_agent.in_force import InForce
    from subscriber_agent.journal import ControlRow, Journal
    from subscriber_agent.own_book import OwnBook

_STOPPED = "stopped"
_CONTROLS_LOOKED_AT = 100
# Catching up after a kill takes half a minute; a signal that waits for longer than this is stuck.
_UNDECIDED_S = 120.0
CheckOption = Annotated[
    bool,
    typer.Option(
        "--check",
        help="One line, and exit status 0 only when the agent runs, signals flow, the engine answers, both agree on "
        "what is held, and every position has its stop; else 18.",
    ),
]


def status(config: ConfigOption = None, check: CheckOption = False, as_json: JsonOption = False) -> None:
    """Is it running and connected, may it trade, what has it decided, what does the account hold?

    Example: subscriber-agent status --config alice.yaml
    """
    place = open_place(config)
    try:
        with place.journal() as journal:
            data = _status(place, journal, datetime.now(UTC))
    except NotFound as error:
        if not check:
            raise
        raise LinkNotLive(error.message, hint=error.hint) from error
    problems = _problems(data) if check else ()
    exit_code = LinkNotLive.exit_code if problems else Envelope("").exit_code
    finish(
        Envelope("subscriber-agent status", data, exit_code, problems),
        as_json=as_json,
        render=lambda out: out.print(_one_line(data), markup=False) if check else _render(out, data),
    )


def _problems(data: dict[str, Any]) -> tuple[Problem, ...]:
    """Why monitoring should raise an alarm; empty when all is well."""
    return tuple(Problem.from_error(LinkNotLive(text)) for text in (*_link_alarms(data), *account_alarms(data)))


def _link_alarms(data: dict[str, Any]) -> Iterator[str]:
    from subscriber_agent.receiving.link_state import LinkState

    flowing = [each.value for each in LinkState if each.is_flowing]
    if not data["running"] or data["link"] is None or data["link"]["state"] not in flowing:
        what = "the agent does not run" if not data["running"] else _one_line(data)
        yield f"no signals reach {data['user']}: {what}"
    elif (waiting := data["undecided_for_s"]) is not None and waiting > _UNDECIDED_S:
        yield f"a signal has been undecided for {waiting:.0f} s: the engine or the agent hangs"


def _undecided_for_s(journal: Journal, now: datetime) -> float | None:
    """For how long the oldest undecided signal has been in the journal; None when there is none."""
    oldest = journal.undecided(1)
    return (now - oldest[0].received_at).total_seconds() if oldest else None


def _status(place: Place, journal: Journal, now: datetime) -> dict[str, Any]:
    from subscriber_agent.own_book import OwnBook

    running, own = place.is_running(), OwnBook(journal)
    counts = _in_force(place, journal, running=running)
    return {
        "user": place.creds.user,
        "running": running,
        "mode": counts.mode,
        "engine": counts.engine,
        "privacy": counts.privacy,
        "config_hash": counts.config_hash,
        "is_file_in_force": counts.config_hash == place.config.config_hash(),
        **_link(journal, now, running=running),
        **_operator(journal),
        "undecided": journal.undecided_count(),
        "undecided_for_s": _undecided_for_s(journal, now),
        "parked": journal.parked_count(),
        "feedback": {"waiting": journal.feedback_count(), "dropped": journal.feedback_dropped()},
        "decisions": [{"verdict": t.verdict, "code": t.code, "count": t.count} for t in journal.counts()],
        "account": account_dict(journal, journal.snapshot(), held_now(journal, own)),
        "engine_health": engine_health(journal, counts, now),
        "protections": protections_now(journal, now),
        "reconcile": open_reconcile(journal),
        **_limits(place, journal, counts, own, now),
        **_expiry(place, now),
        "config": str(place.config_file),
        "journal": str(place.journal_file),
    }


def _link(journal: Journal, now: datetime, *, running: bool) -> dict[str, Any]:
    link, progress = journal.link_state(), journal.progress()
    shown = None
    if link is not None:
        shown = {
            "state": link.state if running else _STOPPED,
            "since": link.since.isoformat(),
            "reason": link.reason if running else "",
        }
    return {
        "link": shown,
        "heartbeat": _heartbeat(journal.meta("heartbeat"), now),
        "position": None if progress is None else progress.position,
        "pending": None if progress is None else progress.pending,
        "measured_at": None if progress is None else progress.at.isoformat(),
        "last_sequence": journal.last_sequence(),
        "last_received_at": link.last_received_at.isoformat() if link and link.last_received_at else None,
    }


def _heartbeat(text: str | None, now: datetime) -> dict[str, Any] | None:
    """The publisher's last sign of life as the running agent noted it, with its age in seconds."""
    if text is None:
        return None
    found: dict[str, Any] = orjson.loads(text)
    age_s = (now - datetime.fromisoformat(found["at"])).total_seconds()
    return {"age_s": round(age_s, 1), **found}


def _operator(journal: Journal) -> dict[str, Any]:
    from signal_contract.control import Verb
    from subscriber_agent.flags import FLAGS, known_from

    words = journal.controls(_CONTROLS_LOOKED_AT)
    notices = [each for each in words if each.verb is Verb.NOTICE]
    orders = [each for each in words if each.verb is not Verb.NOTICE]
    return {
        "trading": trading_now(journal),
        "control": _word(orders[0]) if orders else None,
        "notice": _word(notices[0]) if notices else None,
        "flags": list(known_from(journal.meta(FLAGS)).held.reasons),
    }


def trading_now(journal: Journal) -> dict[str, dict[str, Any]]:
    """The friend's own latch and the operator's two: state, reason and since when."""
    from subscriber_agent.receiving.control_state import LOCAL_LATCH, OPERATOR_LATCH, OPERATOR_USER_LATCH

    return {name: _latch(journal, name) for name in (LOCAL_LATCH, OPERATOR_LATCH, OPERATOR_USER_LATCH)}


def _latch(journal: Journal, name: str) -> dict[str, Any]:
    latch = journal.latch(name)
    if latch is None:
        return {"state": "ACTIVE", "reason": "", "since": None}
    return {"state": latch.value, "reason": latch.reason, "since": latch.at.isoformat()}


def _word(row: ControlRow) -> dict[str, Any]:
    return {
        "seq": row.stream_seq,
        "scope": row.scope,
        "verb": row.verb.value,
        "reason": row.reason,
        "issued_at": row.issued_at.isoformat(),
    }


def _in_force(place: Place, journal: Journal, *, running: bool) -> InForce:
    """What the running agent decides by, where it has noted it; else what its next start will."""
    from subscriber_agent.in_force import noted, of_file

    return (noted(journal) if running else None) or of_file(place.config)


def _limits(place: Place, journal: Journal, counts: InForce, own: OwnBook, now: datetime) -> dict[str, Any]:
    waiting = [each for each in journal.approvals("waiting") if each.is_waiting_at(now)]
    request = journal.flatten_request()
    book = book_now(journal, place.config, now, own)
    return {
        "approvals": len(waiting),
        "holds": holds_by(ledger_now(journal, book, now), counts.limits, now),
        "session": session_now(now),
        "flatten_requested_at": None if request is None else request.at.isoformat(),
    }


def _expiry(place: Place, now: datetime) -> dict[str, Any]:
    from subscriber_agent.identity.credentials import days_left

    end = place.creds.expires_at
    return {"creds_expire_at": end.isoformat() if end else None, "creds_days_left": days_left(end, now)}


# For people -------------------------------------------------------------------------------------------------------


def _one_line(data: dict[str, Any]) -> str:
    link = data["link"]
    if link is None:
        return "never connected"
    reason = f": {link['reason']}" if link["reason"] else ""
    return f"{link['state']} since {link['since'][:19]} UTC{reason}"


def _render(out: Console, data: dict[str, Any]) -> None:
    account, feedback = data["account"], data["feedback"]
    rows = [
        ("user", data["user"]),
        ("agent", "running" if data["running"] else "not running: start it with `subscriber-agent run`"),
        ("link", _one_line(data)),
        ("publisher", _publisher_text(data["heartbeat"])),
        ("mode", f"{data['mode']} on {data['engine']}"),
        ("config", None if data["is_file_in_force"] else "the file says something else than what counts now"),
        ("engine", engine_text(data["engine_health"])),
        ("trading", _trading_text(data["trading"])),
        ("entries stopped", "; ".join(map(hold_line, data["holds"])) or "no"),
        ("session", _session_text(data["session"])),
        ("approvals", f"{data['approvals']} wait: see `subscriber-agent approvals`" if data["approvals"] else 0),
        ("flatten", data["flatten_requested_at"] and f"asked at {data['flatten_requested_at'][:19]} UTC"),
        ("operator said", _word_text(data["control"])),
        ("operator's flags", "; ".join(data["flags"]) or None),
        ("notice", _word_text(data["notice"])),
        ("last signal", f"sequence {data['last_sequence']}, received {(data['last_received_at'] or 'never')[:19]}"),
        ("position", _position_text(data)),
        ("undecided", data["undecided"]),
        ("parked", f"{data['parked']}: see `subscriber-agent parked list`" if data["parked"] else 0),
        ("feedback", f"{data['privacy']}; {feedback['waiting']} reports waiting, {feedback['dropped']} dropped"),
        (
            "equity",
            f"{usd(account['equity_usd'])} USD, cash {usd(account['cash_usd'])}, {account['positions']} positions",
        ),
        ("realised", f"{usd(account['realised_usd'])} USD"),
        ("stops", stops_text(data["protections"])),
        ("reconcile", reconcile_text(data["reconcile"])),
        ("creds expire", _expiry_text(data["creds_expire_at"], data["creds_days_left"])),
        ("journal", data["journal"]),
    ]
    table("", "", rows=rows)(out)
    out.print()
    decided = [(each["verdict"], each["code"], each["count"]) for each in data["decisions"]]
    table("verdict", "reason", ">count", rows=decided, empty="nothing decided yet")(out)


def _trading_text(trading: dict[str, dict[str, Any]]) -> str:
    states = [
        f"{who.replace('_', ' ')} {each['state']} {each['reason']}".strip()
        for who, each in trading.items()
        if each["state"] != "ACTIVE"
    ]
    return "; ".join(states) or "ACTIVE"


def _session_text(session: dict[str, Any]) -> str:
    opens = "unknown" if session["next_open"] is None else f"{session['next_open'][:16].replace('T', ' ')} UTC"
    return f"{session['now'] or 'unknown'}, next open {opens}"


def _word_text(word: dict[str, Any] | None) -> str | None:
    if word is None:
        return None
    return f"{word['verb']} ({word['scope']}) at {word['issued_at'][:19]} UTC {word['reason']}".rstrip()


def _publisher_text(heartbeat: dict[str, Any] | None) -> str | None:
    if heartbeat is None:
        return None
    return f"outbox {heartbeat['state']}, last sign of life {heartbeat['age_s']:.0f} s ago"


def _position_text(data: dict[str, Any]) -> str | None:
    if data["position"] is None:
        return None
    pending = "an unknown number" if data["pending"] is None else data["pending"]
    return f"sequence {data['position']}, {pending} waiting, as of {data['measured_at'][:19]} UTC"


def _expiry_text(expires_at: str | None, days: int | None) -> str:
    from subscriber_agent.identity.credentials import WARN_DAYS

    if expires_at is None or days is None:
        return "never"
    advice = ": ask your operator to extend them" if days < max(WARN_DAYS) else ""
    return f"{expires_at[:19]} UTC, {days} days left{advice}"
