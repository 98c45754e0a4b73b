"""The broker that Catalyst-Bot's executor and position manager are given for one order, and for no other.

It lets through exactly the order that was decided, once, under our id. What the bot makes of it otherwise (a random id,
a larger size, another price, a second call) is not sent.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import is_dataclass, replace
from typing import Any

from subscriber_agent.engines.catalyst_bot.bot import Bot, settled
from subscriber_agent.risk.decision import OrderPlan, OrderType


class NotSent(Exception):
    """Nothing was ordered, for certain; the text says why."""


class SealedBroker:
    """`is_sent` is True from the moment on in which the order may exist; `answer` and `error` are what came back.

    The bot's own classes swallow the broker's errors, so that they are kept here.
    """

    def __init__(
        self, inner: Any, bot: Bot, plan: OrderPlan, order_id: str, *, account: Any, is_late: Callable[[], bool]
    ) -> None:
        self._inner = inner
        self._bot = bot
        self._plan = plan
        self._order_id = order_id
        self._account = account
        self._is_late = is_late
        self.is_sent = False
        self.answer: Any = None
        self.error: Exception | None = None

    async def get_account(self) -> Any:
        """The account as it was asked a moment ago: one question less on the way."""
        return self._account

    async def place_order(self, **arguments: Any) -> Any:
        """What the executor orders without a bracket."""
        wanted = self._bot.arguments(self._plan, self._order_id)
        self._require(arguments, {name: wanted[name] for name in ("ticker", "side", "quantity", "order_type")})
        return await self._once(self._inner.place_order, **wanted)

    async def place_bracket_order(self, params: Any) -> Any:
        """What the executor orders with stop and target."""
        wanted = self._bot.arguments(self._plan, self._order_id)
        given = {name: getattr(params, name, None) for name in ("ticker", "side", "quantity")}
        given |= {
            "order_type": getattr(params, "entry_type", None),
            "limit_price": getattr(params, "entry_limit_price", None),
            "stop_price": getattr(params, "stop_loss_price", None),
            "target_price": getattr(params, "take_profit_price", None),
        }
        expected = {name: wanted[name] for name in ("ticker", "side", "quantity", "order_type", "limit_price")}
        expected |= {"stop_price": self._plan.stop_price, "target_price": self._plan.target_price}
        self._require(given, expected)
        if not is_dataclass(params) or isinstance(params, type):
            raise self._kept(NotSent("Catalyst-Bot's bracket has another shape than the one this engine knows"))
        return await self._once(self._inner.place_bracket_order, replace(params, client_order_id=self._order_id))

    async def close_position(self, ticker: str, quantity: int | None = None) -> Any:
        """What the position manager closes: as an order under our id, since the broker's own closing has none."""
        wanted = self._bot.arguments(self._plan, self._order_id)
        self._require({"ticker": ticker, "quantity": quantity}, {name: wanted[name] for name in ("ticker", "quantity")})
        return await self._once(self._inner.place_order, **wanted)

    async def place_directly(self) -> Any:
        """A limit or stop that ends a position: the bot's own classes have no way for it."""
        return await self._once(self._inner.place_order, **self._bot.arguments(self._plan, self._order_id))

    def _require(self, given: dict[str, Any], expected: dict[str, Any]) -> None:
        for name, value in expected.items():
            if given.get(name) != value:
                text = f"Catalyst-Bot would order {name} {_plain(given.get(name))} instead of {_plain(value)}"
                raise self._kept(NotSent(text))

    def _kept(self, error: NotSent) -> NotSent:
        self.error = self.error or error
        return error

    async def _once(self, call: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        if self.is_sent:
            raise NotSent("Catalyst-Bot tried to order twice")
        if self._is_late():
            raise self._kept(NotSent("too late: the agent no longer waits for this order"))
        self.is_sent = True
        try:
            self.answer = await settled(call(*arguments, **named))
        except Exception as error:
            self.error = error
            raise
        return self.answer


def needs_target(plan: OrderPlan) -> bool:
    """Whether the bot would leave out the stop: it attaches one only together with a target."""
    return plan.stop_price is not None and plan.target_price is None


def is_close(plan: OrderPlan) -> bool:
    """Whether the order goes through the position manager, which closes at the market."""
    return plan.order_type is OrderType.MARKET


def _plain(value: Any) -> str:
    return str(getattr(value, "value", value))[:60]
