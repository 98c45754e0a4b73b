"""`subscriber-agent run`: the agent in the foreground, until Ctrl-C."""

from __future__ import annotations

import asyncio
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from signal_contract.cli.answer import print_json, say
from signal_contract.cli.interrupts import Interrupts
from signal_contract.logs import is_json, log_event
from subscriber_agent.cli.live import note_live_start, pass_gate
from subscriber_agent.cli.metrics import MetricsOption, address_of, shown
from subscriber_agent.cli.place import ConfigOption, CredsOption, Place, open_place

if TYPE_CHECKING:
    from signal_contract.metrics.endpoint import Address
    from subscriber_agent.engines.engine import Engine
    from subscriber_agent.settings.live import LiveGate


def run(
    config: ConfigOption = None,
    creds: CredsOption = None,
    until_drained: Annotated[
        bool, typer.Option("--until-drained", help="Catch up with what is waiting, decide, and end.")
    ] = False,
    connect_timeout_s: Annotated[
        float, typer.Option("--connect-timeout", min=0.5, max=3600, help="Seconds to look for the server at the start.")
    ] = 10.0,
    metrics: MetricsOption = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON line on stdout for everything that happens.")
    ] = False,
) -> None:
    """Receive, decide and trade until Ctrl-C. Once connected it reconnects by itself, for ever.

    Example: subscriber-agent run --config alice.yaml
    """
    from signal_contract.creds import read_creds
    from subscriber_agent.identity.holding import held

    place = open_place(config, creds)
    address = address_of(place, metrics)
    engine = place.engine()
    read_creds(place.creds.path, role="subscriber", now=datetime.now(UTC))
    with held(place.data, place.creds.user, wait_s=_LOOKERS_S):
        gate = pass_gate(place, is_paper=engine.is_paper)
        running = _run(
            place, engine, gate, connect_timeout_s, until_drained, as_json=as_json, creds=creds, address=address
        )
        raise typer.Exit(asyncio.run(running))


# A doctor holds the identity while it asks the engine, `status` and `metrics` for an instant: an agent that its service
# starts just then must not end for good with ALREADY_RUNNING.
_LOOKERS_S = 8.0


def _now() -> datetime:
    return datetime.now(UTC)


async def _run(
    place: Place,
    engine: Engine,
    gate: LiveGate,
    connect_timeout_s: float,
    until_drained: bool,
    *,
    as_json: bool,
    creds: Path | None,
    address: Address | None,
) -> int:
    from signal_contract.notify import this_process
    from subscriber_agent.cli.lines import report_line
    from subscriber_agent.desk import Desk
    from subscriber_agent.disk import Disk
    from subscriber_agent.journal import Journal
    from subscriber_agent.service.minding import Minder
    from subscriber_agent.settings.reload import ConfigWatcher
    from subscriber_agent.worker import Worker

    def report(event: str, facts: dict[str, Any]) -> None:
        if as_json:
            print_json({"type": event, "at": datetime.now(UTC).isoformat(), **facts})
        elif is_json():
            log_event(event, facts, report_line(event, facts))
        elif line := report_line(event, facts):
            say(line) if event != "decision" else print(line, flush=True)  # noqa: T201  # the answer

    stop, minder = asyncio.Event(), Minder(this_process(), place.config.servers, report)
    main = asyncio.current_task()
    interrupts = Interrupts(
        stop=minder.stopping(stop.set),
        hurry=lambda: None if main is None else (main.cancel(), None)[1],
        message="stopping: finishing what is in hand (Ctrl-C again to end at once)",
    )
    with (
        Journal.open(place.journal_file) as journal,
        closing(Disk.threaded()) as disk,
        shown(place, address, minder.report) as tell,
    ):
        if gate.is_needed:
            note_live_start(place, journal)
        watcher = ConfigWatcher(place.config_file, place.config, data=place.data, creds=creds)
        desk = Desk(place.config, journal, engine, _now, user=place.creds.user, disk=disk)
        worker = Worker(place.config, place.creds, journal, desk, tell, disk=disk, watcher=watcher)
        try:
            async with minder.minding(worker.seen):
                await worker.run(stop, connect_timeout_s=connect_timeout_s, until_drained=until_drained)
        except asyncio.CancelledError:
            say("ended at once; the journal is whole, and what was not acknowledged comes again")
    return int(interrupts.exit_code)
