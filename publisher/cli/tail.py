"""`catalyst tail`: what goes out right now, as the operator's monitor hears it; one line a signal.

A plain subscription: it sees what is published while it runs, and takes nothing from anybody's place in the stream.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections import OrderedDict
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from publisher.settings import PublisherSettings, default_data_dir, read_again, read_settings
from signal_contract.cli.answer import print_json, say
from signal_contract.cli.interrupts import Interrupts
from signal_contract.codec import decode
from signal_contract.control import read_control
from signal_contract.creds import read_creds
from signal_contract.delivery import Delivery, LinkEvent, LinkNotice
from signal_contract.errors import CatalystError, LinkError, SignalInvalid
from signal_contract.heartbeat import Heartbeat, read_heartbeat
from signal_contract.link import Link, opened
from signal_contract.model import Signal
from signal_contract.signing import MESSAGE_ID_HEADER, SIGNATURE_HEADER
from signal_contract.subject import CONTROL_ALL, CONTROL_USER, HEARTBEAT_PUBLISHER, entitlement, is_entitled

_CONTROL = (f"{CONTROL_ALL}.*", f"{CONTROL_USER}.*.*")
# A relay sends again what it got no receipt for: shown once.
_REMEMBERED = 10_000
_TITLE = 70
Report = Callable[[str, dict[str, Any]], None]


def run_tail(data: Path | None, filters: Sequence[str], *, as_json: bool) -> int:
    """Show what goes out until Ctrl-C; the exit status.

    Raises SubjectInvalid for a filter, CredsInvalid, and what opening a link raises.
    """
    wanted = entitlement(list(filters) or ["signals.>"])
    return asyncio.run(_until_stopped(data or default_data_dir(), wanted, _Screen(as_json=as_json)))


class _Screen:
    """A line on stdout for each thing; on a terminal the last heartbeat is one line on stderr, written over."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._has_status = not as_json and sys.stderr.isatty()
        self._said = ""

    def show(self, event: str, facts: dict[str, Any]) -> None:
        if self._as_json:
            print_json({"type": event, "at": datetime.now(UTC).isoformat(), **facts})
            return
        self._wipe()
        sys.stdout.write(tail_line(event, facts) + "\n")
        sys.stdout.flush()

    def status(self, facts: dict[str, Any]) -> None:
        """Fold a heartbeat: JSON and pipes are told of changes of the state only."""
        state = f"{facts['state']} {facts['classifier']}"
        if self._has_status:
            self._wipe()
            sys.stderr.write(tail_line("status", facts))
            sys.stderr.flush()
        elif state != self._said:
            self._said = state
            if self._as_json:
                self.show("status", facts)
            else:
                say(tail_line("status", facts))

    def _wipe(self) -> None:
        if self._has_status:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()

    def say(self, message: str) -> None:
        self._wipe()
        say(message)


def tail_line(event: str, facts: dict[str, Any]) -> str:
    """The line for people; pure."""
    match event:
        case "signal":
            what = facts["action"] if facts["event"] == "new" else f"{facts['event']} {facts['action']}"
            price = f" @ {facts['reference_price']}" if facts["reference_price"] else ""
            drill = " DRILL" if facts["drill"] else ""
            head = f"{facts['published_at'][11:19]}Z {facts['signal_id'][:10]}{drill} {what} {facts['ticker']}{price}"
            return f"{head} {facts['catalyst']} {facts['confidence']} {facts['title'][:_TITLE]}"
        case "control":
            whom = facts["user"] or "everybody"
            return f"{facts['issued_at'][11:19]}Z control {facts['verb']} for {whom}: {facts['reason']}"
        case "status":
            reach = "" if facts["last_sequence"] is None else f", stream at {facts['last_sequence']}"
            mode = f", classifier {facts['classifier']}" if facts["classifier"] else ""
            return f"{facts['beat_at'][11:19]}Z publisher {facts['state']}, {facts['waiting']} waiting{reach}{mode}"
        case _:
            return f"NOT SHOWN: a message on {facts['subject']}: [{facts['code']}] {facts['message']}"


