"""The one module that knows Catalyst-Bot by name: its classes, imported late, and what they are called with.

The shapes are those of its public source: an async broker client, `OrderExecutor.execute_signal`, and
`PositionManager.open_position` and `close_position`. Whatever may be sync or async is awaited only when it must be.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from signal_contract.errors import EngineUnusable
from subscriber_agent.accounting.book import Side
from subscriber_agent.risk.decision import OrderPlan, OrderType, TimeInForce

_HINT = "Install Catalyst-Bot beside this agent, or set engine.catalyst_bot.folder to the folder that holds it."
_NO_LIMIT = Decimal(10**12)
_PARTS = {
    "catalyst_bot.broker.broker_interface": (
        "Order",
        "OrderSide",
        "OrderStatus",
        "OrderType",
        "TimeInForce",
        "BrokerAuthenticationError",
        "InsufficientFundsError",
        "OrderRejectedError",
    ),
    "catalyst_bot.broker.alpaca_client": ("AlpacaBrokerClient",),
    "catalyst_bot.execution.order_executor": ("OrderExecutor", "PositionSizingConfig", "TradingSignal"),
    "catalyst_bot.portfolio.position_manager": ("PositionManager",),
}


async def settled(value: Any) -> Any:
    """A method's answer, whether it is async or not."""
    return await value if inspect.isawaitable(value) else value


def require_installed(folder: Path | None) -> None:
    """Raises EngineUnusable when there is no Catalyst-Bot; nothing of it is imported."""
    if folder is not None:
        if not (folder / "catalyst_bot" / "__init__.py").is_file():
            raise EngineUnusable(f"there is no package catalyst_bot in {folder}", hint=_HINT)
        return
    if importlib.util.find_spec("catalyst_bot") is None:
        raise EngineUnusable("Catalyst-Bot is not installed here", hint=_HINT)


@dataclass(frozen=True, slots=True)
class Bot:
    """Its classes, by their own names."""

    parts: Mapping[str, Any]

    @classmethod
    def load(cls, folder: Path | None) -> Bot:
        """Import it; slow, and it reads its own settings. Raises EngineUnusable when a part is not there."""
        if folder is not None and str(folder) not in sys.path:
            sys.path.append(str(folder))
        parts: dict[str, Any] = {}
        for module_name, names in _PARTS.items():
            try:
                module = importlib.import_module(module_name)
                parts |= {name: getattr(module, name) for name in names}
            except (ImportError, AttributeError) as error:
                raise EngineUnusable(
                    f"this Catalyst-Bot cannot be used: {error}",
                    hint="Its trading modules are missing or of another version; see docs/engines/catalyst_bot.md.",
                ) from error
        return cls(parts)

    def __getattr__(self, name: str) -> Any:
        try:
            return self.parts[name]
        except KeyError:
            raise AttributeError(name) from None

    def client(self, environ: Mapping[str, str]) -> Any:
        """Its broker client, on paper. Raises EngineUnusable without keys, or when it is not on paper."""
        secret = environ.get("ALPACA_SECRET") or environ.get("ALPACA_API_SECRET")
        try:
            client = self.AlpacaBrokerClient(
                api_key=environ.get("ALPACA_API_KEY"), api_secret=secret, paper_trading=True
            )
        except self.BrokerAuthenticationError as error:
            # Its text is not repeated: what a stranger's code puts into it, nobody knows.
            raise EngineUnusable(
                "Catalyst-Bot has no keys for its broker",
                hint="Set ALPACA_API_KEY and ALPACA_API_SECRET (or ALPACA_SECRET) where this agent runs.",
            ) from error
        address = str(getattr(client, "base_url", ""))
        if getattr(client, "paper_trading", None) is not True or address != self.AlpacaBrokerClient.PAPER_BASE_URL:
            raise EngineUnusable(
                "Catalyst-Bot's broker client is not on paper, and this engine hands over to paper only",
                hint="For real money use the engine alpaca, which has the gate for it.",
            )
        return client

    def sizing(self, quantity: int) -> Any:
        """Its sizing pinned to exactly our quantity, so that neither its minimum nor its caps change it."""
        return self.PositionSizingConfig(
            max_position_size_pct=1.0,
            min_position_size_dollars=Decimal(0),
            max_position_size_dollars=_NO_LIMIT,
            risk_per_trade_pct=1.0,
            min_shares=quantity,
            max_shares=quantity,
        )

    def signal(self, plan: OrderPlan, order_id: str, price: Decimal, equity: Decimal, at: datetime) -> Any:
        """Its TradingSignal for an entry. `position_size_pct` is a fraction to its executor, whatever it is called."""
        return self.TradingSignal(
            signal_id=order_id,
            ticker=plan.ticker,
            timestamp=at,
            action="buy",
            confidence=1.0,
            entry_price=plan.limit_price,
            current_price=price,
            stop_loss_price=plan.stop_price,
            take_profit_price=plan.target_price,
            position_size_pct=float(min(plan.quantity * price / equity, Decimal(1))) if equity > 0 else 0.0,
            metadata={"origin": "catalyst-signals"},
        )

    def filled_buy(self, plan: OrderPlan, price: Decimal) -> Any:
        """The filled order from which its position manager opens what is to be closed.

        Without a time: the manager takes its own, and stumbles over one with an offset when it closes.
        """
        count = int(plan.quantity)
        return self.Order(
            order_id="held",
            ticker=plan.ticker,
            side=self.OrderSide("buy"),
            quantity=count,
            filled_quantity=count,
            filled_avg_price=price,
            status=self.OrderStatus("filled"),
        )

    def arguments(self, plan: OrderPlan, order_id: str) -> dict[str, Any]:
        """The arguments of its broker's `place_order` for an order of ours."""
        kinds = {OrderType.MARKET: "market", OrderType.LIMIT: "limit", OrderType.STOP: "stop"}
        return {
            "ticker": plan.ticker,
            "side": self.OrderSide("buy" if plan.side is Side.BUY else "sell"),
            "quantity": int(plan.quantity),
            "order_type": self.OrderType(kinds[plan.order_type]),
            "limit_price": plan.limit_price if plan.order_type is OrderType.LIMIT else None,
            "stop_price": plan.stop_price if plan.order_type is OrderType.STOP else None,
            "time_in_force": self.TimeInForce("day" if plan.time_in_force is TimeInForce.DAY else "gtc"),
            "extended_hours": False,
            "client_order_id": order_id,
        }
