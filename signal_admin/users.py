"""Adds a user: identity, creds, starter config, registry entry, and his durable when the server is running."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from signal_admin.addresses import ca_pem, public_servers
from signal_admin.apply import provision_user, read_durables
from signal_admin.desk import Desk
from signal_admin.dial import dial
from signal_admin.history import History, start_sequence
from signal_admin.issuing import mint_user
from signal_admin.lifecycle import MAX_OVERLAP
from signal_admin.registry import User, read_user, registry_held, user_folder, write_user
from signal_admin.reports import Status, last_statuses
from signal_admin.starter import starter_yaml
from signal_admin.system import Connection, all_servers, connections_of
from signal_admin.vault import read_vault
from signal_contract.creds import write_secret
from signal_contract.errors import Conflict, InputError, LinkError, ServerUnreachable, StorageFailed, StreamMissing
from signal_contract.permissions import RoleName
from signal_contract.subject import entitlement, filters_from_catalysts, user_name_checked
from signal_contract.topology import WATCH_PREFIX, durable_name

MAX_FILTERS = 64
# The server is on this machine: if it does not answer by then, its record is a left-over.
_CONNECT_TIMEOUT_S = 2.0


@dataclass(frozen=True, slots=True)
class NewUser:
    """What was made. `has_durable` is False when the server was down: the next `catalyst up` makes it."""

    user: User
    creds: Path
    config: Path
    has_durable: bool


@dataclass(frozen=True, slots=True)
class UserState:
    """A user with what the server says about his durable; None where it was not asked or has none.

    `report` is his agent's last status report: its own word, and as old as it says.
    """

    user: User
    pending: int | None = None
    ack_pending: int | None = None
    is_online: bool | None = None
    report: Status | None = None
    last_ack_at: datetime | None = None

    def as_dict(self) -> dict[str, Any]:
        return {
            **self.user.as_dict(),
            "pending": self.pending,
            "ack_pending": self.ack_pending,
            "online": self.is_online,
            "report": self.report.as_dict() if self.report else None,
            "last_ack_at": self.last_ack_at.isoformat() if self.last_ack_at else None,
        }


def entitlement_from(catalysts: list[str], filters: list[str]) -> tuple[str, ...]:
    """The entitlement for names and filters; raises CatalystUnknown, SubjectInvalid (also when both are empty)."""
    wanted = entitlement([*filters_from_catalysts(catalysts), *filters])
    if len(wanted) > MAX_FILTERS:
        raise InputError(f"{len(wanted)} filters are too many; {MAX_FILTERS} is the limit", hint="Use wildcards.")
    return wanted


def expiry_from(text: str, now: datetime) -> datetime:
    """`90d`, `12h` or `2w` from `now`; raises InputError outside one hour to ten years."""
    units = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}
    number, unit = text[:-1], text[-1:]
    if unit not in units or not (number.isascii() and number.isdigit()) or len(number) > 5:
        raise InputError(f"{text[:20]!r} is not a duration", hint="Such as 90d, 12h or 2w.")
    length = int(number) * units[unit]
    if not timedelta(hours=1) <= length <= timedelta(days=3650):
        raise InputError(f"credentials cannot be valid for {text}", hint="From 1h to 3650d.")
    return now + length


def overlap_from(text: str) -> timedelta:
    """`24h`, `2d`; `0h` is none. Raises InputError outside nothing to 30 days."""
    if text in ("0", "0h", "0d"):
        return timedelta()
    start = datetime(2000, 1, 1, tzinfo=UTC)  # only the length counts
    length = expiry_from(text, start) - start
    if length > MAX_OVERLAP:
        raise InputError(f"an overlap of {text} is too long", hint=f"At most {MAX_OVERLAP.days}d.")
    return length


async def add_user(
    desk: Desk,
    name: str,
    filters: tuple[str, ...],
    *,
    now: datetime,
    expires_at: datetime | None = None,
    out: Path | None = None,
    history: History | None = None,
) -> NewUser:
    """Make a user. Raises NameInvalid, Conflict for a taken name, CredsInvalid (vault), StorageFailed.

    With a `history` he begins in the past, and the server has to run (ServerUnreachable). `filters` is an entitlement.
    The registry entry is written last, so a crash leaves no half-made user behind.
    """
    folder = user_folder(desk, user_name_checked(name))
    async with registry_held(desk):
        if (folder / "user.json").exists():
            raise Conflict(f"there is a user {name} already", hint="`catalyst user list` shows what he may read.")
        start = await _start_of(desk, history) if history is not None else None
        vault = read_vault(desk.vault)
        public_key, content = mint_user(
            vault, name=name, role=RoleName.SUBSCRIBER, issued_at=now, expires_at=expires_at
        )
        at = now.replace(microsecond=0)
        user = User(name, public_key, filters, created_at=at, expires_at=expires_at, start_sequence=start, issued_at=at)
        texts = {f"{name}.creds": content, **_config_texts(desk, name, vault.signer.public_key)}
        _write_all(folder, texts)
        if out is not None:
            _write_all(out, texts)
        write_user(desk, user)
        has_durable = await _make_durable(desk, user)
    place = out or folder
    return NewUser(read_user(desk, name), place / f"{name}.creds", place / f"{name}.yaml", has_durable)


def _config_texts(desk: Desk, name: str, publisher_key: str) -> dict[str, str]:
    pem, ca_name = ca_pem(desk), f"{name}-ca.pem"
    config = starter_yaml(name, public_servers(desk), publisher_key, ca_file=ca_name if pem else None)
    return {f"{name}.yaml": config} | ({ca_name: pem} if pem else {})


def _write_all(folder: Path, texts: Mapping[str, str]) -> None:
    try:
        for file_name, text in texts.items():
            write_secret(folder / file_name, text)
    except OSError as error:
        raise StorageFailed(f"cannot write to {folder}: {error.strerror or error}") from error


async def _start_of(desk: Desk, history: History) -> int:
    async with dial(desk, RoleName.ADMIN, "catalyst-user-add", connect_timeout_s=_CONNECT_TIMEOUT_S) as link:
        return await start_sequence(link, history)


async def _make_durable(desk: Desk, user: User) -> bool:
    # A record can outlive its server (kill -9); then the next start makes the durable.
    try:
        async with dial(desk, RoleName.ADMIN, "catalyst-user-add", connect_timeout_s=_CONNECT_TIMEOUT_S) as link:
            await provision_user(link, desk, user)
    except (ServerUnreachable, StreamMissing):
        return False
    return True


async def user_states(desk: Desk) -> tuple[UserState, ...]:
    """Every user, with his durable's state when the server is running: `presence` without connections."""
    from signal_admin.presence.lookout import looked  # which stands on this module

    return tuple(row.state for row in (await looked(desk, "catalyst-user-list")).rows)


