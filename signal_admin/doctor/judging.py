"""What the measurements on the operator's side amount to. Pure: `now` is an argument, durations are seconds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from signal_admin.plan import Actual, CreateDurable, CreateStream, UpdateDurable, UpdateStream, durable_plan, plan
from signal_admin.registry import User
from signal_admin.standing import Standing
from signal_contract.doctor.finding import Verdict, fail, ok, skipped, warn
from signal_contract.doctor.judging import CREDS_WARN
from signal_contract.heartbeat import INTERVAL_S
from signal_contract.topology import AUDIT_STREAM, durable_name

_SHOWN = 8
_FULL = 0.9
_MANY_WAIT, _MAX_UNCONFIRMED = 256, 256
STALE_S = 3.0 * INTERVAL_S


def _listed(names: Sequence[str]) -> str:
    """The first few, and how many more."""
    rest = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {rest} more" if rest > 0 else "")


def judged_expiries(users: Iterable[User], now: datetime) -> Verdict:
    """D03: whose credentials end soon or have ended; who was revoked or is leaving does not count."""
    known = [user for user in users if user.status(now) in ("active", "expired")]
    ended = [user.name for user in known if user.status(now) == "expired"]
    soon = [
        f"{user.name} ({(user.expires_at - now).days} days)"
        for user in known
        if user.expires_at is not None and timedelta(0) < user.expires_at - now < CREDS_WARN
    ]
    said = [f"ended: {_listed(ended)}"] if ended else []
    said += [f"end soon: {_listed(soon)}"] if soon else []
    return warn("; ".join(said)) if said else ok(f"{len(known)} friends, none ends within {CREDS_WARN.days} days")


def judged_durables(users: Sequence[User], found: Mapping[str, Mapping[str, Any]]) -> Verdict:
    """D15: every friend's durable against what was granted; `found` are consumer infos by name."""
    gone, wrong, refused = [], [], []
    for user in users:
        info = found.get(durable_name(user.name))
        todo = durable_plan(user, info.get("config") if info is not None else None, 0)
        refused += list(todo.refusals)
        for action in todo.actions:
            if isinstance(action, CreateDurable):
                gone.append(user.name)
            elif isinstance(action, UpdateDurable):
                wrong.append(f"{user.name} ({', '.join(action.changes)})")
    strangers = sorted(set(found) - {durable_name(user.name) for user in users})
    return _durables_verdict(len(users), gone, wrong, refused, strangers)


def _durables_verdict(
    count: int, gone: list[str], wrong: list[str], refused: list[str], strangers: list[str]
) -> Verdict:
    said = [f"gone: {_listed(gone)}"] if gone else []
    said += [f"not as granted: {_listed(wrong)}"] if wrong else []
    said += refused
    if said:
        cure = f"catalyst user repair {gone[0]}" if gone else "catalyst user sync"
        return fail("; ".join(said), f"`{cure}`", gone=gone, wrong=wrong)
    if strangers:
        return warn(
            f"belong to no friend: {_listed(strangers)}", "left-overs; they hold nothing up", strangers=strangers
        )
    return ok(f"{count} friends, each durable as granted")


def judged_streams(wanted: Sequence[Mapping[str, Any]], infos: Mapping[str, Mapping[str, Any]]) -> Verdict:
    """D16: the streams against the plan, and how full they are. How many copies there are is the cluster's affair."""
    configs = {name: info["config"] for name, info in infos.items() if isinstance(info.get("config"), dict)}
    same_copies = [{**each, "num_replicas": configs.get(each["name"], each).get("num_replicas")} for each in wanted]
    todo = plan((), same_copies, Actual(configs))
    missing = [each.config["name"] for each in todo.actions if isinstance(each, CreateStream)]
    missing += [AUDIT_STREAM] if AUDIT_STREAM not in configs else []
    if missing or todo.refusals:
        return fail("; ".join([*(f"stream {name} is missing" for name in missing), *todo.refusals]))
    differing = [
        f"{each.config['name']}: {', '.join(each.changes)}" for each in todo.actions if isinstance(each, UpdateStream)
    ]
    if differing:
        return warn(f"other settings: {'; '.join(differing)}")
    shares = {name: _share(info) for name, info in infos.items()}
    text = ", ".join(f"{name} {share:.0%} full" for name, share in sorted(shares.items()))
    if max(shares.values(), default=0.0) > _FULL:
        return warn(text, "give the store more room with `catalyst up --max-store`, or let messages go earlier")
    return ok(text)


def _share(info: Mapping[str, Any]) -> float:
    config, state = info.get("config"), info.get("state")
    limit = config.get("max_bytes") if isinstance(config, dict) else None
    used = state.get("bytes") if isinstance(state, dict) else None
    return used / limit if isinstance(limit, int) and isinstance(used, int) and limit > 0 else 0.0


def judged_lag(found: Mapping[str, Mapping[str, Any]]) -> Verdict:
    """D21: who is online and lags, and who is away with messages waiting."""
    late, held, away = [], [], []
    for name, info in sorted(found.items()):
        user = name.removeprefix("sub_")
        waiting, unconfirmed = int(info.get("num_pending") or 0), int(info.get("num_ack_pending") or 0)
        is_online = int(info.get("num_waiting") or 0) > 0
        if unconfirmed >= _MAX_UNCONFIRMED:
            held.append(user)
        elif is_online and waiting > _MANY_WAIT:
            late.append(f"{user} ({waiting})")
        elif not is_online and waiting:
            away.append(f"{user} ({waiting})")
    said = [f"held up, {_MAX_UNCONFIRMED} not confirmed: {_listed(held)}"] if held else []
    said += [f"online and behind: {_listed(late)}"] if late else []
    text = f"away, with messages waiting: {_listed(away)}" if away else "nobody lags"
    return warn("; ".join([*said, text])) if said else ok(text)


@dataclass(frozen=True, slots=True)
class PublisherState:
    """What the publisher last noted of itself: seconds ago, up, degraded or down, why, and how many signals wait."""

    age_s: float
    state: str
    reason: str
    waiting: int


def judged_publisher(state: PublisherState | None) -> Verdict:
    """D28: the outbox's way to the stream; None: no publisher has run here."""
    if state is None:
        return skipped("no publisher has run here yet")
    text = f"{state.state}, {state.waiting} wait, noted {state.age_s:.0f} s ago"
    text += f": {state.reason}" if state.reason else ""
    if state.state == "down":
        return fail(text)
    return warn(text) if state.state != "up" or (state.waiting and state.age_s > STALE_S) else ok(text)


def judged_beats(heard_age_s: float | None, state: PublisherState | None, listened_s: float) -> Verdict:
    """D19: heard on the wire, else what the publisher noted here; neither is old enough to be sure only after 16 s."""
    if heard_age_s is not None and heard_age_s <= STALE_S:
        return ok(f"heard on the wire, {max(0.0, heard_age_s):.0f} s old")
    if state is not None and state.age_s <= STALE_S and listened_s < INTERVAL_S + 1:
        return ok(f"none heard within {listened_s:.0f} s, but the publisher noted its state {state.age_s:.0f} s ago")
    noted = "no publisher has run here" if state is None else f"its last note is {state.age_s:.0f} s old"
    return fail(f"none within {listened_s:.0f} s, and {noted}")


def judged_word(standing: Standing, names: tuple[str, ...]) -> Verdict:
    """D23: what the operator last said, where it is no `resume`."""
    said = [
        f"{'everybody' if scope is None else scope}: {word.verb.value} {word.reason}".strip()
        for scope, word in standing.in_force_for(names)
    ]
    return warn(_listed(said)) if said else ok("everybody may trade")
