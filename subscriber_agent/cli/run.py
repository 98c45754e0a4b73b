"""`subscriber-agent run`: the agent in the foreground, until Ctrl-C."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from signal_contract.cli.answer import print_json, say
from signal_contract.cli.interrupts import Interrupts
from subscriber_agent.cli.lines import report_line
from subscriber_agent.cli.place import ConfigOption, CredsOption, Place, open_place

if TYPE_CHECKING:
    from subscriber_agent.desk import Desk
    from subscriber_agent.journal import Journal


def run(
    config: ConfigOption = None,
    creds: CredsOption = None,
    until_drained: Annotated[
        bool, typer.Option("--until-drained", help="Catch up with what is waiting, decide, and end.")
    ] = False,
    connect_timeout_s: Annotated[
        float, typer.Option("--connect-timeout", min=0.5, max=3600, help="Seconds to look for the server at the start.")
    ] = 10.0,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON line on stdout for everything that happens.")
    ] = False,
) -> None:
    """Receive, decide and trade until Ctrl-C. Once connected it reconnects by itself, for ever.

    Example: subscriber-agent run --config alice.yaml
    """
    from signal_contract.creds import read_creds

    place = open_place(config, creds)
    read_creds(place.creds.path, role="subscriber", now=datetime.now(UTC))
    with _held(place):
        raise typer.Exit(asyncio.run(_run(place, connect_timeout_s, until_drained, as_json)))


@contextmanager
def _held(place: Place) -> Iterator[None]:
    """Hold this identity: two agents on one durable would split its signals between them."""
    import filelock

    from signal_contract.errors import AlreadyRunning, StorageFailed

    try:
        place.data.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = filelock.FileLock(place.lock_file, mode=0o600)
        lock.acquire(timeout=0)
    except filelock.Timeout as error:
        raise AlreadyRunning(f"another agent runs as {place.creds.user} with {place.data}") from error
    except OSError as error:
        raise StorageFailed(f"cannot use {place.data}: {error.strerror or error}") from error
    try:
        yield
    finally:
        lock.release()


def _desk(place: Place, journal: Journal) -> Desk:
    from subscriber_agent.desk import Desk
    from subscriber_agent.engines.paper import PaperEngine

    def clock() -> datetime:
        return datetime.now(UTC)

    engine = PaperEngine(
        journal,
        start_cash_usd=place.config.engine.start_cash_usd,
        clock=clock,
        slippage_bps=place.config.engine.slippage_bps,
    )
    return Desk(place.config, journal, engine, clock, user=place.creds.user)


async def _run(place: Place, connect_timeout_s: float, until_drained: bool, as_json: bool) -> int:
    from subscriber_agent.journal import Journal
    from subscriber_agent.worker import Worker

    def report(event: str, facts: dict[str, Any]) -> None:
        if as_json:
            print_json({"type": event, "at": datetime.now(UTC).isoformat(), **facts})
        elif line := report_line(event, facts):
            say(line) if event != "decision" else print(line, flush=True)  # noqa: T201  # the answer

    stop = asyncio.Event()
    main = asyncio.current_task()
    interrupts = Interrupts(
        stop=stop.set,
        hurry=lambda: None if main is None else (main.cancel(), None)[1],
        message="stopping: finishing what is in hand (Ctrl-C again to end at once)",
    )
    with Journal.open(place.journal_file) as journal:
        worker = Worker(place.config, place.creds, journal, _desk(place, journal), report)
        try:
            await worker.run(stop, connect_timeout_s=connect_timeout_s, until_drained=until_drained)
        except asyncio.CancelledError:
            say("ended at once; the journal is whole, and what was not acknowledged comes again")
    return int(interrupts.exit_code)
