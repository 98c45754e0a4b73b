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
from publisher.intake.lines import Line, lines_from
from publisher.intake.outcome import Outcome, Refused
from publisher.intake.record import Intake
from publisher.outbox import Receipt
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
        exit_code_of(tally, sent.failure),
        problems_of(tally, sent.failure, sent.waiting),
    )
    finish(envelope, as_json=as_json, render=lambda out: render_sent(out, tally, sent))


def _publish(request: PublishRequest, tally: Tally) -> Sent:
    settings = read_settings(request.data or default_data_dir(), now=datetime.now(UTC))
    publisher = SignalPublisher(settings)
    with _opened(request) as lines, asyncio.Runner() as runner:
        runner.run(publisher.__aenter__())
        try:
            drained = _pump(request, tally, lines, publisher, runner)
            own = {each.message_id: each for each in publisher.receipts}
            found = runner.run(_receipts_found(publisher, [key for key in tally.drafts if key not in own]))
        except KeyboardInterrupt:
            say("stopped: what was read so far is safe in the outbox and goes out at the next publish")
            raise
        finally:
            runner.run(publisher.__aexit__())
    return sent_from(tally, own, found, drained.waiting, drained.failure)


def _pump(
    request: PublishRequest, tally: Tally, lines: Iterator[Line], publisher: SignalPublisher, runner: asyncio.Runner
) -> Drained:
    drained: Drained | None = None
    while batch := list(islice(lines, 1 if request.is_pipe else _BATCH)):
        submitted = runner.run(publisher.submit_many(list(_signals(batch, request, tally))))
        tally.new.update(each.message_id for each in submitted if each.is_new)
        drained = runner.run(_flush(request, drained, publisher))
    # An empty input still sends what an earlier run left behind.
    return drained or runner.run(publisher.flush(request.timeout_s))


async def _flush(request: PublishRequest, before: Drained | None, publisher: SignalPublisher) -> Drained:
    if before is None or before.failure is None:
        return await publisher.flush(request.timeout_s)
    if request.is_pipe:
        return await publisher.flush(min(_LATER_PATIENCE_S, request.timeout_s))
    # The rest of a file is not worth one time-out a batch: it is kept, and the next publish sends it.
    return replace(before, waiting=(await publisher.counts()).pending)


def _signals(batch: list[Line], request: PublishRequest, tally: Tally) -> Iterator[Signal]:
    for line in batch:
        signal = tally.add(line.number, _outcome(line, request))
        if signal is not None:
            yield signal


def _outcome(line: Line, request: PublishRequest) -> Outcome:
    if isinstance(line.content, Refused):
        return line.content
    return Intake(datetime.now(UTC), is_drill=request.is_drill).outcome(line.content)


async def _receipts_found(publisher: SignalPublisher, message_ids: list[str]) -> dict[str, Receipt | None]:
    return {key: await publisher.receipt(key) for key in message_ids}


def _answer_dry(request: PublishRequest, *, as_json: bool) -> NoReturn:
    tally = Tally()
    with _opened(request) as lines:
        signals = list({each.message_id: each for each in _signals_of_all(lines, request, tally)}.values())
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


def _signals_of_all(lines: Iterator[Line], request: PublishRequest, tally: Tally) -> Iterator[Signal]:
    for line in lines:
        yield from _signals([line], request, tally)


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
