"""`catalyst held | approve | reject`: the operator's word on signals that were published with `--approve`."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

from rich.console import Console

from publisher.entry import Receipt
from publisher.gate import held_signals, locked
from publisher.held import Held, approved
from publisher.revision import prefix_checked
from publisher.service import SignalPublisher
from publisher.settings import default_data_dir, outbox_path, read_settings
from signal_contract.cli.answer import finish, table
from signal_contract.envelope import Envelope, Problem
from signal_contract.errors import CatalystError, Conflict, ExitCode
from signal_contract.model import Signal

_SHOWN_ID = 10


@dataclass(frozen=True, slots=True)
class Released:
    """A signal that went out; no receipt while it waits in the outbox."""

    signal: Signal
    is_new: bool
    receipt: Receipt | None
    failure: CatalystError | None

    def as_dict(self) -> dict[str, Any]:
        return {
            **_facts(self.signal),
            "is_new": self.is_new,
            "is_waiting": self.receipt is None,
            "sequence": None if self.receipt is None else self.receipt.sequence,
        }


def answer_held(data: Path | None, *, as_json: bool) -> NoReturn:
    """Print what waits; what has expired is dropped and named."""
    home = data or default_data_dir()
    waiting, expired = asyncio.run(_looked(home))
    now = datetime.now(UTC)
    answer = {
        "held": [{**_facts(each.signal), "held_at": each.held_at.isoformat()} for each in waiting],
        "expired": [_facts(each.signal) for each in expired],
    }

    def render(out: Console) -> None:
        rows = [_row(each, now) for each in waiting]
        table("id", "signal", ">conf.", "held for", "expires in", "news", rows=rows, empty="nothing is held")(out)
        if expired:
            out.print(f"expired before anybody said yes: {len(expired)}", markup=False)

    finish(Envelope("catalyst held", answer), as_json=as_json, render=render)


def answer_approve(data: Path | None, ids: Sequence[str], timeout_s: float, *, as_json: bool) -> NoReturn:
    """Send held signals and print what went out."""
    released = asyncio.run(_approved(data or default_data_dir(), ids, timeout_s))
    failure = next((each.failure for each in released if each.receipt is None and each.failure), None)
    problems: tuple[Problem, ...] = ()
    if failure is not None:
        safe = "it is safe in the outbox and goes out at the next publish, or by `catalyst relay`"
        problems = (Problem(failure.code, f"{failure.message}; {safe}", failure.hint),)

    def render(out: Console) -> None:
        for each in released:
            where = "waits in the outbox" if each.receipt is None else f"is in the stream at {each.receipt.sequence}"
            out.print(f"{_named(each.signal)} {where}", markup=False)

    code = ExitCode.OK if failure is None else failure.exit_code
    envelope = Envelope("catalyst approve", {"approved": [each.as_dict() for each in released]}, code, problems)
    finish(envelope, as_json=as_json, render=render)


def answer_reject(data: Path | None, ids: Sequence[str], *, as_json: bool) -> NoReturn:
    """Put held signals away for good."""
    rejected = asyncio.run(_rejected(data or default_data_dir(), ids))

    def render(out: Console) -> None:
        for each in rejected:
            out.print(f"{_named(each.signal)} is rejected", markup=False)

    envelope = Envelope("catalyst reject", {"rejected": [_facts(each.signal) for each in rejected]})
    finish(envelope, as_json=as_json, render=render)


async def _looked(data: Path) -> tuple[tuple[Held, ...], tuple[Held, ...]]:
    async with locked(outbox_path(data)):
        expired = held_signals(data).cleared(datetime.now(UTC))
        return held_signals(data).all(), expired


async def _approved(data: Path, ids: Sequence[str], timeout_s: float) -> list[Released]:
    now = datetime.now(UTC)
    settings, held = read_settings(data, now=now), held_signals(data)
    async with SignalPublisher(settings) as publisher:
        async with locked(settings.outbox):
            chosen = [_alive(held.one(prefix_checked(each)), now) for each in ids]
            signals = [approved(each, now) for each in chosen]
            submitted = await publisher.submit_many(signals)
            # Killed before this, they are held still, and approving them once more is a duplicate.
            for each in signals:
                held.drop(each.signal_id)
        drained = await publisher.flush(timeout_s)
        receipts = [await publisher.receipt(each.message_id) for each in signals]
    return [
        Released(signal, each.is_new, receipt, drained.failure)
        for signal, each, receipt in zip(signals, submitted, receipts, strict=True)
    ]


async def _rejected(data: Path, ids: Sequence[str]) -> list[Held]:
    held = held_signals(data)
    async with locked(outbox_path(data)):
        chosen = [held.one(prefix_checked(each)) for each in ids]
        for each in {one.signal.signal_id for one in chosen}:
            held.reject(each)
    return chosen


def _alive(held: Held, now: datetime) -> Held:
    if held.has_expired(now):
        raise Conflict(
            f"{_named(held.signal)} has expired, nothing was sent",
            hint="`catalyst held` drops what has expired; approve the others by their own ids.",
        )
    return held


def _facts(signal: Signal) -> dict[str, Any]:
    return {
        "signal_id": signal.signal_id,
        "action": signal.action.value,
        "ticker": signal.ticker,
        "catalyst": signal.catalyst,
        "confidence": format(signal.confidence, "f"),
        "expires_at": None if signal.expires_at is None else signal.expires_at.isoformat(),
        "title": signal.news.title,
    }


def _named(signal: Signal) -> str:
    return f"{signal.signal_id[:_SHOWN_ID]} {signal.action.value} {signal.ticker} {signal.catalyst}"


def _row(held: Held, now: datetime) -> tuple[object, ...]:
    signal = held.signal
    what = f"{signal.action.value} {signal.ticker} {signal.catalyst}"
    left = None if signal.expires_at is None else _span((signal.expires_at - now).total_seconds())
    waited = _span((now - held.held_at).total_seconds())
    return (signal.signal_id[:_SHOWN_ID], what, signal.confidence, waited, left, signal.news.title[:40])


def _span(seconds: float) -> str:
    minutes = max(0, int(seconds // 60))
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h"
