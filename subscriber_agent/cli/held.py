"""What is held, as commands show it beside a running agent: our own log, the engine's last word, where each stop is."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from subscriber_agent.accounting.book import Position
    from subscriber_agent.engines.engine import Holding
    from subscriber_agent.journal import EngineSnapshot, JournalReader
    from subscriber_agent.own_book import OwnBook
    from subscriber_agent.risk.protection import Protection

# A stop that is not confirmed for so long is an alarm: every way to place one ends, or gives up, well before.
UNPROTECTED_AFTER_S = 60.0


@dataclass(frozen=True, slots=True)
class Held:
    """One ticker. `ours` by our own fills, `engines` by the engine's last word; None: it has not said anything yet."""

    ticker: str
    ours: Position | None
    engines: Holding | None
    word_at: datetime | None
    stops: tuple[Protection, ...] = ()
    is_left_alone: bool = False

    @property
    def quantity(self) -> Decimal:
        """Signed shares: by our own log, else what the engine holds without us."""
        if self.ours is not None:
            return self.ours.quantity
        return Decimal(0) if self.engines is None else self.engines.quantity

    @property
    def average_price(self) -> Decimal | None:
        """USD a share that was paid."""
        if self.ours is not None:
            return self.ours.average_price
        return None if self.engines is None else self.engines.average_price

    @property
    def last_price(self) -> Decimal | None:
        """USD a share by the engine's last word, else that of our own last fill."""
        if self.engines is not None and self.engines.last_price is not None:
            return self.engines.last_price
        return None if self.ours is None else self.ours.last_price

    @property
    def value(self) -> Decimal | None:
        """Signed, in USD; None when no price is known."""
        price = self.last_price
        return None if price is None or not self.quantity.is_finite() else self.quantity * price

    @property
    def unrealised_usd(self) -> Decimal | None:
        """What closing it now would gain, before costs."""
        value, paid = self.value, self.average_price
        return None if value is None or paid is None else value - self.quantity * paid

    def as_dict(self, now: datetime) -> dict[str, Any]:
        """A document; ages in seconds."""
        ours, engines = self.ours, self.engines
        # An engine that spoke, and did not name the ticker, holds none of it.
        elsewhere = None if self.word_at is None else Decimal(0)
        return {
            "ticker": self.ticker,
            "quantity": self.quantity,
            "is_ours": ours is not None,
            "is_left_alone": self.is_left_alone,
            "engine_quantity": elsewhere if engines is None else engines.quantity,
            "average_price": self.average_price,
            "last_price": self.last_price,
            "price_age_s": None if self.word_at is None else _age_s(self.word_at, now),
            "stop_price": None if ours is None else ours.stop_price,
            "target_price": None if ours is None else ours.target_price,
            "stops": [stop_dict(each, now) for each in self.stops],
            "is_protected": bool(self.stops) and all(_is_confirmed(each) for each in self.stops),
            "value_usd": self.value,
            "unrealised_usd": self.unrealised_usd,
            "catalyst": "" if ours is None else ours.catalyst,
            "opened_at": None if ours is None else ours.opened_at.astimezone(UTC).isoformat(),
        }


def held_now(journal: JournalReader, book: OwnBook) -> list[Held]:
    """Every ticker that we, by our own `book`, or the engine hold, sorted. Raises StorageFailed."""
    from subscriber_agent.left_alone import left_alone

    own, word = book.positions(), journal.snapshot()
    stops = [each for each in journal.protections() if each.is_open]
    his_own = left_alone(journal)

    def word_at(ticker: str) -> datetime | None:
        # A word from before the last fill says nothing about what is held since.
        return None if word is None or word.at < (journal.last_fill_at(ticker) or word.at) else word.at

    said = () if word is None else word.holdings
    theirs = {each.ticker: each for each in said if each.quantity != 0 and word_at(each.ticker) is not None}
    return [
        Held(
            ticker,
            own.get(ticker),
            theirs.get(ticker),
            word_at(ticker),
            tuple(each for each in stops if each.ticker == ticker),
            ticker in his_own,
        )
        for ticker in sorted(own.keys() | theirs.keys())
    ]


def account_dict(journal: JournalReader, word: EngineSnapshot | None, held: list[Held]) -> dict[str, Any]:
    """Cash and equity by the engine's last word, what our own trades realised, how many tickers are held."""
    from subscriber_agent.own_book import realised_usd

    return {
        "cash_usd": None if word is None else word.account.cash,
        "equity_usd": None if word is None else word.account.equity,
        "realised_usd": realised_usd(journal),
        "positions": len(held),
    }


def stop_dict(stop: Protection, now: datetime) -> dict[str, Any]:
    """Where one entry's stop is."""
    return {
        "entry_id": stop.entry_id,
        "holder": stop.holder.value,
        "state": stop.state.value,
        "is_confirmed": _is_confirmed(stop),
        "stop_price": stop.stop_price,
        "target_price": stop.target_price,
        "order_id": stop.order_id,
        "since": stop.since.isoformat(),
        "for_s": _age_s(stop.since, now),
        "detail": stop.detail,
    }


def unprotected(stops: list[Protection], now: datetime) -> list[Protection]:
    """The stops that should be there and have not been for too long."""
    return [each for each in stops if each.is_open and not _is_confirmed(each) and _is_old(each, now)]


def _is_confirmed(stop: Protection) -> bool:
    return stop.state.value == "CONFIRMED"


def _is_old(stop: Protection, now: datetime) -> bool:
    # FAILED has no way left to become confirmed: it is an alarm at once, as is a moment that lies in the future.
    return stop.state.value == "FAILED" or not 0 <= (now - stop.since).total_seconds() <= UNPROTECTED_AFTER_S


def _age_s(at: datetime, now: datetime) -> float:
    return round((now - at).total_seconds(), 1)
