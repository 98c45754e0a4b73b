"""`catalyst relay`: the publisher in the foreground, and the same beside `catalyst up`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from publisher.background import StateChange
from publisher.circuit import CircuitState
from publisher.service import SignalPublisher
from publisher.settings import default_data_dir, read_settings
from signal_contract.cli.answer import print_json, say
from signal_contract.cli.interrupts import Interrupts
from signal_contract.errors import CatalystError, StorageFailed
from signal_contract.logs import is_json, log_event
from signal_contract.notify import ServiceManager, feed, this_process
from signal_contract.reach import is_away

Report = Callable[[str, dict[str, Any]], None]
_STATUS_EVERY_S = 60.0
# A server that `catalyst up` is stopping takes nothing more.
_COMPANION_CLOSING_S = 1.0


def report_line(event: str, facts: dict[str, Any]) -> str:
    """The line for people; pure."""
    match event:
        case "state":
            why = f": {facts['reason']}" if facts["reason"] else ""
            return f"publisher {facts['state']}, {facts['waiting']} waiting{why}"
        case "problem":
            return f"publisher: [{facts['code']}] {facts['message']}" + (f" → {facts['hint']}" if facts["hint"] else "")
        case "status":
            last = facts["last_sequence"]
            reach = "" if last is None else f", stream at {last}"
            return f"publisher {facts['state']}, {facts['waiting']} waiting, {facts['sent']} sent{reach}"
        case _:
            return f"publisher {event}: {facts['waiting']} waiting, safe in the outbox"


@asynccontextmanager
async def _relayed(data: Path, report: Report, sent: list[int], closing_s: float) -> AsyncIterator[SignalPublisher]:
    def on_state(change: StateChange) -> None:
        report("state", {"state": change.state.value, "reason": change.reason, "waiting": change.waiting})

    def on_problem(error: CatalystError) -> None:
        report("problem", {"code": error.code, "message": error.message, "hint": error.hint})

    def on_receipt(_: object) -> None:
        sent[0] += 1

    settings = read_settings(data, now=datetime.now(UTC))
    publisher = SignalPublisher(
        settings, background=True, on_receipt=on_receipt, on_state=on_state, on_problem=on_problem, closing_s=closing_s
    )
    async with publisher:
        yield publisher


async def relaying(data: Path, tell: Callable[[str], None]) -> None:
    """Send what comes into the outbox of `data` until cancelled, and tell what changes.

    Raises CatalystError when settings, keys or outbox cannot be read.
    """
    report: Report = lambda event, facts: tell(report_line(event, facts))  # noqa: E731  # a name for its type
    async with _relayed(data, report, [0], _COMPANION_CLOSING_S) as publisher:
        await publisher.ended()


def run_relay(data: Path | None, *, as_json: bool) -> int:
    """Run `catalyst relay` until Ctrl-C; the exit status."""

    def report(event: str, facts: dict[str, Any]) -> None:
        if as_json:
            print_json({"type": event, "at": datetime.now(UTC).isoformat(), **facts})
        elif is_json():
            log_event(event, facts, report_line(event, facts))
        else:
            say(report_line(event, facts))

    return asyncio.run(_until_stopped(data or default_data_dir(), report))


async def _until_stopped(data: Path, report: Report) -> int:
    stop, main, sent = asyncio.Event(), asyncio.current_task(), [0]
    manager = this_process()
    told = _told_to(manager, report)

    def hurry() -> None:
        if main is not None:
            main.cancel()

    interrupts = Interrupts(stop=stop.set, hurry=hurry, message="stopping: sending what waits (Ctrl-C again to end)")
    try:
        async with _relayed(data, told, sent, closing_s=5.0) as publisher, asyncio.TaskGroup() as group:
            manager.ready("what comes into the outbox goes out")
            watchdog = group.create_task(feed(manager, lambda: _is_alive(publisher)), name="relay-watchdog")
            faults = group.create_task(publisher.ended(), name="relay-faults")
            status = group.create_task(_status_for_ever(publisher, report, sent), name="relay-status")
            await stop.wait()
            manager.stopping()
            watchdog.cancel()
            faults.cancel()
            status.cancel()
            report("stopped", {"waiting": (await publisher.counts()).pending})
    except asyncio.CancelledError:
        say("ended at once; what waits is safe in the outbox")
    return int(interrupts.exit_code)


def _told_to(manager: ServiceManager, report: Report) -> Report:
    """`report`, and what concerns the service manager to it as well."""

    def told(event: str, facts: dict[str, Any]) -> None:
        if event == "state":
            manager.status(report_line(event, facts))
        report(event, facts)

    return told


async def _is_alive(publisher: SignalPublisher) -> bool:
    """The stream has answered the last heartbeat or signal; or no server is there, and a restart would mend nothing."""
    return publisher.state is CircuitState.UP or await is_away(publisher.settings.servers)


async def _status_for_ever(publisher: SignalPublisher, report: Report, sent: list[int]) -> None:
    while True:
        await asyncio.sleep(_STATUS_EVERY_S)
        try:
            waiting = (await publisher.counts()).pending
        except StorageFailed:
            continue  # told as a problem by the sending itself
        facts = {"state": publisher.state.value, "waiting": waiting, "sent": sent[0]}
        report("status", {**facts, "last_sequence": publisher.last_sequence})
