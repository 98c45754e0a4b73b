"""`catalyst plan`: what a number of friends and signals asks of the server, before they come."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from signal_admin.cli.options import JsonOption

if TYPE_CHECKING:
    from signal_admin.cluster.capacity import Capacity

_UNITS = ((1 << 30, "GB"), (1 << 20, "MB"), (1 << 10, "KB"))


def plan(
    users: Annotated[int, typer.Option(help="How many friends.")] = 5,
    signals_per_day: Annotated[int, typer.Option(help="How many signals on a busy day.")] = 100,
    at_once: Annotated[int, typer.Option(help="How many of them at most within one second.")] = 5,
    kept_days: Annotated[int, typer.Option(help="How many days of signals the stream is to keep.")] = 30,
    memory_above: Annotated[
        int | None, typer.Option(help="Consumers in memory above so many users.", show_default="as advised")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Say what a number of friends needs: machine, memory, disk, traffic, latency, and what it may cost.

    Calculated from measurements; prices are estimates. docs/scale.md has the tables.

    Example: catalyst plan --users 200 --signals-per-day 500
    """
    from signal_admin.cluster.capacity import Load, capacity
    from signal_contract.cli.answer import finish, table
    from signal_contract.envelope import Envelope

    found = capacity(Load(users, signals_per_day, at_once, kept_days), memory_above=memory_above)
    title = f"{users} friends, {signals_per_day} signals a day: tier {found.tier.name}"
    finish(
        Envelope("catalyst plan", found.as_dict()),
        as_json=as_json,
        render=table("what", "how much", "is", rows=_rows(found), title=title),
    )


def _rows(found: Capacity) -> list[tuple[str, str, str]]:
    from signal_admin.cluster.capacity import MEASURED_ON

    tier, measured = found.tier, f"calculated, measured {MEASURED_ON}"
    rows = [
        ("nodes", str(tier.nodes), "advice"),
        ("machine", tier.machine, "advice"),
        ("consumers", "in memory" if found.in_memory else "on disk", "advice"),
        ("deliveries a day", f"{found.deliveries_per_day:,}", "calculated"),
        ("server CPU a day", f"{found.cpu_s_per_day:,} s of one core", measured),
        ("busiest second", f"{found.busiest_second_cpu_s:.2f} s of one core", measured),
        ("one signal to all", f"{found.to_all_ms} ms, on loopback", measured),
        ("server memory", f"{found.server_mb} MB", measured),
        ("disk a day", f"{size(found.disk_per_day_bytes)} on each node", measured),
        ("disk kept", size(found.disk_kept_bytes), measured),
        ("traffic a month", size(found.traffic_per_month_bytes), "calculated"),
        ("price a month", f"{tier.usd_low} to {tier.usd_high} USD", "estimate"),
    ]
    return [*rows, *(("mind", warning, "") for warning in found.warnings)]


def size(count: int) -> str:
    """Bytes for people: `1.3 GB`."""
    for unit, name in _UNITS:
        if count >= unit:
            return f"{count / unit:.1f} {name}"
    return f"{count} bytes"
