"""The subject grammar: `signals.<catalyst>.<ticker>`, control, feedback, heartbeat, and the filters over them.

The ticker codec is a bijection between tickers and single NATS tokens: `BRK.B` is `BRK_B` on the wire.
`_` is not a ticker character, so nothing is lost.
Grammar of subjects and wildcards: NATS docs, "Subject-Based Messaging".
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from signal_contract.catalysts import CATALYSTS, catalysts_from_name
from signal_contract.errors import NameInvalid, SubjectInvalid

SIGNALS_ROOT = "signals"
CONTROL_ALL = "control.all"
CONTROL_USER = "control.user"
HEARTBEAT_PUBLISHER = "heartbeat.publisher"

_TICKER = re.compile(r"[A-Z0-9][A-Z0-9.\-/^+=]{0,15}")
_TOKEN = re.compile(r"[A-Z0-9][A-Z0-9_\-/^+=]{0,15}")
_USER_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{1,31}")


def ticker_checked(ticker: str) -> str:
    """Return the ticker, or raise SubjectInvalid: blanks, wildcards, lower case and over 16 characters are refused."""
    if not _TICKER.fullmatch(ticker):
        raise SubjectInvalid(f"{ticker[:40]!r} is not a ticker")
    return ticker


def token_from_ticker(ticker: str) -> str:
    """One subject token for a ticker (`BRK.B` → `BRK_B`); raises SubjectInvalid."""
    return ticker_checked(ticker).replace(".", "_")


def ticker_from_token(token: str) -> str:
    """The ticker behind a subject token (`BRK_B` → `BRK.B`); raises SubjectInvalid."""
    if not _TOKEN.fullmatch(token):
        raise SubjectInvalid(f"{token[:40]!r} is not a ticker token")
    return token.replace("_", ".")


@dataclass(frozen=True, slots=True)
class SignalSubject:
    """Where a signal is published; catalyst from the closed list, ticker in its plain form."""

    catalyst: str
    ticker: str

    def __str__(self) -> str:
        return f"{SIGNALS_ROOT}.{self.catalyst}.{token_from_ticker(self.ticker)}"

    @classmethod
    def parse(cls, subject: str) -> SignalSubject:
        """Read `signals.<catalyst>.<token>`; raises SubjectInvalid for anything else."""
        parts = subject.split(".")
        if len(parts) != 3 or parts[0] != SIGNALS_ROOT or parts[1] not in CATALYSTS:
            raise SubjectInvalid(f"{subject[:80]!r} is not a signal subject")
        return cls(parts[1], ticker_from_token(parts[2]))


def user_name_checked(name: str) -> str:
    """Return a user name, or raise NameInvalid.

    The server itself would accept `>` or `*` in a permission template, so this is where the line is held.
    """
    if not _USER_NAME.fullmatch(name):
        raise NameInvalid(f"{name[:40]!r} is not a user name")
    return name


def filter_checked(text: str) -> str:
    """Return one entitlement filter, or raise SubjectInvalid.

    `signals.<catalyst or *>.<ticker token or *>`, or the whole wire as `signals.>`, which becomes `signals.*.*`.
    A ticker may be written plainly: `signals.*.BRK.B` means `signals.*.BRK_B`.
    """
    if text == f"{SIGNALS_ROOT}.>":
        return f"{SIGNALS_ROOT}.*.*"
    root, _, rest = text.partition(".")
    catalyst, _, ticker = rest.partition(".")
    if root != SIGNALS_ROOT or not catalyst or not ticker:
        raise SubjectInvalid(f"{text[:80]!r} is not a filter on signals")
    if catalyst != "*" and catalyst not in CATALYSTS:
        catalyst = catalysts_from_name(catalyst)[0]
    token = ticker if ticker == "*" or _TOKEN.fullmatch(ticker) else token_from_ticker(ticker)
    return f"{SIGNALS_ROOT}.{catalyst}.{token}"


def _covers(wide: str, narrow: str) -> bool:
    pairs = zip(wide.split("."), narrow.split("."), strict=True)
    return all(a in ("*", b) for a, b in pairs)


def _overlaps(one: str, other: str) -> bool:
    pairs = zip(one.split("."), other.split("."), strict=True)
    return all(a == b or "*" in (a, b) for a, b in pairs)


def entitlement(filters: list[str]) -> tuple[str, ...]:
    """Normalise an entitlement: each filter checked, duplicates and covered ones dropped, sorted.

    Raises SubjectInvalid when it is empty (to the server an empty list means *everything*) or when two filters
    overlap without one covering the other (the server refuses such a durable).
    """
    checked = sorted({filter_checked(each) for each in filters})
    kept = [one for one in checked if not any(other != one and _covers(other, one) for other in checked)]
    if not kept:
        raise SubjectInvalid("an entitlement needs at least one filter", hint="Give --catalysts or --filter.")
    for index, one in enumerate(kept):
        for other in kept[index + 1 :]:
            if _overlaps(one, other):
                raise SubjectInvalid(
                    f"filters {one} and {other} overlap, which the server refuses",
                    hint="Give either catalysts for all tickers or tickers for all catalysts.",
                )
    return tuple(kept)


def filters_from_catalysts(names: list[str]) -> list[str]:
    """`fda`, `M&A` … → `signals.fda.*`, `signals.acquisition.*`, `signals.merger.*`; raises CatalystUnknown."""
    return [f"{SIGNALS_ROOT}.{catalyst}.*" for name in names for catalyst in catalysts_from_name(name)]


def is_entitled(subject: str, filters: tuple[str, ...]) -> bool:
    """Whether a subject lies inside an entitlement; filters as `entitlement` returns them."""
    return subject.count(".") == 2 and any(_covers(each, subject) for each in filters)


def control_filters(user: str) -> tuple[str, ...]:
    """The control subjects that every durable reads besides its entitlement."""
    return (f"{CONTROL_ALL}.*", f"{CONTROL_USER}.{user_name_checked(user)}.*")
