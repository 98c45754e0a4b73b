"""`catalyst signal …`: what went out, in all its revisions, and a later word on it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

from rich.console import Console

from publisher.entry import Kept, Replaced
from publisher.outbox import Outbox
from publisher.relay import Drained
from publisher.revision import (
    REASON_KEY,
    Change,
    duration_from,
    one_signal,
    prefix_checked,
    retracted,
    signal_of,
    updated,
)
from publisher.service import SignalPublisher
from publisher.settings import default_data_dir, outbox_path, read_settings
from signal_contract.cli.answer import finish, table
from signal_contract.envelope import Envelope, Problem
from signal_contract.errors import CatalystError, Conflict, ExitCode
from signal_contract.model import Signal

# Enough digits to name one signal of thousands, and the table fits 80 columns.
_SHOWN_ID = 10
Revise = Callable[[Signal, datetime], Signal]


@dataclass(frozen=True, slots=True)
class RevisionRequest:
    """What the command line asked for: which signal, what becomes of it, and how."""

    command: str
    signal_id: str
    data: Path | None
    is_dry: bool
    timeout_s: float


def answer_list(data: Path | None, since: str, limit: int, *, as_json: bool) -> NoReturn:
    """Print the signals of the outbox, newest first, each in its last revision."""
    start = datetime.now(UTC) - duration_from(since)
    kept, replaced = _read(data, lambda outbox: outbox.latest(since=start, limit=limit))
    rows = [_row(each, signal_of(each.entry)) for each in kept]
    columns = ("id", "event", "signal", ">conf.", "submitted", ">stream")
    shown = table(*columns, rows=[_cells(row) for row in rows], empty=f"no signals in the last {since}")
    finish(_envelope("catalyst signal list", {"signals": rows}, replaced), as_json=as_json, render=shown)


def answer_show(data: Path | None, signal_id: str, *, as_json: bool) -> NoReturn:
    """Print every revision of one signal."""
    prefix = prefix_checked(signal_id)
    kept, replaced = _read(data, lambda outbox: outbox.revisions(prefix))
    found = one_signal(prefix, kept)
    documents = [
        {**_row(each, signal), "signal": signal.model_dump(mode="json")}
        for each, signal in ((each, signal_of(each.entry)) for each in found)
    ]

    def render(out: Console) -> None:
        for document in documents:
            _render_one(out, document)

    answer = {"signal_id": documents[0]["signal_id"], "revisions": documents}
    finish(_envelope("catalyst signal show", answer, replaced), as_json=as_json, render=render)


def answer_retract(request: RevisionRequest, reason: str, *, as_json: bool) -> NoReturn:
    """Take a signal back and print what went out."""
    _answer_revised(request, lambda latest, now: retracted(latest, reason, now), as_json=as_json)


def answer_update(request: RevisionRequest, change: Change, *, as_json: bool) -> NoReturn:
    """Change a signal and print what went out."""
    _answer_revised(request, lambda latest, now: updated(latest, change, now), as_json=as_json)


def _read(
    data: Path | None, query: Callable[[Outbox], tuple[Kept, ...]]
) -> tuple[tuple[Kept, ...], tuple[Replaced, ...]]:
    path = outbox_path(data or default_data_dir())
    if not path.exists():
        return (), ()
    with Outbox.open(path) as outbox:
        return query(outbox), tuple(outbox.replaced)


def _answer_revised(request: RevisionRequest, revise: Revise, *, as_json: bool) -> NoReturn:
    if request.is_dry:
        _answer_dry(request, revise, as_json=as_json)
    signal, drained, replaced = asyncio.run(_revised(request, revise))
    receipt = next((each for each in drained.receipts if each.message_id == signal.message_id), None)
    is_waiting = receipt is None and drained.failure is not None
    answer = {
        "signal_id": signal.signal_id,
        "revision": signal.revision,
        "event": signal.event.value,
        "ticker": signal.ticker,
        "sequence": None if receipt is None else receipt.sequence,
        "is_waiting": is_waiting,
        "dry_run": False,
        "signal": signal.model_dump(mode="json"),
    }
    where = "waits in the outbox" if is_waiting else "is in the stream"
    said = (
        f"{signal.event.value} of {signal.signal_id[:_SHOWN_ID]} {signal.ticker} {where} (revision {signal.revision})"
    )
    envelope = _envelope(request.command, answer, replaced, drained.failure)
    finish(envelope, as_json=as_json, render=lambda out: out.print(said, markup=False))


def _answer_dry(request: RevisionRequest, revise: Revise, *, as_json: bool) -> NoReturn:
    prefix = prefix_checked(request.signal_id)
    kept, replaced = _read(request.data, lambda outbox: outbox.revisions(prefix))
    latest = signal_of(one_signal(prefix, kept)[-1].entry)
    signal = revise(latest, datetime.now(UTC))
    before, after = latest.model_dump(mode="json"), signal.model_dump(mode="json")
    changes = {key: {"from": before[key], "to": after[key]} for key in after if before[key] != after[key]}
    answer = {"signal_id": signal.signal_id, "revision": signal.revision, "dry_run": True, "changes": changes}

    def render(out: Console) -> None:
        rows = [(key, each["from"], each["to"]) for key, each in changes.items()]
        table("field", "now", "then", rows=rows)(out)
        out.print("dry run, nothing was sent or kept", markup=False)

    finish(_envelope(request.command, answer, replaced), as_json=as_json, render=render)


async def _revised(request: RevisionRequest, revise: Revise) -> tuple[Signal, Drained, tuple[Replaced, ...]]:
    prefix = prefix_checked(request.signal_id)
    settings = read_settings(request.data or default_data_dir(), now=datetime.now(UTC))
    async with SignalPublisher(settings) as publisher:
        latest = signal_of(one_signal(prefix, await publisher.revisions(prefix))[-1].entry)
        signal = revise(latest, datetime.now(UTC))
        submitted = await publisher.submit(signal)
        if not submitted.is_new:
            raise Conflict(
                f"somebody else has just made revision {signal.revision} of {signal.signal_id[:_SHOWN_ID]}",
                hint="Look at it with `catalyst signal show`, then run the command again.",
            )
        drained = await publisher.flush(request.timeout_s)
        found = await publisher.receipt(signal.message_id)
        receipts = drained.receipts if found is None else (*drained.receipts, found)
        # Others' signals may still wait; what counts here is this one.
        failure = drained.failure if found is None else None
        return signal, Drained(receipts, drained.waiting, failure), publisher.replaced


def _envelope(command: str, data: Any, replaced: Sequence[Replaced], failure: CatalystError | None = None) -> Envelope:
    problems = [Problem.from_error(each.error) for each in replaced]
    if failure is not None:
        safe = "it is safe in the outbox and goes out at the next publish, or by `catalyst relay`"
        problems.insert(0, Problem(failure.code, f"{failure.message}; {safe}", failure.hint))
    code = ExitCode.OK if not problems else failure.exit_code if failure is not None else ExitCode.PARTIAL
    return Envelope(command, data, code, tuple(problems))


def _row(kept: Kept, signal: Signal) -> dict[str, Any]:
    return {
        "signal_id": signal.signal_id,
        "revision": signal.revision,
        "event": signal.event.value,
        "action": signal.action.value,
        "ticker": signal.ticker,
        "catalyst": signal.catalyst,
        "confidence": format(signal.confidence, "f"),
        "submitted_at": kept.submitted_at.isoformat(),
        "sequence": kept.sequence,
        "reason": signal.meta.get(REASON_KEY),
    }


def _cells(row: dict[str, Any]) -> tuple[Any, ...]:
    event = row["event"] if row["revision"] == 1 else f"{row['event']} {row['revision']}"
    when = f"{row['submitted_at'][5:16].replace('T', ' ')}Z"
    sequence = "waiting" if row["sequence"] is None else row["sequence"]
    what = f"{row['action']} {row['ticker']} {row['catalyst']}"
    return (row["signal_id"][:_SHOWN_ID], event, what, row["confidence"], when, sequence)


def _render_one(out: Console, document: dict[str, Any]) -> None:
    signal = document["signal"]
    place = "waiting in the outbox" if document["sequence"] is None else f"stream {document['sequence']}"
    out.print(f"{document['signal_id']} revision {document['revision']}: {document['event']}, {place}", markup=False)
    names = ("action", "ticker", "catalyst", "confidence", "reference_price", "stop_price", "target_price")
    for name in (*names, "classified_at", "published_at", "expires_at"):
        if signal[name] is not None:
            out.print(f"  {name:<16} {signal[name]}", markup=False)
    out.print(f"  {'news':<16} {signal['news']['title']}", markup=False)
    for key, value in signal["meta"].items():
        out.print(f"  {key:<16} {value}", markup=False)
