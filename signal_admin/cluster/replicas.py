"""Takes the streams from one replica to three (or back) while signals flow, and counts before and after.

The server does it online: a stream update names the new number, the new replicas catch up, publishers and agents notice
nothing. What it stored is counted here all the same; a move that cannot be shown to be whole is not called done.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from signal_admin.apply import read_durables, read_stream
from signal_contract.errors import BrokerRefused, Conflict, InputError, RequestTimedOut, StreamMissing
from signal_contract.link import Link
from signal_contract.topology import API_PREFIX, AUDIT_STREAM, FEEDBACK_STREAM, FLAGS_STREAM, STREAM

STREAMS = (STREAM, FEEDBACK_STREAM, AUDIT_STREAM, FLAGS_STREAM)
REPLICA_CHOICES = (1, 3, 5)
_POLL_S = 0.25
_LOOK_TIMEOUT_S = 5.0

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Copies:
    """How far the copies of one stream or durable are. `behind` counts the replicas that are not up to date."""

    name: str
    wanted: int
    present: int
    behind: int
    leader: str | None

    @property
    def is_whole(self) -> bool:
        return self.leader is not None and self.present == self.wanted and self.behind == 0

    @property
    def in_words(self) -> str:
        if self.leader is None:
            return f"{self.name}: no leader yet"
        return f"{self.name}: {self.present - self.behind} of {self.wanted} copies are up to date"


@dataclass(frozen=True, slots=True)
class Counts:
    """What a stream held at one instant. The first sequence only grows, by age or size; the last one too."""

    messages: int
    first: int
    last: int
    deleted: int

    @property
    def is_whole(self) -> bool:
        """Whether every sequence between first and last is there."""
        return self.messages == (self.last - self.first + 1 if self.messages else 0) and self.deleted == 0


@dataclass(frozen=True, slots=True)
class Moved:
    """One stream's move."""

    stream: str
    replicas_before: int
    replicas: int
    before: Counts
    after: Counts
    consumers: int

    def as_dict(self) -> dict[str, Any]:
        return {
            "stream": self.stream,
            "replicas_before": self.replicas_before,
            "replicas": self.replicas,
            "first_sequence": self.after.first,
            "last_sequence_before": self.before.last,
            "last_sequence": self.after.last,
            "messages": self.after.messages,
            "consumers": self.consumers,
        }


@dataclass(frozen=True, slots=True)
class Migration:
    """What was or would be done. `missing` are streams that this server does not have (no audit yet, for instance)."""

    replicas: int
    moved: tuple[Moved, ...] = ()
    missing: tuple[str, ...] = ()
    is_dry_run: bool = False
    due: tuple[str, ...] = field(default=())

    def as_dict(self) -> dict[str, Any]:
        return {
            "replicas": self.replicas,
            "streams": [each.as_dict() for each in self.moved],
            "missing": list(self.missing),
            "due": list(self.due),
            "dry_run": self.is_dry_run,
        }


def copies_of(name: str, info: Mapping[str, Any], wanted: int) -> Copies:
    """How far the copies are, from a stream's or consumer's info. Pure; a part that is missing counts as not there."""
    cluster = info.get("cluster") or {}
    replicas = cluster.get("replicas") or []
    behind = sum(not each.get("current") or bool(each.get("offline")) for each in replicas)
    return Copies(name, wanted, 1 + len(replicas), behind, cluster.get("leader") or None)


def counts_of(info: Mapping[str, Any]) -> Counts:
    """What a stream info says it holds."""
    state = info["state"]
    return Counts(
        int(state["messages"]), int(state["first_seq"]), int(state["last_seq"]), int(state.get("num_deleted", 0))
    )


def losses(stream: str, before: Counts, after: Counts) -> tuple[str, ...]:
    """What a move lost, in words; empty when nothing. Pure. What grew old meanwhile went by the stream's own limits."""
    found = []
    if after.last < before.last:
        found.append(f"{stream} ended at sequence {before.last} and now ends at {after.last}")
    if before.is_whole and not after.is_whole:
        found.append(f"{stream} has gaps between {after.first} and {after.last}: {after.messages} messages")
    if after.first < before.first:
        found.append(f"{stream} began at {before.first} and now begins at {after.first}")
    return tuple(found)


