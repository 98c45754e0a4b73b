"""Whether each friend has his durable, and its place lies inside the stream. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from signal_admin.backup.findings import Cases, Finding, Level, judged
from signal_admin.backup.manifest import DurablePart
from signal_contract.topology import durable_name


def durable_findings(
    infos: Mapping[str, Mapping[str, Any]],
    users: Iterable[str],
    listed: Iterable[DurablePart],
    *,
    first: int,
    last: int,
) -> list[Finding]:
    """`infos` are the durables put back, by name; `listed` those of the running server; `first` to `last` the stream.

    A floor before the first sequence is no fault: what he missed left the stream for its age.
    """
    wanted = {durable_name(name) for name in users}
    beyond, back, behind = Cases(), Cases(), Cases()
    for name, info in sorted(infos.items()):
        floor, delivered = _place(info, "ack_floor"), _place(info, "delivered")
        if floor > last or delivered > last or delivered < floor:
            beyond.add(f"{name} (floor {floor:,}, delivered {delivered:,}, stream ends at {last:,})")
        elif first and floor < first - 1 and int(info.get("num_ack_pending", 0)) + int(info.get("num_pending", 0)):
            behind.add(f"{name} ({floor:,})")
    for each in listed:
        restored = infos.get(each.name)
        if restored is not None and _place(restored, "ack_floor") < each.ack_floor:
            back.add(f"{each.name} ({each.ack_floor:,} → {_place(restored, 'ack_floor'):,})")
    fine = f"{len(infos):,} durables, each with its place inside the stream"
    found = [
        judged("durables", beyond, fine=fine, wrong="durables point outside the stream"),
        judged("durables", back, fine="none has lost its place", wrong="durables have fallen back"),
    ]
    if behind.count:
        found.append(Finding(Level.WARN, "durables", f"begin before the stream does: {behind.text}"))
    return [*found, *_registry(set(infos), wanted)]


def _registry(there: set[str], wanted: set[str]) -> Iterable[Finding]:
    if missing := sorted(wanted - there):
        # The next start makes them again, from the place in the registry.
        yield Finding(Level.WARN, "durables", f"no durable: {', '.join(missing)}; the next `catalyst up` makes it")
    if strangers := sorted(there - wanted):
        yield Finding(Level.WARN, "durables", f"of no registered user: {', '.join(strangers)}")


def _place(info: Mapping[str, Any], which: str) -> int:
    part = info.get(which)
    return int(part.get("stream_seq", 0)) if isinstance(part, dict) else 0
