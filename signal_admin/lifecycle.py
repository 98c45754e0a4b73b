"""What becomes of a user when he is revoked, rotated, extended …, as values: an edit that somebody else carries out.

Pure: registry entries and the clock in, edits out. Refusals are errors of the tree, raised before anything is changed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from signal_admin.registry import RetiringKey, User
from signal_admin.revocations import Revocation
from signal_contract.errors import Conflict, InputError
from signal_contract.topology import STREAM, durable_name

MAX_RETIRING = 4
MAX_OVERLAP = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Change:
    """One difference: where, and the values before and after (JSON values; None is absent)."""

    what: str
    before: Any
    after: Any

    def as_dict(self) -> dict[str, Any]:
        return {"what": self.what, "before": self.before, "after": self.after}


@dataclass(frozen=True, slots=True)
class Edit:
    """A user before and after, and the keys that are withdrawn with it."""

    before: User | None
    after: User
    revoked: tuple[Revocation, ...] = ()

    @property
    def touches_account(self) -> bool:
        """Whether account FRIENDS' JWT changes: withdrawn keys, or a scope of the user's own."""
        before = (self.before.scope_key, self.before.constraints) if self.before else (None, None)
        after = (self.after.scope_key, self.after.constraints)
        return bool(self.revoked) or (before != after and (before[0] or after[0]) is not None)

    @property
    def changes(self) -> tuple[Change, ...]:
        """The claim difference: the user JWT's, the account JWT's and the durable's."""
        before, after = _claims(self.before), _claims(self.after)
        found = [Change(key, before.get(key), after.get(key)) for key in after if before.get(key) != after.get(key)]
        found += [
            Change(f"account FRIENDS: revocations.{each.public_key}", None, each.revoked_at.isoformat())
            for each in self.revoked
        ]
        return tuple(found)


def _claims(user: User | None) -> dict[str, Any]:
    if user is None:
        return {}
    shown = user.as_dict()
    return {
        "user: name": user.name,
        "user: sub": user.public_key,
        "user: exp": shown["expires_at"],
        "user: iat": shown["issued_at"],
        "account FRIENDS: signing_keys.own": user.scope_key,
        "account FRIENDS: signing_keys.own.template": user.constraints.template or None,
        f"durable {durable_name(user.name)} on {STREAM}: filter_subjects": list(user.filters),
        "registry: status": "leaving" if user.is_leaving else "revoked" if user.revoked_at else "active",
        "registry: retiring keys": {each["public_key"]: each["retire_at"] for each in shown["retiring"]} or None,
    }


def _withdrawn(user: User, now: datetime) -> tuple[Revocation, ...]:
    # Not before its issue: a clock that went back must not leave a JWT outside the revocation.
    at = max(now, user.issued_at or user.created_at)
    keys = [(user.public_key, user.expires_at), *((each.public_key, each.expires_at) for each in user.retiring)]
    return tuple(Revocation(key, user.name, at, end) for key, end in keys)


def revoked(user: User, now: datetime) -> Edit:
    """Withdraw every key of a user; his place in the stream stays, and a rotation lets him in again."""
    return Edit(user, replace(user, revoked_at=user.revoked_at or now, retiring=()), _withdrawn(user, now))


def offboarded(user: User, now: datetime) -> Edit:
    """As `revoked`, and he leaves: his durable and his place in the registry go when that is done."""
    after = replace(user, revoked_at=user.revoked_at or now, retiring=(), is_leaving=True)
    return Edit(user, after, _withdrawn(user, now))


def refiltered(user: User, filters: tuple[str, ...]) -> Edit:
    """Another entitlement, as `subject.entitlement` returns it; raises Conflict for one who is leaving."""
    _is_staying(user)
    return Edit(user, replace(user, filters=filters))


def extended(user: User, expires_at: datetime, now: datetime) -> Edit:
    """A later end for the same key. Raises Conflict for a revoked user, InputError when it would not be later."""
    _is_staying(user)
    if user.revoked_at is not None:
        raise Conflict(
            f"the key of {user.name} is revoked and stays so",
            hint=f"Give him a new one: catalyst user rotate {user.name}",
        )
    if user.expires_at is None or expires_at <= user.expires_at:
        until = f"{user.expires_at:%Y-%m-%d %H:%M} UTC" if user.expires_at else "without end"
        raise InputError(
            f"the credentials of {user.name} are valid {until} already",
            hint="Credentials that are out cannot be shortened. To do that: catalyst user rotate, or revoke.",
        )
    return Edit(user, replace(user, expires_at=expires_at, issued_at=now))


def rotated(user: User, new_key: str, expires_at: datetime | None, overlap: timedelta, now: datetime) -> Edit:
    """A new key that is valid at once. The old one works on for `overlap`; with none it is withdrawn now.

    `expires_at` is the new key's end. A revoked user is let in again: his old keys stay withdrawn.
    """
    _is_staying(user)
    if not timedelta() <= overlap <= MAX_OVERLAP:
        raise InputError(f"an overlap lies between nothing and {MAX_OVERLAP.days} days")
    if expires_at is not None and expires_at <= now:
        raise InputError(
            f"the credentials of {user.name} have expired; a new key would have no time", hint="Add --expires 90d."
        )
    after = replace(user, public_key=new_key, expires_at=expires_at, issued_at=now, revoked_at=None)
    if user.revoked_at is not None:
        return Edit(user, after)
    if overlap == timedelta():
        return Edit(user, replace(after, retiring=()), _withdrawn(user, now))
    retiring = (*user.retiring, RetiringKey(user.public_key, now + overlap, user.expires_at))
    if len(retiring) > MAX_RETIRING:
        raise Conflict(
            f"{user.name} has {len(user.retiring)} older keys that still work",
            hint="Wait until they retire, or withdraw them at once with --overlap 0h.",
        )
    return Edit(user, replace(after, retiring=retiring))


def retired(user: User, now: datetime) -> Edit | None:
    """Withdraw the replaced keys whose overlap is over; None when there are none."""
    due = [each for each in user.retiring if each.retire_at <= now]
    if not due:
        return None
    kept = tuple(each for each in user.retiring if each.retire_at > now)
    withdrawn = tuple(Revocation(each.public_key, user.name, now, each.expires_at) for each in due)
    return Edit(user, replace(user, retiring=kept), withdrawn)


def _is_staying(user: User) -> None:
    if user.is_leaving:
        raise Conflict(f"{user.name} is being offboarded", hint="`catalyst user sync` finishes that.")
