"""Finds an order of ours again in what Catalyst-Bot's broker lists: by its id there, by our id, or by what it is."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from subscriber_agent.accounting.book import Leg, Side
from subscriber_agent.engines.catalyst_bot import reading
from subscriber_agent.engines.catalyst_bot.bot import Bot, settled
from subscriber_agent.engines.catalyst_bot.sent import Sent
from subscriber_agent.engines.engine import is_ours
from subscriber_agent.risk.decision import OrderType

_LIMIT = 500
# After this long, an order that the broker's complete list does not have did not arrive. Its client tries four times,
# 30 s each, so that nothing is under way any more.
_MISSING_AFTER = timedelta(seconds=300)


@dataclass(frozen=True, slots=True)
class Listed:
    """The broker's open and closed orders, newest first, up to 500 each. `is_complete` back to `since`."""

    orders: tuple[Any, ...]
    is_cut: bool

    def by_our_id(self, order_id: str) -> Any | None:
        """The order that carries our id, None without one."""
        return next((each for each in self.orders if reading.word(each, "client_order_id") == order_id), None)

    def reaches(self, since: datetime) -> bool:
        """Whether every order since then is in the list."""
        if not self.is_cut:
            return True
        times = [at for each in self.orders if (at := reading.time_of(each, "submitted_at")) is not None]
        return bool(times) and min(times) < since

    def leg(self, sent: Sent, leg: Leg) -> Any | None:
        """A bracket's leg whose id was lost: the one order that is exactly it, None where that is not certain."""
        price = sent.stop_price if leg is Leg.STOP else sent.target_price
        kind = OrderType.STOP if leg is Leg.STOP else OrderType.LIMIT
        found = [each for each in self.orders if _is_leg(each, sent, kind.value, price)]
        return found[0] if len(found) == 1 else None


async def listed(bot: Bot, broker: Any) -> Listed:
    """Ask for all orders; the bot's broker has no way to ask for one of our ids."""
    open_orders = list(await settled(broker.get_orders(status=None, limit=_LIMIT)))
    closed = list(await settled(broker.get_orders(status=bot.OrderStatus("filled"), limit=_LIMIT)))
    return Listed((*open_orders, *closed), is_cut=len(closed) >= _LIMIT or len(open_orders) >= _LIMIT)


def is_missing(sent: Sent, found: Listed, now: datetime) -> bool:
    """Whether an order whose answer was lost certainly never arrived."""
    return now - sent.at >= _MISSING_AFTER and found.reaches(sent.at)


def _is_leg(order: Any, sent: Sent, kind: str, price: object) -> bool:
    if price is None or reading.word(order, "order_type") != kind or reading.word(order, "ticker") != sent.ticker:
        return False
    trigger = reading.price_of(order, "stop_price" if kind == OrderType.STOP.value else "limit_price")
    is_opposite = reading.side_of(order) is (Side.SELL if sent.side is Side.BUY else Side.BUY)
    is_strange = not is_ours(reading.word(order, "client_order_id"))
    at = reading.time_of(order, "submitted_at")
    is_later = at is None or at >= sent.at - timedelta(seconds=10)
    is_same = trigger == price and reading.amount(order, "quantity") == sent.quantity
    return is_opposite and is_strange and is_later and is_same
