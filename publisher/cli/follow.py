"""`catalyst publish --follow`: what is written to a file or into a directory goes out, until Ctrl-C."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from publisher.background import StateChange
from publisher.gate import Fate, Gate
from publisher.guard import aged
from publisher.intake.follow import Batch, Tail, outcome_of
from publisher.intake.outcome import Draft, Dropped, RefusalCode, Refused
from publisher.intake.record import Intake
from publisher.intake.rules import Rules, read_rules
from publisher.intake.watched import Watched
from publisher.service import SignalPublisher
from publisher.settings import default_data_dir, read_settings
from signal_contract.cli.answer import print_json, say
from signal_contract.cli.interrupts import Interrupts
from signal_contract.edges import reached
from signal_contract.errors import CatalystError, InputError, StorageFailed
from signal_contract.model import Signal

Report = Callable[[str, dict[str, Any]], None]
_POLL_S = 0.1
_RETRY_S = 2.0


@dataclass(frozen=True, slots=True)
class FollowRequest:
    """What the command line asked for."""

    path: Path
    data: Path | None
    from_start: bool
    is_drill: bool
    is_approved: bool


def run_follow(request: FollowRequest, *, as_json: bool) -> int:
    """Follow until Ctrl-C; the exit status."""

    def report(event: str, facts: dict[str, Any]) -> None:
        if as_json:
            print_json({"type": event, "at": datetime.now(UTC).isoformat(), **facts})
        else:
            say(report_line(event, facts))

    return asyncio.run(_until_stopped(request, report))


def report_line(event: str, facts: dict[str, Any]) -> str:
    """The line for people; pure."""
    match event:
        case "following":
            return f"following {facts['path']}; Ctrl-C ends"
        case "signal":
            why = f": {facts['reason']}" if facts["reason"] else ""
            named = f"{facts['action']} {facts['ticker']} {facts['catalyst']}"
            return f"{facts['code']:<11} {facts['signal_id'][:10]} {named}{why}"
        case "refused":
            return f"refused     line {facts['line']}: {facts['code']}: {facts['reason']}"
        case "turn":
            return f"{facts['file']} was {facts['turn']}" if facts["turn"] != "lost" else _LOST.format(facts["file"])
        case "state":
            why = f": {facts['reason']}" if facts["reason"] else ""
            return f"publisher {facts['state']}, {facts['waiting']} waiting{why}"
        case "problem":
            return f"[{facts['code']}] {facts['message']}" + (f" → {facts['hint']}" if facts["hint"] else "")
        case _:
            counts = ", ".join(f"{name} {count}" for name, count in facts["counts"].items()) or "nothing came"
            return f"{event}: {counts}; {facts['waiting']} waiting in the outbox"


_LOST = "the file that was followed is gone; {} is read from its beginning, what lay between may be missing"


class _Following:
    """One run: reads, asks the gate, remembers the place; counts by code."""

    def __init__(self, request: FollowRequest, rules: Rules, gate: Gate, report: Report, stop: asyncio.Event) -> None:
        self._request, self._rules, self._gate, self._report, self._stop = request, rules, gate, report, stop
        self.counts: Counter[str] = Counter()

    async def run(self, watched: Watched) -> None:
        while not self._stop.is_set():
            try:
                batches = await asyncio.to_thread(lambda: list(watched.next()))
            except InputError as error:  # unreadable for the moment: the writer may be replacing it
                self._problem(error)
                await self._pause(_RETRY_S)
                continue
            for tail, batch in batches:
                await self._taken(tail, batch)
            if not batches:
                await self._pause(_POLL_S)

    async def _taken(self, tail: Tail, batch: Batch) -> None:
        if batch.turn is not None:
            self._report("turn", {"file": str(tail.path), "turn": batch.turn.value})
        fates = await self._submitted(self._signals(tail, batch))
        if fates is None:
            return  # stopped before it was safe: the place stays before these lines
        reached("follow.submitted")
        await self._remembered(tail, batch)
        for fate in fates:
            self.counts[fate.code] += 1
            self._report("signal", fate.as_dict())

    def _signals(self, tail: Tail, batch: Batch) -> list[Signal]:
        now = datetime.now(UTC)
        intake = Intake(now, is_drill=self._request.is_drill, rules=self._rules)
        signals = []
        for line in batch.lines:
            match outcome_of(line, intake):
                case Draft(signal):
                    signals.append(aged(signal, self._gate.limits, now))
                case Dropped(code):
                    self.counts[f"dropped {code}"] += 1
                case Refused(code, reason):
                    self._refused(tail, line.number, code, reason)
        return signals

    def _refused(self, tail: Tail, number: int, code: RefusalCode, reason: str) -> None:
        self.counts["refused"] += 1
        self._report("refused", {"file": str(tail.path), "line": number, "code": code.value, "reason": reason})

    async def _submitted(self, signals: Sequence[Signal]) -> tuple[Fate, ...] | None:
        """What became of them, however long the disk is full; None when stopped before."""
        while True:
            try:
                return await self._gate.take(signals)
            except StorageFailed as error:
                self._problem(error)
            await self._pause(_RETRY_S)
            if self._stop.is_set():
                return None

    async def _remembered(self, tail: Tail, batch: Batch) -> None:
        try:
            await asyncio.to_thread(tail.remember, batch.place)
        except StorageFailed as error:  # after a restart these lines are read again, as duplicates
            self._problem(error)

    def _problem(self, error: CatalystError) -> None:
        self._report("problem", {"code": error.code, "message": error.message, "hint": error.hint})

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stop.wait()


async def _until_stopped(request: FollowRequest, report: Report) -> int:
    stop, main = asyncio.Event(), asyncio.current_task()

    def hurry() -> None:
        if main is not None:
            main.cancel()

    data = request.data or default_data_dir()
    settings, rules = read_settings(data, now=datetime.now(UTC)), read_rules(data)
    memory = data / "publisher" / "follow"
    interrupts = Interrupts(stop=stop.set, hurry=hurry, message="stopping: sending what waits (Ctrl-C again to end)")
    publisher = SignalPublisher(
        settings, background=True, on_state=_state_told(report), on_problem=lambda error: _problem_told(report, error)
    )
    with contextlib.suppress(asyncio.CancelledError):
        async with publisher, Gate(publisher, settings, is_capped=True, is_approved=request.is_approved) as gate:
            following = _Following(request, rules, gate, report, stop)
            with Watched(request.path, memory, from_start=request.from_start) as watched:
                report("following", {"path": str(request.path)})
                await following.run(watched)
            waiting = (await publisher.counts()).pending
            report("stopped", {"counts": dict(following.counts.most_common()), "waiting": waiting})
    return int(interrupts.exit_code)


def _state_told(report: Report) -> Callable[[StateChange], None]:
    return lambda change: report(
        "state", {"state": change.state.value, "reason": change.reason, "waiting": change.waiting}
    )


def _problem_told(report: Report, error: CatalystError) -> None:
    report("problem", {"code": error.code, "message": error.message, "hint": error.hint})
