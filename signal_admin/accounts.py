"""The accounts as claims: what SIGNALS exports, what the others import, and when a new JWT has to be issued.

Pure: tables of `signal_contract.permissions` and `signal_contract.topology` in, claims out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from signal_admin.claims import account_claims, own_scope, role_scope
from signal_admin.registry import User
from signal_admin.revocations import Revocation, still_needed
from signal_contract.permissions import ROLES, RoleName
from signal_contract.topology import ACCOUNT_CONNECTIONS, RESPONSE_THRESHOLD_NS, SERVICES, TAPS, Account


@dataclass(frozen=True, slots=True)
class FriendsExtras:
    """What account FRIENDS says beyond the tables: scopes of single users, and withdrawn keys (Unix seconds)."""

    scopes: tuple[Mapping[str, Any], ...] = ()
    revocations: Mapping[str, int] = field(default_factory=dict)


def friends_extras(users: Iterable[User], revocations: Iterable[Revocation], now: datetime) -> FriendsExtras:
    """The extras of these users; revocations of keys whose every JWT has expired by `now` are left out."""
    role = ROLES[RoleName.SUBSCRIBER]
    scopes = tuple(
        own_scope(user.scope_key, role, user.name, user.constraints.template)
        for user in sorted(users, key=lambda each: each.name)
        if user.scope_key is not None
    )
    withdrawn = sorted(still_needed(revocations, now), key=lambda each: each.public_key)
    return FriendsExtras(scopes, {each.public_key: int(each.revoked_at.timestamp()) for each in withdrawn})


def exports() -> tuple[dict[str, Any], ...]:
    """What SIGNALS offers. Imports are written by the operator's desk alone, so who may use it is decided there."""
    services = [
        {
            "name": service.name,
            "subject": service.subject,
            "type": "service",
            "response_type": service.response_type,
            "response_threshold": RESPONSE_THRESHOLD_NS,
        }
        for service in SERVICES
    ]
    streams = [{"name": tap.name, "subject": tap.subject, "type": "stream"} for tap in TAPS]
    return (*services, *streams)


def imports(account: Account, signals_account: str) -> tuple[dict[str, Any], ...]:
    """What an account takes from SIGNALS (its public key); nothing unless the tables name it as an importer."""
    services = []
    for service in SERVICES:
        if account in service.importers:
            entry = {"name": service.name, "subject": service.subject, "account": signals_account, "type": "service"}
            local = service.local_subject(account)
            services.append(entry if local == service.subject else {**entry, "local_subject": local})
    streams = [
        {"name": tap.name, "subject": tap.subject, "account": signals_account, "type": "stream"}
        for tap in TAPS
        if account in tap.importers
    ]
    return (*services, *streams)


def _scopes(account: Account, role_keys: Mapping[RoleName, str]) -> tuple[dict[str, Any], ...]:
    return tuple(role_scope(role_keys[role.name], role) for role in ROLES.values() if role.account is account)


def all_account_claims(
    keys: Mapping[Account, str],
    role_keys: Mapping[RoleName, str],
    issued_at: datetime,
    extras: FriendsExtras | None = None,
) -> dict[Account, dict[str, Any]]:
    """Claims of every account from their public keys, those of the roles' signing keys, and the extras of FRIENDS."""
    more = extras or FriendsExtras()
    found: dict[Account, dict[str, Any]] = {}
    for account in Account:
        own = more if account is Account.FRIENDS else FriendsExtras()
        found[account] = account_claims(
            keys[account],
            name=account.value,
            issued_at=issued_at,
            jetstream=account is Account.SIGNALS,
            connections=ACCOUNT_CONNECTIONS.get(account, -1),
            exports=exports() if account is Account.SIGNALS else (),
            imports=imports(account, keys[Account.SIGNALS]),
            scopes=(*_scopes(account, role_keys), *own.scopes),
            revocations=own.revocations,
        )
    return found


def has_same_content(issued: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether an issued JWT's claims say what is wanted; when, by which key and under which id does not count."""
    ignored = {"iat", "jti", "iss"}
    return {k: v for k, v in issued.items() if k not in ignored} == {
        k: v for k, v in wanted.items() if k not in ignored
    }


def next_issue_time(issued: Mapping[str, Any], now: datetime) -> datetime:
    """When a changed JWT is issued: now, but always a second after the last one.

    The server's resolver keeps the newer of two copies and compares whole seconds.
    """
    last = datetime.fromtimestamp(int(issued.get("iat", 0)), UTC)
    return max(now, last + timedelta(seconds=1))
