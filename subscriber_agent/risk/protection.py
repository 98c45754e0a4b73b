"""Where the stop of an entry is, as a table: an entry is done only when its stop is confirmed. Pure.

    (first fill) ─▶ WANTED ──stop seen──▶ CONFIRMED ──held changes──▶ RESIZING ──placed anew──▶ CONFIRMED
                     ▲  │                     │ lost                     │
                     │  │◀────────────────────┴──────────────────────────┘
                     │  ├──not within 10 s──▶ WANTED at the next holder: native → order → watched
                     │  └──no holder left───▶ FAILED: closed at the market, everything halted
                     └── exit came to nothing ── RELEASED (let go, so that an exit may close the shares)
    any ──nothing held any more──▶ CLOSED

Who holds it: `native` the engine, with the entry; `order` a stop order of ours; `watched` we, against its quotes. What
the journal keeps is this value; a restart goes on from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from subscriber_agent.accounting.book import Side
from subscriber_agent.risk.decision import instant_text, text_of
from subscriber_agent.risk.market import Capabilities


class Holder(StrEnum):
    """Who closes the position when its stop is reached; see the module's drawing. NOBODY is left when none can."""

    NATIVE = "native"
    ORDER = "order"
    WATCHED = "watched"
    NOBODY = "nobody"


class ProtectionState(StrEnum):
    """See the module's drawing."""

    WANTED = "WANTED"
    CONFIRMED = "CONFIRMED"
    RESIZING = "RESIZING"
    RELEASED = "RELEASED"
    FAILED = "FAILED"
    CLOSED = "CLOSED"


@dataclass(frozen=True, slots=True)
class Protection:
    """The stop of one entry. `side` is the entry's, prices are USD, `since` is when its state began.

    `order_id` is our own stop order with its `revision` ("" and 0: none yet); `best_price` the best one seen since the
    entry, which a trailing stop follows; `detail` says in words what was last wrong.
    """

    entry_id: str
    signal_id: str
    ticker: str
    side: Side
    holder: Holder
    state: ProtectionState
    stop_price: Decimal
    since: datetime
    target_price: Decimal | None = None
    trailing_stop_percent: Decimal | None = None
    best_price: Decimal | None = None
    extended_hours: bool = False
    order_id: str = ""
    revision: int = 0
    detail: str = ""

    @property
    def is_open(self) -> bool:
        """Whether there is, or may be, something to protect."""
        return self.state is not ProtectionState.CLOSED

    def became(self, state: ProtectionState, at: datetime, detail: str = "") -> Protection:
        """The same in another state from `at` on; in the same state it stands since when it stood."""
        since = self.since if state is self.state else at
        return replace(self, state=state, since=since, detail=detail)

    def at_next_holder(self, can: Capabilities, at: datetime, detail: str) -> Protection:
        """Wanted from the next one who can hold it; FAILED when there is none."""
        holder = next_holder(self.holder, can)
        state = ProtectionState.FAILED if holder is Holder.NOBODY else ProtectionState.WANTED
        return replace(self, holder=holder, state=state, since=at, detail=detail)

    def as_dict(self) -> dict[str, Any]:
        return {
            "entry_id": self.entry_id,
            "signal_id": self.signal_id,
            "ticker": self.ticker,
            "side": self.side.value,
            "holder": self.holder.value,
            "state": self.state.value,
            "stop_price": text_of(self.stop_price),
            "since": instant_text(self.since),
            "target_price": _maybe(self.target_price),
            "trailing_stop_percent": _maybe(self.trailing_stop_percent),
            "best_price": _maybe(self.best_price),
            "extended_hours": self.extended_hours,
            "order_id": self.order_id,
            "revision": self.revision,
            "detail": self.detail,
        }

    @classmethod
    def from_dict(cls, body: Mapping[str, Any]) -> Protection:
        """Read back what `as_dict` made; raises KeyError or ValueError for anything else."""
        return cls(
            entry_id=body["entry_id"],
            signal_id=body["signal_id"],
            ticker=body["ticker"],
            side=Side(body["side"]),
            holder=Holder(body["holder"]),
            state=ProtectionState(body["state"]),
            stop_price=Decimal(body["stop_price"]),
            since=datetime.fromisoformat(body["since"]),
            target_price=_decimal(body["target_price"]),
            trailing_stop_percent=_decimal(body["trailing_stop_percent"]),
            best_price=_decimal(body["best_price"]),
            extended_hours=bool(body["extended_hours"]),
            order_id=body["order_id"],
            revision=int(body["revision"]),
            detail=body["detail"],
        )


_ORDER = (Holder.NATIVE, Holder.ORDER, Holder.WATCHED)


def first_holder(can: Capabilities, *, extended_hours: bool) -> Holder:
    """Who shall hold the stop of an entry; the engine's own brackets count in the regular session only."""
    return Holder.NATIVE if can.brackets and not extended_hours else next_holder(Holder.NATIVE, can)


def next_holder(holder: Holder, can: Capabilities) -> Holder:
    """Who holds it when this one cannot."""
    able = {Holder.ORDER: can.stop_orders, Holder.WATCHED: can.quotes}
    later = _ORDER[_ORDER.index(holder) + 1 :] if holder in _ORDER else ()
    return next((each for each in later if able[each]), Holder.NOBODY)


def _maybe(value: Decimal | None) -> str | None:
    return None if value is None else text_of(value)


def _decimal(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)