class _Ear:
    """Checks what comes in with the publisher's key, and shows it."""

    def __init__(self, settings: PublisherSettings, filters: tuple[str, ...], screen: _Screen) -> None:
        self._settings, self._filters, self._screen = settings, filters, screen
        self._shown: OrderedDict[str, None] = OrderedDict()

    async def hear(self, delivery: Delivery) -> None:
        """Show one message, or say why it is not shown."""
        try:
            await self._check(delivery)
            self._show(delivery)
        except CatalystError as error:
            facts = {"subject": delivery.subject[:100], "code": error.code, "message": error.message}
            self._screen.show("untrusted", facts)

    async def _check(self, delivery: Delivery) -> None:
        signature = delivery.headers.get(SIGNATURE_HEADER)
        try:
            self._settings.signer.verifier.check(delivery.subject, delivery.data, signature)
        except CatalystError:
            # The operator may have changed the key.
            self._settings = await asyncio.to_thread(read_again, self._settings, now=datetime.now(UTC))
            self._settings.signer.verifier.check(delivery.subject, delivery.data, signature)

    def _show(self, delivery: Delivery) -> None:
        if delivery.subject == HEARTBEAT_PUBLISHER:
            self._screen.status(_beat_facts(read_heartbeat(delivery.data)))
            return
        if self._is_known(delivery.headers.get(MESSAGE_ID_HEADER, "")):
            return
        if delivery.subject.startswith("control."):
            control = read_control(delivery.subject, delivery.data)
            self._screen.show("control", control.model_dump(mode="json"))
            return
        signal = decode(delivery.data)
        if signal.subject != delivery.subject:
            raise SignalInvalid("the signal belongs on another subject than the one it came on")
        if is_entitled(delivery.subject, self._filters):
            self._screen.show("signal", signal_facts(signal))

    def _is_known(self, message_id: str) -> bool:
        if not message_id:
            return False
        if message_id in self._shown:
            return True
        self._shown[message_id] = None
        if len(self._shown) > _REMEMBERED:
            self._shown.popitem(last=False)
        return False


def signal_facts(signal: Signal) -> dict[str, Any]:
    """What is shown of a signal; numbers as text. Pure."""
    document = signal.model_dump(mode="json")
    names = ("signal_id", "revision", "event", "action", "ticker", "catalyst", "confidence", "reference_price")
    times = ("published_at", "expires_at")
    facts = {name: document[name] for name in (*names, *times)}
    return {**facts, "source": signal.news.source, "title": signal.news.title, "drill": "drill" in signal.meta}


def _beat_facts(beat: Heartbeat) -> dict[str, Any]:
    classifier = beat.classifier
    degraded = " degraded" if classifier is not None and classifier.degraded else ""
    return {
        "beat_at": beat.at.isoformat(),
        "state": beat.state.value,
        "waiting": beat.waiting,
        "last_sequence": beat.last_sequence,
        "classifier": None if classifier is None else f"{classifier.mode.value}{degraded}",
    }


async def _until_stopped(data: Path, filters: tuple[str, ...], screen: _Screen) -> int:
    now = datetime.now(UTC)
    settings = read_settings(data, now=now)
    creds = read_creds(data / "monitor" / "monitor.creds", role="monitor", now=now)
    stop, main = asyncio.Event(), asyncio.current_task()

    def hurry() -> None:
        if main is not None:
            main.cancel()

    def on_notice(notice: LinkNotice) -> None:
        if notice.event in (LinkEvent.DISCONNECTED, LinkEvent.RECONNECTED, LinkEvent.DENIED):
            screen.say(f"{notice.event.value} {notice.detail}".strip())

    interrupts = Interrupts(stop=stop.set, hurry=hurry, message="stopped")
    options = {"ca_file": settings.ca_file, "tls_name": settings.tls_name, "on_notice": on_notice}
    with contextlib.suppress(asyncio.CancelledError):
        async with opened(settings.servers, creds, label="tail", **options) as link:
            ear = _Ear(settings, filters, screen)
            for subject in (*filters, *_CONTROL, HEARTBEAT_PUBLISHER):
                await link.subscribe(subject, ear.hear)
            await link.flush()
            screen.say(f"listening to {', '.join(filters)}; Ctrl-C ends")
            await _ended(link, stop)
    return int(interrupts.exit_code)


async def _ended(link: Link, stop: asyncio.Event) -> None:
    """Wait for Ctrl-C, or raise why the server ended it."""
    waits = [asyncio.create_task(stop.wait(), name="tail-stop"), asyncio.create_task(link.closed.wait(), name="tail")]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for each in waits:
            each.cancel()
    if link.closed.is_set() and not stop.is_set():
        raise link.failure or LinkError("the server has ended the connection")
