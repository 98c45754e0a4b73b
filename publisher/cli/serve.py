"""`catalyst intake serve`: the HTTP door in the foreground, with the publisher behind it."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from publisher.background import StateChange
from publisher.gate import Gate
from publisher.intake.follow import outcome_of
from publisher.intake.lines import Line
from publisher.intake.outcome import Draft, Dropped, Refused
from publisher.intake.record import Intake
from publisher.intake.rules import Rules, read_rules
from publisher.intake.web import REQUEST_TIMEOUT_S, Door, token_at
from publisher.service import SignalPublisher
from publisher.settings import default_data_dir, read_settings
from signal_contract.cli.answer import print_json, say
from signal_contract.cli.interrupts import Interrupts
from signal_contract.errors import CatalystError, RequestTimedOut
from signal_contract.model import Signal

Report = Callable[[str, dict[str, Any]], None]
_CLOSING_S = 5.0


@dataclass(frozen=True, slots=True)
class ServeRequest:
    """What the command line asked for."""

    port: int
    data: Path | None
    is_approved: bool


class Desk:
    """Behind the door: reads records, asks the gate on the event loop, and answers for each record."""

    def __init__(
        self, publisher: SignalPublisher, gate: Gate, loop: asyncio.AbstractEventLoop, rules: Rules, report: Report
    ) -> None:
        self._publisher, self._gate, self._loop, self._rules, self._report = publisher, gate, loop, rules, report
        self.counts: Counter[str] = Counter()

    def take(self, records: Sequence[bytes]) -> list[dict[str, Any]]:
        """Publish records; called from the door's threads. Raises StorageFailed, or RequestTimedOut."""
        intake = Intake(datetime.now(UTC), rules=self._rules)
        outcomes = [outcome_of(Line(number, each, len(each)), intake) for number, each in enumerate(records, 1)]
        fates = iter(self._submitted([each.signal for each in outcomes if isinstance(each, Draft)]))
        answers: list[dict[str, Any]] = []
        for each in outcomes:
            match each:
                case Draft():
                    answers.append(next(fates))
                case Dropped(code, reason):
                    answers.append({"code": "DROPPED", "reason": f"{code}: {reason}"})
                case Refused(refused, reason):
                    answers.append({"code": refused.value, "reason": reason})
        return answers

    def _submitted(self, signals: list[Signal]) -> list[dict[str, Any]]:
        if not signals:
            return []
        asked = asyncio.run_coroutine_threadsafe(self._gate.take(signals), self._loop)
        try:
            fates = asked.result(REQUEST_TIMEOUT_S)
        except FutureTimeout as error:
            raise RequestTimedOut(
                "the outbox did not answer in time", hint="Send the request again: nothing is published twice."
            ) from error
        for each in fates:
            self.counts[each.code] += 1
            self._report("signal", each.as_dict())
        return [each.as_dict() for each in fates]

    def health(self) -> dict[str, Any]:
        """The publisher's way to the stream, and what waits. Raises CatalystError."""
        counts = asyncio.run_coroutine_threadsafe(self._publisher.counts(), self._loop).result(REQUEST_TIMEOUT_S)
        return {
            "publisher": self._publisher.state.value,
            "waiting": counts.pending,
            "last_sequence": self._publisher.last_sequence,
        }


def run_serve(request: ServeRequest, *, as_json: bool) -> int:
    """Serve until Ctrl-C; the exit status. Raises PortTaken, and what reading settings and token raises."""

    def report(event: str, facts: dict[str, Any]) -> None:
        if as_json:
            print_json({"type": event, "at": datetime.now(UTC).isoformat(), **facts})
        else:
            say(serve_line(event, facts))

    return asyncio.run(_until_stopped(request, report))


def serve_line(event: str, facts: dict[str, Any]) -> str:
    """The line for people; pure."""
    match event:
        case "serving":
            return f"serving {facts['url']}/signals; the token is in {facts['token_file']}; Ctrl-C ends"
        case "signal":
            why = f": {facts['reason']}" if facts["reason"] else ""
            named = f"{facts['action']} {facts['ticker']} {facts['catalyst']}"
            return f"{facts['code']:<11} {facts['signal_id'][:10]} {named}{why}"
        case "state":
            why = f": {facts['reason']}" if facts["reason"] else ""
            return f"publisher {facts['state']}, {facts['waiting']} waiting{why}"
        case "problem":
            return f"[{facts['code']}] {facts['message']}" + (f" → {facts['hint']}" if facts["hint"] else "")
        case _:
            counts = ", ".join(f"{name} {count}" for name, count in facts["counts"].items()) or "nothing came"
            return f"{event}: {counts}; {facts['waiting']} waiting in the outbox"


async def _until_stopped(request: ServeRequest, report: Report) -> int:
    data = request.data or default_data_dir()
    settings, rules = read_settings(data, now=datetime.now(UTC)), read_rules(data)
    token_file = data / "publisher" / "intake.token"
    token = token_at(token_file)
    stop, main = asyncio.Event(), asyncio.current_task()

    def hurry() -> None:
        if main is not None:
            main.cancel()

    interrupts = Interrupts(stop=stop.set, hurry=hurry, message="stopping: sending what waits (Ctrl-C again to end)")
    publisher = SignalPublisher(settings, background=True, on_state=_told(report), on_problem=_problem_told(report))
    with contextlib.suppress(asyncio.CancelledError):
        async with publisher, Gate(publisher, settings, is_capped=True, is_approved=request.is_approved) as gate:
            desk = Desk(publisher, gate, asyncio.get_running_loop(), rules, report)
            with Door(request.port, token, desk, hint=f"It is in {token_file}.") as door:
                serving = threading.Thread(target=door.serve_forever, args=(0.1,), name="intake-door", daemon=True)
                serving.start()
                url = f"http://127.0.0.1:{door.port}"
                report("serving", {"url": url, "port": door.port, "token_file": str(token_file)})
                await stop.wait()
                # Not awaited in this thread: what is in hand may still need the loop.
                await asyncio.to_thread(door.shutdown)
                await asyncio.to_thread(serving.join, _CLOSING_S)
            waiting = (await publisher.counts()).pending
            report("stopped", {"counts": dict(desk.counts.most_common()), "waiting": waiting})
    return int(interrupts.exit_code)


def _told(report: Report) -> Callable[[StateChange], None]:
    return lambda change: report(
        "state", {"state": change.state.value, "reason": change.reason, "waiting": change.waiting}
    )


def _problem_told(report: Report) -> Callable[[CatalystError], None]:
    return lambda error: report("problem", {"code": error.code, "message": error.message, "hint": error.hint})
