"""Adds a user: identity, creds, starter config, registry entry, and his durable when the server is running."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from signal_admin.apply import provision_user, read_durables
from signal_admin.desk import Desk
from signal_admin.issuing import mint_user, own_creds
from signal_admin.registry import User, all_users, read_user, registry_locked, user_folder, write_user
from signal_admin.starter import starter_yaml
from signal_admin.up import DEFAULT_PORT
from signal_admin.vault import read_vault
from signal_contract.creds import write_secret
from signal_contract.errors import Conflict, InputError, ServerUnreachable, StorageFailed, StreamMissing
from signal_contract.link import opened
from signal_contract.permissions import RoleName
from signal_contract.subject import entitlement, filters_from_catalysts, user_name_checked
from signal_contract.topology import durable_name

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
    """A user with what the server says about his durable; None where it was not asked or has none."""

    user: User
    pending: int | None = None
    ack_pending: int | None = None
    is_online: bool | None = None

    def as_dict(self) -> dict[str, Any]:
        return {
            **self.user.as_dict(),
            "pending": self.pending,
            "ack_pending": self.ack_pending,
            "online": self.is_online,
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


async def add_user(
    desk: Desk,
    name: str,
    filters: tuple[str, ...],
    *,
    now: datetime,
    expires_at: datetime | None = None,
    out: Path | None = None,
) -> NewUser:
    """Make a user. Raises NameInvalid, Conflict for a taken name, CredsInvalid (vault), StorageFailed.

    `filters` is an entitlement. The registry entry is written last, so a crash leaves no half-made user behind.
    """
    folder = user_folder(desk, user_name_checked(name))
    with registry_locked(desk):
        if (folder / "user.json").exists():
            raise Conflict(f"there is a user {name} already", hint="`catalyst user list` shows what he may read.")
        vault = read_vault(desk.vault)
        public_key, content = mint_user(
            vault, name=name, role=RoleName.SUBSCRIBER, issued_at=now, expires_at=expires_at
        )
        user = User(name, public_key, filters, created_at=now.replace(microsecond=0), expires_at=expires_at)
        record = desk.server_record()
        url = record.url if record else f"nats://127.0.0.1:{DEFAULT_PORT}"
        texts = {f"{name}.creds": content, f"{name}.yaml": starter_yaml(name, url, vault.signer.public_key)}
        _write_all(folder, texts)
        if out is not None:
            _write_all(out, texts)
        write_user(desk, user)
        has_durable = record is not None and await _make_durable(desk, record.url, user)
    place = out or folder
    return NewUser(read_user(desk, name), place / f"{name}.creds", place / f"{name}.yaml", has_durable)


def _write_all(folder: Path, texts: Mapping[str, str]) -> None:
    try:
        for file_name, text in texts.items():
            write_secret(folder / file_name, text)
    except OSError as error:
        raise StorageFailed(f"cannot write to {folder}: {error.strerror or error}") from error


async def _make_durable(desk: Desk, url: str, user: User) -> bool:
    # A record can outlive its server (kill -9); then the next start makes the durable.
    try:
        async with opened(
            [url], own_creds(desk, RoleName.ADMIN), label="catalyst-user-add", connect_timeout_s=_CONNECT_TIMEOUT_S
        ) as link:
            await provision_user(link, desk, user)
    except (ServerUnreachable, StreamMissing):
        return False
    return True


async def user_states(desk: Desk) -> tuple[UserState, ...]:
    """Every user, with his durable's state when the server is running."""
    users = tuple(UserState(user) for user in all_users(desk))
    record = desk.server_record()
    if record is None:
        return users
    try:
        async with opened(
            [record.url],
            own_creds(desk, RoleName.MONITOR),
            label="catalyst-user-list",
            connect_timeout_s=_CONNECT_TIMEOUT_S,
        ) as link:
            durables = await read_durables(link)
    except ServerUnreachable:
        return users
    return tuple(_with_state(state, durables.get(durable_name(state.user.name))) for state in users)


def _with_state(state: UserState, info: Mapping[str, Any] | None) -> UserState:
    if info is None:
        return state
    return replace(
        state,
        pending=int(info.get("num_pending", 0)),
        ack_pending=int(info.get("num_ack_pending", 0)),
        # An agent that is there always has a pull waiting.
        is_online=int(info.get("num_waiting", 0)) > 0,
    )


def is_expired(user: User, now: datetime) -> bool:
    """Whether the server refuses this user's creds at `now`."""
    return user.expires_at is not None and now >= user.expires_at