async def _reports(desk: Desk, users: Sequence[User]) -> dict[str, Status]:
    # A server that was started by an older version has no such stream, and does not let it be read.
    try:
        async with dial(desk, RoleName.ADMIN, "catalyst-user-list", connect_timeout_s=_CONNECT_TIMEOUT_S) as link:
            return await last_statuses(link, users)
    except LinkError:
        return {}


@dataclass(frozen=True, slots=True)
class UserDetails:
    """One user with his durable's state and his live connections (empty while the server is away)."""

    state: UserState
    connections: tuple[Connection, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        return {**self.state.as_dict(), "connections": [each.as_dict() for each in self.connections]}


async def user_details(desk: Desk, name: str) -> UserDetails:
    """One user as registry and server have him; raises NotFound."""
    user = read_user(desk, name)
    keys = (user.public_key, *(each.public_key for each in user.retiring))
    label = "catalyst-user-show"
    try:
        async with (
            dial(desk, RoleName.MONITOR, label, connect_timeout_s=_CONNECT_TIMEOUT_S) as monitor,
            dial(desk, RoleName.SYSTEM, label, connect_timeout_s=_CONNECT_TIMEOUT_S) as system,
        ):
            durables = await read_durables(monitor, prefix=WATCH_PREFIX)
            connections = await connections_of(system, keys, await all_servers(system))
    except ServerUnreachable:
        return UserDetails(UserState(user))
    state = UserState(user, report=(await _reports(desk, [user])).get(name))
    return UserDetails(with_durable(state, durables.get(durable_name(name))), connections)


def with_durable(state: UserState, info: Mapping[str, Any] | None) -> UserState:
    """The state with what the server says of his durable; None: he has none there."""
    if info is None:
        return state
    last = (info.get("ack_floor") or {}).get("last_active")
    return replace(
        state,
        pending=int(info.get("num_pending", 0)),
        ack_pending=int(info.get("num_ack_pending", 0)),
        # An agent that is there always has a pull waiting.
        is_online=int(info.get("num_waiting", 0)) > 0,
        last_ack_at=datetime.fromisoformat(last).astimezone(UTC) if last else None,
    )
