"""`catalyst publish`: reads lines in batches, submits each batch, flushes it, and adds up.

Lines are read by the main thread and not inside the event loop, so that a Ctrl-C ends the wait for a silent pipe.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import NoReturn

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from publisher.cli.tally import Sent, Tally, exit_code_of, problems_of, render_not_sent, render_sent, sent_from
from publisher.entry import Receipt
from publisher.gate import Gate
from publisher.intake.follow import outcome_of
from publisher.intake.lines import Line, lines_from
from publisher.intake.record import Intake
from publisher.intake.rules import Rules, read_rules
from publisher.relay import Drained
from publisher.service import SignalPublisher
from publisher.settings import default_data_dir, read_settings
from signal_contract.cli.answer import console, finish, say, table
from signal_contract.envelope import Envelope
from signal_contract.errors import InputError, NotFound
from signal_contract.model import Signal

_COMMAND = "catalyst publish"
_BATCH = 64
_SHOWN = 20
# Once the server was found away, a pipe goes on filling the outbox and looks for the server this long at each line.
_LATER_PATIENCE_S = 1.0


@dataclass(frozen=True, slots=True)
class PublishRequest:
    """What the command line asked for."""

    file: str
    data: Path | None
    is_drill: bool
    timeout_s: float
    is_approved: bool = False

    @property
    def is_pipe(self) -> bool:
        return self.file == "-"


def answer_publish(request: PublishRequest, *, is_dry: bool, as_json: bool) -> NoReturn:
    """Run the command and print its answer."""
    if is_dry:
        _answer_dry(request, as_json=as_json)
    tally = Tally()
    sent = _publish(request, tally)
    envelope = Envelope(
        _COMMAND,
        {"file": request.file, "drill": request.is_drill, **sent.as_dict(), **tally.as_dict()},
        exit_code_of(tally, sent.failure, sent.replaced),
        problems_of(tally, sent.failure, sent.waiting, sent.replaced),
    )
    finish(envelope, as_json=as_json, render=lambda out: render_sent(out, tally, sent))


def _publish(request: PublishRequest, tally: Tally) -> Sent:
    data = request.data or default_data_dir()
    settings, rules = read_settings(data, now=datetime.now(UTC)), read_rules(data)
    publisher = SignalPublisher(settings)
    # A file is chosen by a person and has an end; what comes through a pipe is a classifier, and may run away.
    gate = Gate(publisher, settings, is_capped=request.is_pipe, is_approved=request.is_approved)
    with _opened(request) as lines, asyncio.Runner() as runner:
        runner.run(publisher.__aenter__())
        try:
            runner.run(gate.__aenter__())
            drained = _pump(_Run(request, rules, tally, publisher, gate, runner), lines)
            own = {each.message_id: each for each in publisher.receipts}
            found = runner.run(_receipts_found(publisher, [key for key in tally.drafts if key not in own]))
            replaced = publisher.replaced
        except KeyboardInterrupt:
            say("stopped: what was read so far is safe in the outbox and goes out at the next publish")
            raise
        finally:
            runner.run(gate.__aexit__())
            runner.run(publisher.__aexit__())
    return replace(sent_from(tally, own, found, drained.waiting, drained.failure), replaced=replaced)


@dataclass(frozen=True, slots=True)
class _Run:
    """What a run works with."""

    request: PublishRequest
    rules: Rules
    tally: Tally
    publisher: SignalPublisher
    gate: Gate
    runner: asyncio.Runner


def _pump(run: _Run, lines: Iterator[Line]) -> Drained:
    drained: Drained | None = None
    while batch := list(islice(lines, 1 if run.request.is_pipe else _BATCH)):
        drafts = list(_drafts(batch, run.request, run.rules, run.tally))
        fates = run.runner.run(run.gate.take([signal for _, signal in drafts]))
        for (number, _), fate in zip(drafts, fates, strict=True):
            run.tally.note(number, fate)
        drained = run.runner.run(_flush(run.request, drained, run.publisher))
    # An empty input still sends what an earlier run left behind.
    return drained or run.runner.run(run.publisher.flush(run.request.timeout_s))


async def _flush(request: PublishRequest, before: Drained | None, publisher: SignalPublisher) -> Drained:
    if before is None or before.failure is None:
        return await publisher.flush(request.timeout_s)
    if request.is_pipe:
        return await publisher.flush(min(_LATER_PATIENCE_S, request.timeout_s))
    # The rest of a file is not worth one time-out a batch: it is kept, and the next publish sends it.
    return replace(before, waiting=(await publisher.counts()).pending)


def _drafts(batch: list[Line], request: PublishRequest, rules: Rules, tally: Tally) -> Iterator[tuple[int, Signal]]:
    for line in batch:
        intake = Intake(datetime.now(UTC), is_drill=request.is_drill, rules=rules)
        signal = tally.add(line.number, outcome_of(line, intake))
        if signal is not None:
            yield line.number, signal


async def _receipts_found(publisher: SignalPublisher, message_ids: list[str]) -> dict[str, Receipt | None]:
    return {key: await publisher.receipt(key) for key in message_ids}


def _answer_dry(request: PublishRequest, *, as_json: bool) -> NoReturn:
    tally, rules = Tally(), read_rules(request.data or default_data_dir())
    with _opened(request) as lines:
        drafts = (each for line in lines for _, each in _drafts([line], request, rules, tally))
        signals = list({each.message_id: each for each in drafts}.values())
    data = {
        "file": request.file,
        "drill": request.is_drill,
        "dry_run": True,
        "would_publish": len(signals),
        **tally.as_dict(),
        "signals": [signal.model_dump(mode="json") for signal in signals],
    }

    def render(out: Console) -> None:
        rows = [_row(signal) for signal in signals[:_SHOWN]]
        table("action", "ticker", "catalyst", ">confidence", ">price", "expires", rows=rows, empty="no signals")(out)
        out.print(f"dry run, nothing was sent or kept; signals to publish: {len(signals)}", markup=False)
        render_not_sent(out, tally)

    finish(
        Envelope(_COMMAND, data, exit_code_of(tally, None), problems_of(tally, None, 0)),
        as_json=as_json,
        render=render,
    )


def _row(signal: Signal) -> tuple[object, ...]:
    expires = f"{signal.expires_at:%Y-%m-%d %H:%M}Z" if signal.expires_at is not None else None
    price = signal.reference_price
    return (signal.action.value, signal.ticker, signal.catalyst, signal.confidence, price, expires)


@contextmanager
def _opened(request: PublishRequest) -> Iterator[Iterator[Line]]:
    """The input's lines, with a progress bar on stderr while a file is read at a terminal."""
    if request.is_pipe:
        yield lines_from(sys.stdin.buffer)
        return
    try:
        stream = Path(request.file).open("rb")  # noqa: SIM115  # closed below
        total_bytes = Path(request.file).stat().st_size
    except FileNotFoundError as error:
        raise NotFound(f"there is no file {request.file}", hint="Check the path; - reads from the pipe.") from error
    except OSError as error:
        raise InputError(f"{request.file} cannot be read: {error.strerror or error}") from error
    with stream, _progress() as progress:
        task = progress.add_task("publishing", total=total_bytes)
        yield _advancing(lines_from(stream), progress, task)


def _progress() -> Progress:
    is_shown = sys.stderr.isatty()
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeElapsedColumn(),
    )
    return Progress(*columns, console=console(sys.stderr), transient=True, disable=not is_shown)


def _advancing(lines: Iterator[Line], progress: Progress, task: TaskID) -> Iterator[Line]:
    for line in lines:
        yield line
        progress.update(task, advance=line.size)
