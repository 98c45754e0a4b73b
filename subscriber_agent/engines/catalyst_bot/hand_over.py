"""One order through Catalyst-Bot: an entry by its executor, a close by its position manager, the rest by its broker.

Runs in the bot's thread. What came of it is read from the sealed broker, since the bot's own answer says "failed" both
for an order that was refused and for one whose answer was lost.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from subscriber_agent.accounting.book import Leg, Side
from subscriber_agent.engines.catalyst_bot import reading
from subscriber_agent.engines.catalyst_bot.bot import Bot, settled
from subscriber_agent.engines.catalyst_bot.sealed import NotSent, SealedBroker, is_close, needs_target
from subscriber_agent.risk.decision import OrderPlan, OrderType


@dataclass(frozen=True, slots=True)
class Handed:
    """What came back. `order` is the broker's, None when its answer was lost; `refused` when nothing was ordered.

    `is_doubtful`: the broker refused, but the bot's client had sent more than once before it said so.
    """

    order: Any = None
    stop: Any = None
    target: Any = None
    refused: str = ""
    is_doubtful: bool = False
    detail: str = ""


def objection(plan: OrderPlan) -> str | None:
    """Why this engine cannot hand the order over; None when it can."""
    is_entry = plan.leg is Leg.ENTRY
    is_simple_limit = plan.order_type is OrderType.LIMIT and plan.stop_price is None
    reasons = (
        (plan.quantity <= 0, "an order of nothing"),
        (plan.quantity != plan.quantity.to_integral_value(), "Catalyst-Bot takes whole shares only"),
        (is_entry and plan.side is not Side.BUY, "Catalyst-Bot buys only"),
        (not is_entry and plan.side is not Side.SELL, "Catalyst-Bot closes long positions only"),
        (plan.extended_hours, "outside the regular session Catalyst-Bot attaches no stop"),
        (is_entry and plan.order_type is OrderType.STOP, "Catalyst-Bot has no stop entries"),
        (is_entry and needs_target(plan), "Catalyst-Bot attaches a stop only together with a target"),
        (is_entry and is_simple_limit, "without a stop Catalyst-Bot would make the limit order a market order"),
        (is_entry and (plan.limit_price or plan.reference_price) is None, "no price is known"),
    )
    return next((text for is_true, text in reasons if is_true), None)


async def hand_over(
    bot: Bot, broker: Any, plan: OrderPlan, order_id: str, *, folder: Path, now: datetime, is_late: Callable[[], bool]
) -> Handed:
    """Order exactly what the plan says, under our id, once."""
    # Only an entry needs the account: nothing that is asked of it may keep a position from being closed.
    account = await settled(broker.get_account()) if plan.leg is Leg.ENTRY else None
    sealed = SealedBroker(broker, bot, plan, order_id, account=account, is_late=is_late)
    said = ""
    try:
        if plan.leg is Leg.ENTRY:
            said = await _entry(bot, sealed, plan, order_id, account, folder, now)
        elif is_close(plan):
            await _close(bot, broker, sealed, plan, folder)
        else:
            await sealed.place_directly()
    except Exception as error:
        if sealed.answer is None:
            sealed.error = sealed.error or error
        if not sealed.is_sent and not isinstance(error, NotSent):
            raise
    return _handed(bot, sealed, said)


async def _entry(
    bot: Bot, sealed: SealedBroker, plan: OrderPlan, order_id: str, account: Any, folder: Path, now: datetime
) -> str:
    price = plan.limit_price or plan.reference_price or Decimal(0)
    signal = bot.signal(plan, order_id, price, reading.amount(account, "equity"), now)
    executor = bot.OrderExecutor(
        broker=sealed, db_path=_database(folder), position_sizing_config=bot.sizing(int(plan.quantity))
    )
    result = await settled(executor.execute_signal(signal=signal, use_bracket_order=True, extended_hours=False))
    return str(getattr(result, "error_message", None) or "")


async def _close(bot: Bot, broker: Any, sealed: SealedBroker, plan: OrderPlan, folder: Path) -> None:
    holdings = reading.holdings_from(await settled(broker.get_positions()))
    held = next((each for each in holdings if each.ticker == plan.ticker), None)
    if held is None or held.quantity < plan.quantity:
        raise NotSent(f"no position of {plan.quantity:f} {plan.ticker} to close")
    # A manager for this one closing: the bot's never reads its positions back after a restart.
    manager = bot.PositionManager(broker=sealed, db_path=_database(folder))
    order = bot.filled_buy(plan, held.average_price or Decimal(0))
    position = await settled(manager.open_position(order=order, signal_id=None, strategy="catalyst-signals"))
    await settled(manager.close_position(position_id=position.position_id, exit_reason="close_signal"))


def _handed(bot: Bot, sealed: SealedBroker, said: str) -> Handed:
    error = sealed.error
    if not sealed.is_sent:
        return Handed(refused=str(error) if error is not None else said or "Catalyst-Bot ordered nothing")
    if error is not None:
        is_refusal = isinstance(error, bot.OrderRejectedError | bot.InsufficientFundsError)
        return Handed(is_doubtful=is_refusal, detail=f"{type(error).__name__}: {error}"[:300])
    answer = sealed.answer
    entry = getattr(answer, "entry_order", None)
    if entry is None:
        return Handed(order=answer)
    return Handed(
        order=entry, stop=getattr(answer, "stop_loss_order", None), target=getattr(answer, "take_profit_order", None)
    )


def _database(folder: Path) -> Path:
    """A file of its own: the bot's one belongs to the bot."""
    return folder / "catalyst_bot_trading.db"
