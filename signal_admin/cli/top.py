"""`catalyst top`: everybody and the wire at a glance, live."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from signal_admin.cli.options import DataOption, JsonOption

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from signal_admin.desk import Desk
    from signal_admin.presence.rows import Presence, Snapshot, Wire

_STYLE = {"online": "green", "connected": "yellow", "offline": "dim"}
_COLUMNS = (
    "user",
    "agent",
    ">lag",
    "last ack",
    ">RTT",
    "mode",
    "link",
    "trading",
    "engine",
    "version",
    "valid",
    "look after",
)


def top(
    interval_s: Annotated[float, typer.Option("--interval", min=0.5, max=3600, help="Seconds between looks.")] = 2.0,
    once: Annotated[bool, typer.Option("--once", help="One look, then end.")] = False,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show who is there, who lags, and how fast the wire is; live until Ctrl-C. What needs you stands on top.

    With --json one line for each look. Examples: catalyst top; catalyst top --once --json
    """
    from signal_admin.desk import open_desk
    from signal_admin.presence.lookout import looked
    from signal_contract.cli.answer import console, finish, print_json
    from signal_contract.envelope import Envelope

    desk = open_desk(data)
    if once:
        snapshot = asyncio.run(looked(desk, "catalyst-top"))
        answer = Envelope("catalyst top", snapshot.as_dict())
        finish(answer, as_json=as_json, render=lambda out: out.print(view(snapshot)))
    with suppress(KeyboardInterrupt):
        if as_json:
            asyncio.run(_watch(desk, interval_s, lambda snapshot: print_json(snapshot.as_dict())))
        else:
            with _screen(console()) as show:
                asyncio.run(_watch(desk, interval_s, lambda snapshot: show(view(snapshot))))


async def _watch(desk: Desk, interval_s: float, show: Callable[[Snapshot], None]) -> None:
    """Look again and again; when the server was not reached, over new connections the next time."""
    from signal_admin.presence.lookout import lookout

    while True:
        async with lookout(desk, "catalyst-top") as out:
            is_reached = True
            while is_reached:
                snapshot = await out.look()
                show(snapshot)
                is_reached = snapshot.wire is not None
                await asyncio.sleep(interval_s)


@contextmanager
def _screen(out: Console) -> Iterator[Callable[[RenderableType], None]]:
    """Where the picture goes: drawn anew on a terminal, one block after the other into a pipe."""
    if not out.is_terminal:
        yield out.print
        return
    from rich.live import Live

    with Live(console=out, screen=True, auto_refresh=False, vertical_overflow="crop") as live:
        yield lambda picture: live.update(picture, refresh=True)


def view(snapshot: Snapshot) -> RenderableType:
    """The whole picture."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    from signal_admin.presence.rows import sorted_rows

    grid = Table(box=None, pad_edge=False, header_style="bold")
    for column in _COLUMNS:
        is_right = column.startswith(">")
        grid.add_column(column.removeprefix(">"), justify="right" if is_right else "left", no_wrap=True)
    for row in sorted_rows(snapshot.rows):
        style = "yellow" if row.concerns else _STYLE.get(row.link or "", "")
        grid.add_row(*(Text("–" if cell is None else str(cell), style=style) for cell in cells(row)))
    gaps = [Text(each, style="yellow") for each in snapshot.gaps]
    return Group(*(Text(each) for each in heading(snapshot)), *gaps, Text(""), grid)


def heading(snapshot: Snapshot) -> list[str]:
    """The lines above the table."""
    from signal_admin.presence.rows import Link

    there = f"{snapshot.count(Link.ONLINE)} of {len(snapshot.rows)} friends online"
    lines = [f"{snapshot.at:%Y-%m-%d %H:%M:%S} UTC   {there}"]
    return lines if snapshot.wire is None else [*lines, *_wire_lines(snapshot.wire, snapshot)]


def _wire_lines(wire: Wire, snapshot: Snapshot) -> list[str]:
    from signal_admin.cli.feedback import age_in_words

    last = f", the last {age_in_words(snapshot.at, wire.last_at)} ago" if wire.last_at else ""
    rate = "" if wire.signals_per_min is None else f", {wire.signals_per_min:.1f} a minute"
    stream = f"stream: {wire.messages} messages, {wire.size_bytes / 1e6:.1f} MB, sequence {wire.last_sequence}"
    if wire.latency_s is None:
        publish = "publish: no signal yet"
    else:
        publish = f"publish: {_ms(wire.latency_s)} in the middle, {_ms(max(wire.latencies_s))} at most"
    if wire.publisher:
        publish += f"; publisher {wire.publisher['state']}, {wire.publisher['waiting']} waiting"
    return [f"{stream}{last}{rate}", f"{publish}; the server answers in {_ms(wire.answer_s)}"]


def cells(row: Presence) -> tuple[Any, ...]:
    """A friend's line."""
    from signal_admin.cli.feedback import age_in_words, shown

    report = row.state.report
    said = report.status if report else None
    acked = row.state.last_ack_at
    return (
        row.state.user.name,
        row.link.value if row.link else None,
        row.lag,
        f"{age_in_words(row.at, acked)} ago" if acked else None,
        None if row.rtt_s is None else _ms(row.rtt_s),
        shown(said.mode) if said else None,
        shown(said.link_state) if said else None,
        shown(said.trading_state) if said else None,
        shown(" ".join(each for each in (said.engine, said.engine_state) if each)) if said else None,
        shown(said.version) if said else None,
        row.status if row.status != "active" else _left(row.expires_in),
        "; ".join(row.concerns) or None,
    )


def _left(span: timedelta | None) -> str:
    """How long credentials are valid, in one word."""
    if span is None:
        return "no end"
    return f"{span.days}d" if span >= timedelta(days=2) else f"{max(0, int(span.total_seconds() // 3600))}h"


def _ms(seconds: float | None) -> str:
    return "–" if seconds is None else f"{seconds * 1000:.1f} ms" if seconds < 10 else f"{seconds:.0f} s"
