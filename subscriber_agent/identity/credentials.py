"""The life of a friend's credentials: how long they last, when he is warned, how a refusal is named. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from signal_contract.creds import Creds
from signal_contract.errors import CatalystError, CredsExpired, CredsInvalid, CredsRevoked, Denied

WARN_DAYS = (14, 7, 3, 1)
_DAY = timedelta(days=1)


def days_left(expires_at: datetime | None, now: datetime) -> int | None:
    """Full days until the credentials end, 0 on the last day and after it; None without an end."""
    if expires_at is None:
        return None
    return max(0, (expires_at - now) // _DAY)


@dataclass(frozen=True, slots=True)
class ExpiryWarning:
    """A warning that is due: `threshold_days` is the mark that was passed, of 14, 7, 3 and 1."""

    expires_at: datetime
    threshold_days: int
    days_left: int

    @property
    def mark(self) -> str:
        """What is remembered, so that each mark is told once for each expiry, over restarts too."""
        return f"{int(self.expires_at.timestamp())}:{self.threshold_days}"


def warning_due(expires_at: datetime | None, now: datetime, last_mark: str | None) -> ExpiryWarning | None:
    """The warning to give now, or None; `last_mark` is the `mark` of the last one that was given.

    Who starts late gets the nearest mark only, not all that he missed.
    """
    if expires_at is None:
        return None
    passed = [days for days in WARN_DAYS if expires_at - now <= days * _DAY]
    if not passed:
        return None
    warning = ExpiryWarning(expires_at, min(passed), days_left(expires_at, now) or 0)
    expiry, _, days = (last_mark or "").partition(":")
    is_told = expiry == warning.mark.partition(":")[0] and days.isdigit() and int(days) <= warning.threshold_days
    return None if is_told else warning


def replacement_checked(old: Creds, new: Creds) -> Creds:
    """Return the creds of a replaced file when they may follow on `old`; raises CredsInvalid otherwise."""
    if new.user != old.user:
        raise CredsInvalid(f"{new.path} now belongs to {new.user}, this agent runs as {old.user}")
    if new.account != old.account:
        raise CredsInvalid(f"{new.path} now belongs to another operator's {new.user}")
    return new


def named(error: CatalystError, creds: Creds, now: datetime, *, revoked_key: str | None) -> CatalystError:
    """The refusal under its own name: to a new connection the server says no more than "authorization violation".

    `revoked_key` is the public key of the credentials that the server was last heard to revoke.
    """
    if type(error) is not Denied:
        return error
    if creds.expires_at is not None and now >= creds.expires_at:
        return CredsExpired(f"the credentials of {creds.user} expired at {creds.expires_at:%Y-%m-%d %H:%M} UTC")
    if revoked_key == creds.public_key:
        return CredsRevoked(f"the credentials of {creds.user} were revoked")
    return error
