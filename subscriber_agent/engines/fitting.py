"""Whether an engine can carry out an order as it is, asked before every hand-over. Pure."""

from __future__ import annotations

from subscriber_agent.accounting.book import Leg, Side
from subscriber_agent.risk.decision import OrderPlan, OrderType
from subscriber_agent.risk.market import Capabilities


def objection(plan: OrderPlan, can: Capabilities) -> str | None:
    """The first reason why an engine that `can` so much cannot take this order; None when it can.

    An exit is objected to only for what would make the broker refuse it as well.
    """
    is_entry = plan.leg is Leg.ENTRY
    reasons = (
        (plan.quantity <= 0, "an order of nothing"),
        (plan.quantity != plan.quantity.to_integral_value() and not can.fractions, "it takes whole shares only"),
        (is_entry and plan.side is Side.SELL and not can.shorts, "it sells nothing short"),
        (is_entry and plan.stop_price is not None and not can.can_protect, "nothing could hold or watch the stop"),
        (
            is_entry and plan.stop_price is not None and can.brackets and not can.cancels,
            "it lets go of no stop",
        ),
        (plan.extended_hours and not can.extended_hours, "it trades in the regular session only"),
        (plan.order_type is OrderType.LIMIT and not can.limits, "it takes no limit orders"),
        (plan.order_type is OrderType.LIMIT and plan.limit_price is None, "a limit order without its price"),
        (plan.order_type is OrderType.STOP and not can.stop_orders, "it takes no stop orders"),
        (plan.order_type is OrderType.STOP and plan.stop_price is None, "a stop order without its price"),
        (plan.time_in_force not in can.times_in_force, f"it takes no orders {plan.time_in_force.value}"),
    )
    return next((text for is_true, text in reasons if is_true), None)
