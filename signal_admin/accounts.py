"""The three accounts as claims: what SIGNALS exports, what FRIENDS imports, and when a new JWT has to be issued.

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
from signal_contract.topology import RESPONSE_THRESHOLD_NS, SERVICES, STREAM_EXPORTS, Account


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
    """What SIGNALS offers to other accounts of this operator."""
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
    streams = [{"name": name, "subject": subject, "type": "stream"} for name, subject in STREAM_EXPORTS]
    return (*services, *streams)


def imports(signals_account: str) -> tuple[dict[str, Any], ...]:
    """What FRIENDS takes from SIGNALS (its public key). Requests get local names outside `$JS.API`.

    Every account answers `$JS.API.>` implicitly, so an import under that name would be answered twice.
    """
    services = []
    for service in SERVICES:
        entry = {"name": service.name, "subject": service.subject, "account": signals_account, "type": "service"}
        services.append({**entry, "local_subject": service.local} if service.local else entry)
    streams = [
        {"name": name, "subject": subject, "account": signals_account, "type": "stream"}
        for name, subject in STREAM_EXPORTS
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
    """Claims of SYS, SIGNALS and FRIENDS from their public keys, those of the roles' signing keys, and the extras."""
    more = extras or FriendsExtras()
    return {
        Account.SYS: account_claims(
            keys[Account.SYS], name=Account.SYS.value, issued_at=issued_at, scopes=_scopes(Account.SYS, role_keys)
        ),
        Account.SIGNALS: account_claims(
            keys[Account.SIGNALS],
            name=Account.SIGNALS.value,
            issued_at=issued_at,
            jetstream=True,
            exports=exports(),
            scopes=_scopes(Account.SIGNALS, role_keys),
        ),
        Account.FRIENDS: account_claims(
            keys[Account.FRIENDS],
            name=Account.FRIENDS.value,
            issued_at=issued_at,
            imports=imports(keys[Account.SIGNALS]),
            scopes=(*_scopes(Account.FRIENDS, role_keys), *more.scopes),
            revocations=more.revocations,
        ),
    }


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
