"""What to do next about the stop of an entry: one row of a table at a time, from what is known at this moment. Pure.

known                                          becomes                   and then
─────────────────────────────────────────────  ────────────────────────  ───────────────────────────────────────
nothing is held any more                       CLOSED                    whatever could still fill is cancelled first
an exit of ours is under way                   RELEASED                  nothing: it closes the shares
the exit came to nothing                       WANTED                    placed again, by the next holder if native
native: its stop works for all that is held    CONFIRMED
native: not so for STOP_WAIT                   WANTED at the next one    the engine's legs are let go first
order: none works                              WANTED                    a stop order is placed
order: it works for all that is held           CONFIRMED
order: it works for another quantity           RESIZING                  it is cancelled, then placed anew
order: rejected, or no answer for STOP_WAIT    WANTED at the next one
watched: a price was seen lately               CONFIRMED
watched: none for BLIND in the session         FAILED
nobody can hold it                             FAILED                    closed at the market, and halted
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from subscriber_agent.accounting.book import ZERO, Side, known
from subscriber_agent.risk.market import Capabilities, Quote
from subscriber_agent.risk.protection import Holder, Protection, ProtectionState

# From a fill until its stop must be seen, and until a watch that sees no price counts as blind.
STOP_WAIT, BLIND = timedelta(seconds=10), timedelta(seconds=120)
# A price is looked at when it is from now, give or take what clocks differ.
_FRESH = timedelta(seconds=120)
_STEP = Decimal("1e-6")

_WANTED, _CONFIRMED = ProtectionState.WANTED, ProtectionState.CONFIRMED


class Action(StrEnum):
    """What the shell does about it: place our stop order, cancel it, or have the engine's own legs cancelled."""

    NOTHING = "nothing"
    PLACE = "place"
    CANCEL = "cancel"
    LET_GO = "let go"


class StopOrder(StrEnum):
    """How our own stop order is doing. ENDED is filled or cancelled; REJECTED was never taken."""

    NONE = "none"
    UNKNOWN = "unknown"
    WORKING = "working"
    ENDED = "ended"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class Known:
    """What is known at `now` about one entry: the shares held of it (positive), and what would close them.

    `native` are the shares that the engine's own stop protects, `rest` what our own stop order would still close,
    `is_native_over`: the entry has ended, and so have the legs it had, so that no native stop will come any more.
    `blind_since` since when no fresh price was seen in the regular session (None: one was, or none is needed).
    """

    now: datetime
    can: Capabilities
    held: Decimal
    native: Decimal = ZERO
    is_native_over: bool = False
    order: StopOrder = StopOrder.NONE
    rest: Decimal = ZERO
    is_exiting: bool = False
    is_entry_working: bool = False
    is_seen: bool = False
    blind_since: datetime | None = None


def next_step(row: Protection, known_now: Known) -> tuple[Protection, Action]:
    """The row as it is now, and what to do. To be asked again after each action, until there is nothing to do."""
    if row.state is ProtectionState.CLOSED:
        return row, Action.NOTHING
    if known_now.held <= 0:
        return _with_nothing_held(row, known_now)
    if known_now.is_exiting:
        return (row if _is_failed(row) else row.became(ProtectionState.RELEASED, known_now.now)), Action.NOTHING
    if row.state is ProtectionState.RELEASED:
        row = _taken_up_again(row, known_now)
    return _BY_HOLDER[row.holder](row, known_now)


def _with_nothing_held(row: Protection, this: Known) -> tuple[Protection, Action]:
    if this.order in (StopOrder.WORKING, StopOrder.UNKNOWN):
        # Left alone it would open a position the other way round.
        return row, Action.CANCEL
    if this.native > 0 and this.can.cancels:
        return row, Action.LET_GO
    if this.is_entry_working:
        return row, Action.NOTHING
    return row.became(ProtectionState.CLOSED, this.now), Action.NOTHING


def _taken_up_again(row: Protection, this: Known) -> Protection:
    if row.holder is Holder.NATIVE and this.native < this.held:
        return row.at_next_holder(this.can, this.now, "let go for an exit that came to nothing")
    # An order that still works was never let go; one that ended is placed anew.
    order_id = row.order_id if this.order in (StopOrder.WORKING, StopOrder.UNKNOWN) else ""
    return replace(row.became(_WANTED, this.now, "its exit came to nothing"), order_id=order_id)


def _native(row: Protection, this: Known) -> tuple[Protection, Action]:
    if this.native >= this.held:
        return row.became(_CONFIRMED, this.now), Action.NOTHING
    detail = f"the engine's stop covers {this.native:f} of {this.held:f} shares"
    waiting = row.became(_WANTED, this.now, detail)
    is_due = this.is_native_over or _is_late(waiting, this.now)
    return waiting, Action.LET_GO if is_due else Action.NOTHING


def let_go(row: Protection, this: Known) -> Protection:
    """The row once the engine's own legs are gone: wanted from the next holder."""
    return row.at_next_holder(this.can, this.now, row.detail or "the engine held no stop")