def replicas_checked(replicas: int, nodes: int) -> int:
    """Return a number of copies that this many nodes can hold; raises InputError."""
    if replicas not in REPLICA_CHOICES:
        raise InputError(
            f"{replicas} replicas: 1, 3 or 5", hint="An even number survives no more losses than one less."
        )
    if replicas > nodes:
        raise InputError(
            f"{replicas} replicas need {replicas} nodes; this cluster has {nodes}",
            hint="Start the other nodes first: catalyst cluster up.",
        )
    return replicas


async def migrated(
    link: Link, replicas: int, say: Say, *, timeout_s: float = 300.0, dry_run: bool = False
) -> Migration:
    """Bring every stream to `replicas` copies and wait until all are current. `link` is an admin's.

    Raises Conflict (the server is no cluster, or something is missing afterwards), RequestTimedOut with what is still
    behind after `timeout_s` seconds a stream (the copying goes on; run it again), another LinkError.
    """
    found = {name: info for name in STREAMS if (info := await read_stream(link, name)) is not None}
    missing = tuple(name for name in STREAMS if name not in found)
    if STREAM not in found:
        raise StreamMissing(f"the server has no stream {STREAM}")
    if not (found[STREAM].get("cluster") or {}).get("name"):
        raise Conflict("this server is not part of a cluster", hint="docs/cluster.md says how to get there.")
    due = tuple(name for name, info in found.items() if int(info["config"]["num_replicas"]) != replicas)
    if dry_run:
        return Migration(replicas, missing=missing, is_dry_run=True, due=due)
    moved = [await _moved(link, name, info, replicas, say, timeout_s) for name, info in found.items()]
    return Migration(replicas, tuple(moved), missing)


async def _moved(link: Link, name: str, info: Mapping[str, Any], replicas: int, say: Say, timeout_s: float) -> Moved:
    before, was = counts_of(info), int(info["config"]["num_replicas"])
    if was != replicas:
        say(f"{name}: {was} → {replicas} replicas, {before.messages} messages up to sequence {before.last}")
        await link.api(f"{API_PREFIX}.STREAM.UPDATE.{name}", {**info["config"], "num_replicas": replicas}, timeout_s=30)
    after, consumers = await settled(link, name, replicas, say, timeout_s)
    lost = losses(name, before, after)
    if lost:
        raise Conflict(
            "the move cannot be shown to be whole:\n  " + "\n  ".join(lost),
            hint="Change nothing more. Compare it with the last backup: catalyst verify.",
        )
    say(f"{name}: whole, {after.messages} messages, sequences {after.first} to {after.last}, {replicas} copies")
    return Moved(name, was, replicas, before, after, consumers)


async def settled(link: Link, name: str, replicas: int, say: Say, timeout_s: float) -> tuple[Counts, int]:
    """Wait until the stream and its durables have all their copies; what it holds then, and how many durables."""
    told: tuple[str, ...] = ()
    try:
        async with asyncio.timeout(timeout_s):
            while True:
                looked = await _looked(link, name, replicas)
                if looked is not None:
                    counts, copies = looked
                    open_ones = tuple(each.in_words for each in copies if not each.is_whole)
                    if not open_ones:
                        return counts, len(copies) - 1
                    if open_ones != told:
                        told = open_ones
                        say(f"  {open_ones[0]}" + (f" (and {len(open_ones) - 1} more)" if len(open_ones) > 1 else ""))
                await asyncio.sleep(_POLL_S)
    except TimeoutError as error:
        behind = "; ".join(told[:3]) or f"{name} does not answer"
        raise RequestTimedOut(
            f"after {timeout_s:g} s not every copy is up to date: {behind}",
            hint="The servers go on copying. Look at their logs and run the same command again.",
        ) from error


async def _looked(link: Link, name: str, replicas: int) -> tuple[Counts, list[Copies]] | None:
    """One look; None while the stream has no leader, as happens for a moment when its group grows."""
    try:
        info = await link.api(f"{API_PREFIX}.STREAM.INFO.{name}", timeout_s=_LOOK_TIMEOUT_S)
        durables = await read_durables(link) if name == STREAM else {}
    except (RequestTimedOut, BrokerRefused):
        return None
    copies = [copies_of(name, info, replicas)]
    copies += [copies_of(each, found, _copies_wanted(found, replicas)) for each, found in sorted(durables.items())]
    return counts_of(info), copies


def _copies_wanted(durable: Mapping[str, Any], replicas: int) -> int:
    # 0 means: as many as the stream has.
    return int(durable["config"].get("num_replicas") or 0) or replicas
