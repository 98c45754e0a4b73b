"""What has to be done on the server: desired stream and durables against the ones that are there. Pure.

Which settings the server can change on a live stream or durable was tried on 2.15; all others are refused by name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from signal_admin.registry import User
from signal_contract.topology import durable_config, durable_name

_STREAM_FIXED = frozenset({"name", "storage", "retention", "max_consumers", "deny_delete", "deny_purge"})
_DURABLE_FIXED = frozenset({"name", "durable_name", "ack_policy", "replay_policy", "max_waiting"})
# Where a durable started is its own affair: it is never moved by a plan.
_DURABLE_START = frozenset({"deliver_policy", "opt_start_seq"})


@dataclass(frozen=True, slots=True)
class CreateStream:
    config: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class UpdateStream:
    config: Mapping[str, Any]
    changes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CreateDurable:
    """`user` carries the start sequence that is to be remembered."""

    user: User
    config: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class UpdateDurable:
    user: User
    config: Mapping[str, Any]
    changes: tuple[str, ...]


Action = CreateStream | UpdateStream | CreateDurable | UpdateDurable


@dataclass(frozen=True, slots=True)
class Plan:
    """Actions in order, what cannot be reconciled, and durables that belong to no registered user (left alone).

    `postponed` are the users whose durable is not made now, because something has to be done first.
    """

    actions: tuple[Action, ...] = ()
    refusals: tuple[str, ...] = ()
    strangers: tuple[str, ...] = ()
    postponed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Actual:
    """What the server answered: configurations of streams and durables by name, and the last sequence of SIGNALS."""

    streams: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    last_sequence: int = 0
    durables: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def _differences(actual: Mapping[str, Any], desired: Mapping[str, Any]) -> tuple[str, ...]:
    # The server leaves out what is false, zero or empty.
    return tuple(key for key, value in desired.items() if (actual.get(key) or None) != (value or None))


def _stream_plan(actual: Mapping[str, Any] | None, desired: Mapping[str, Any]) -> Plan:
    if actual is None:
        return Plan((CreateStream(desired),))
    changes = _differences(actual, desired)
    fixed = [
        f"stream {desired['name']}: {key} is {actual.get(key)!r}, wanted {desired[key]!r}, and cannot be changed"
        for key in changes
        if key in _STREAM_FIXED
    ]
    if fixed:
        return Plan(refusals=tuple(fixed))
    return Plan((UpdateStream({**actual, **desired}, changes),)) if changes else Plan()


def durable_plan(user: User, actual: Mapping[str, Any] | None, last_sequence: int) -> Plan:
    """One user's durable, made or changed: a new user starts after `last_sequence`, a known one where he did."""
    if actual is None:
        started = user if user.start_sequence is not None else replace(user, start_sequence=last_sequence + 1)
        config = durable_config(user.name, user.filters, start_sequence=started.start_sequence)
        return Plan((CreateDurable(started, config),))
    desired = {
        key: value for key, value in durable_config(user.name, user.filters).items() if key not in _DURABLE_START
    }
    changes = tuple(key for key in _differences(_sorted(actual), _sorted(desired)) if key != "num_replicas")
    fixed = [
        f"durable {desired['name']}: {key} is {actual.get(key)!r}, wanted {desired[key]!r}, and cannot be changed"
        for key in changes
        if key in _DURABLE_FIXED
    ]
    if fixed:
        return Plan(refusals=tuple(fixed))
    return Plan((UpdateDurable(user, {**actual, **desired}, changes),)) if changes else Plan()


def _sorted(config: Mapping[str, Any]) -> dict[str, Any]:
    # A single filter may come back in the older field.
    filters = config.get("filter_subjects") or [config["filter_subject"]] * ("filter_subject" in config)
    return {**config, "filter_subjects": sorted(filters)}


def plan(users: Iterable[User], desired_streams: Iterable[Mapping[str, Any]], actual: Actual) -> Plan:
    """All that has to be done so that the streams and every registered user's durable are as they should be."""
    known = list(users)
    parts = [
        *(_stream_plan(actual.streams.get(desired["name"]), desired) for desired in desired_streams),
        *(durable_plan(user, actual.durables.get(durable_name(user.name)), actual.last_sequence) for user in known),
    ]
    owned = {durable_name(user.name) for user in known}
    return Plan(
        actions=tuple(action for part in parts for action in part.actions),
        refusals=tuple(refusal for part in parts for refusal in part.refusals),
        strangers=tuple(sorted(name for name in actual.durables if name not in owned)),
    )


def newcomers(todo: Plan) -> tuple[str, ...]:
    """The users whose durable is to be made."""
    return tuple(action.user.name for action in todo.actions if isinstance(action, CreateDurable))


def without_newcomers(todo: Plan) -> Plan:
    """The same, but no durable is made: those users are postponed."""
    kept = tuple(action for action in todo.actions if not isinstance(action, CreateDurable))
    return replace(todo, actions=kept, postponed=newcomers(todo))