def _order(row: Protection, this: Known) -> tuple[Protection, Action]:
    if this.order is StopOrder.WORKING:
        if this.rest == this.held:
            return row.became(_CONFIRMED, this.now), Action.NOTHING
        detail = f"the stop order is for {this.rest:f} shares, {this.held:f} are held"
        return row.became(ProtectionState.RESIZING, this.now, detail), Action.CANCEL
    if this.order is StopOrder.UNKNOWN:
        waiting = row.became(_WANTED, this.now, "no answer to the stop order yet")
        return (_next(waiting, this) if _is_late(waiting, this.now) else waiting), Action.NOTHING
    if this.order is StopOrder.REJECTED:
        return _next(replace(row, detail="the engine took no stop order"), this), Action.NOTHING
    if row.order_id and row.state is _WANTED:
        # It ended by itself before it ever worked: another one would do the same.
        return _next(replace(row, detail="the stop order ended at once"), this), Action.NOTHING
    return replace(row.became(_WANTED, this.now, row.detail), order_id=""), Action.PLACE


def _is_late(waiting: Protection, now: datetime) -> bool:
    # A clock that was set back must not leave shares without a stop until it is where it was.
    return abs(now - waiting.since) >= STOP_WAIT


def _next(row: Protection, this: Known) -> Protection:
    return row.at_next_holder(this.can, this.now, row.detail)


def _watched(row: Protection, this: Known) -> tuple[Protection, Action]:
    if this.order is StopOrder.WORKING:
        # It answered after all.
        return replace(row, holder=Holder.ORDER), Action.NOTHING
    if this.blind_since is not None and this.now - this.blind_since >= BLIND:
        return _next(replace(row, detail=f"no price for {BLIND.seconds} s"), this), Action.NOTHING
    return row.became(_CONFIRMED if this.is_seen else _WANTED, this.now), Action.NOTHING


def _nobody(row: Protection, this: Known) -> tuple[Protection, Action]:
    return row.became(ProtectionState.FAILED, this.now, row.detail or "nobody can hold the stop"), Action.NOTHING


_BY_HOLDER: dict[Holder, Callable[[Protection, Known], tuple[Protection, Action]]] = {
    Holder.NATIVE: _native,
    Holder.ORDER: _order,
    Holder.WATCHED: _watched,
    Holder.NOBODY: _nobody,
}


def _is_failed(row: Protection) -> bool:
    return row.state is ProtectionState.FAILED


# Watching prices ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Look:
    """What a price says about a stop: the row with the best price seen, and which limit it reached ("" for none)."""

    row: Protection
    is_fresh: bool
    reached: str = ""
    price: Decimal | None = None


def is_watching(row: Protection, can: Capabilities) -> bool:
    """Whether prices have to be asked for: for the stop itself, the target of a stop order, or a trailing stop."""
    if not can.quotes or row.state in (ProtectionState.CLOSED, ProtectionState.FAILED):
        return False
    has_target = row.holder is Holder.ORDER and row.target_price is not None
    return row.holder is Holder.WATCHED or has_target or row.trailing_stop_percent is not None


def is_target_left_out(row: Protection, can: Capabilities) -> bool:
    """Whether the target is held by nobody: our own order is a stop, and there are no prices to watch it by."""
    return row.holder is Holder.ORDER and row.target_price is not None and not can.quotes


def looked_at(row: Protection, quote: Quote | None, now: datetime) -> Look:
    """What a quote says. The price that counts is the one the position can be closed at: a long's is the bid.

    A quote that is old, crossed or no price at all is none.
    """
    price = _closing_price(row, quote)
    if price is None or quote is None or abs(now - quote.at) > _FRESH:
        return Look(row, is_fresh=False)
    best = price if row.best_price is None else _better(row.side, price, row.best_price)
    trailed = replace(row, best_price=best) if row.trailing_stop_percent is not None else row
    stop, sign = trailing_stop(trailed), row.side.sign
    if (price - stop) * sign <= 0:
        return Look(trailed, True, "stop", price)
    # A native target is the engine's, as long as it has the legs.
    is_ours = row.holder is not Holder.NATIVE
    if is_ours and row.target_price is not None and (price - row.target_price) * sign >= 0:
        return Look(trailed, True, "target", price)
    return Look(trailed, True, "", price)


def trailing_stop(row: Protection) -> Decimal:
    """Where the stop is now, in USD: never further away than it was."""
    if row.trailing_stop_percent is None or row.best_price is None:
        return row.stop_price
    share = row.trailing_stop_percent * row.side.sign / 100
    followed = (row.best_price * (1 - share)).quantize(_STEP)
    return _better(row.side, followed, row.stop_price)


def _better(side: Side, one: Decimal, other: Decimal) -> Decimal:
    return max(one, other) if side is Side.BUY else min(one, other)


def _closing_price(row: Protection, quote: Quote | None) -> Decimal | None:
    if quote is None or quote.at.utcoffset() is None:
        return None
    bid, ask = _positive(quote.bid), _positive(quote.ask)
    if bid is not None and ask is not None and bid > ask:
        return None
    return bid if row.side is Side.BUY else ask


def _positive(price: Decimal | None) -> Decimal | None:
    value = known(price)
    return value if value is not None and value > 0 else None
