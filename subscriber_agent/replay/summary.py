"""What a replay comes to: counts, reasons, exposure, profit and loss. What no price is known for is said as unknown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from subscriber_agent.accounting.book import Leg, Position
from subscriber_agent.engines.engine import OutcomeState
from subscriber_agent.replay.simulate import Replay
from subscriber_agent.replay.step import Step
from subscriber_agent.risk.decision import Verdict, instant_text

_CENT = Decimal("0.01")


@dataclass(frozen=True, slots=True)
class CatalystLine:
    """One catalyst's part. `unrealised_usd` is None when one of its open positions has no price since its entry."""

    catalyst: str
    signals: int
    taken: int
    closed: int
    won: int
    realised_usd: Decimal
    unrealised_usd: Decimal | None

    def as_dict(self) -> dict[str, Any]:
        return {
            "catalyst": self.catalyst,
            "signals": self.signals,
            "taken": self.taken,
            "closed": self.closed,
            "won": self.won,
            "realised_usd": cents(self.realised_usd),
            "unrealised_usd": cents(self.unrealised_usd),
        }


@dataclass(frozen=True, slots=True)
class Summary:
    """One config's result. `signals` = taken + exits + rejected + refused + noted. Amounts in USD.

    `latched` are the loss limits that broke, each with its trading day.
    """

    config_hash: str
    first_at: datetime | None
    last_at: datetime | None
    signals: int
    taken: int
    exits: int
    flattened: int
    stops: int
    targets: int
    rejected: int
    refused: tuple[tuple[str, int], ...]
    noted: tuple[tuple[str, int], ...]
    latched: tuple[tuple[str, str], ...]
    won: int
    lost: int
    start_cash_usd: Decimal
    realised_usd: Decimal
    unrealised_usd: Decimal | None
    unrealised_known_usd: Decimal
    open_positions: int
    open_without_price: tuple[str, ...]
    max_exposure_usd: Decimal
    mean_exposure_usd: Decimal | None
    max_drawdown_percent: Decimal
    catalysts: tuple[CatalystLine, ...]

    @property
    def equity_usd(self) -> Decimal | None:
        """At the end; None when one open position's worth is not known."""
        if self.unrealised_usd is None:
            return None
        return self.start_cash_usd + self.realised_usd + self.unrealised_usd

    def as_dict(self) -> dict[str, Any]:
        """For `--json`; amounts as text with two decimals."""
        return {
            "config_hash": self.config_hash,
            "from": None if self.first_at is None else instant_text(self.first_at),
            "to": None if self.last_at is None else instant_text(self.last_at),
            "signals": self.signals,
            "taken": self.taken,
            "exits": {
                "by_signal": self.exits,
                "by_stop": self.stops,
                "by_target": self.targets,
                "by_loss_limit": self.flattened,
            },
            "rejected": self.rejected,
            "refused": dict(self.refused),
            "noted": dict(self.noted),
            "latched": [{"kind": kind, "day": day} for kind, day in self.latched],
            "won": self.won,
            "lost": self.lost,
            "start_cash_usd": cents(self.start_cash_usd),
            "equity_usd": cents(self.equity_usd),
            "realised_usd": cents(self.realised_usd),
            "unrealised_usd": cents(self.unrealised_usd),
            "unrealised_known_usd": cents(self.unrealised_known_usd),
            "open_positions": self.open_positions,
            "open_without_price": list(self.open_without_price),
            "max_exposure_usd": cents(self.max_exposure_usd),
            "mean_exposure_usd": cents(self.mean_exposure_usd),
            "max_drawdown_percent": cents(self.max_drawdown_percent),
            "catalysts": [each.as_dict() for each in self.catalysts],
        }


def summary_from(replay: Replay) -> Summary:
    """Count a replay up. Every signal falls in exactly one of taken, exits, rejected, refused and noted."""
    steps, closed = replay.steps, replay.closed
    held = replay.book.positions.values()
    triggered = Counter(each.leg for each in closed)
    exits = sum(each.state is OutcomeState.FILLED and each.leg is Leg.EXIT for each in steps)
    return Summary(
        config_hash=replay.config_hash,
        first_at=replay.first_at,
        last_at=replay.last_at,
        signals=len(steps),
        taken=sum(_is_taken(each) for each in steps),
        exits=exits,
        flattened=triggered[Leg.EXIT] - exits,
        stops=triggered[Leg.STOP],
        targets=triggered[Leg.TARGET],
        rejected=sum(each.state is OutcomeState.REJECTED for each in steps),
        refused=_by_label(each for each in steps if each.verdict is Verdict.REFUSED),
        noted=_by_label(each for each in steps if each.verdict is Verdict.NOTED),
        latched=tuple((each.kind.value, each.day.isoformat()) for each in replay.latched),
        won=sum(each.realised_usd > 0 for each in closed),
        lost=sum(each.realised_usd < 0 for each in closed),
        start_cash_usd=replay.start_cash_usd,
        realised_usd=replay.book.realised_usd,
        unrealised_usd=_unrealised(replay, held),
        unrealised_known_usd=_unrealised(replay, (each for each in held if each.ticker in replay.priced)) or Decimal(0),
        open_positions=len(held),
        open_without_price=tuple(sorted(each.ticker for each in held if each.ticker not in replay.priced)),
        max_exposure_usd=replay.curve.max_exposure_usd,
        mean_exposure_usd=replay.curve.mean_exposure_usd,
        max_drawdown_percent=replay.curve.max_drawdown_percent,
        catalysts=_catalysts(replay),
    )


def cents(value: Decimal | None) -> str | None:
    """An amount as text with two decimals; None stays None."""
    return None if value is None else format(value.quantize(_CENT) + 0, "f")


def _is_taken(step: Step) -> bool:
    return step.state is OutcomeState.FILLED and step.leg is Leg.ENTRY


def _by_label(steps: Iterable[Step]) -> tuple[tuple[str, int], ...]:
    """Most frequent first, then by name: an order that does not hang on the order of arrival."""
    return tuple(sorted(Counter(each.label for each in steps).items(), key=lambda item: (-item[1], item[0])))


def _unrealised(replay: Replay, positions: Iterable[Position]) -> Decimal | None:
    """Of these positions; None when one has had no price since its entry (its own fill says nothing of its worth)."""
    total = Decimal(0)
    for each in positions:
        gain = each.unrealised_usd
        if gain is None or each.ticker not in replay.priced:
            return None
        total += gain
    return total


def _catalysts(replay: Replay) -> tuple[CatalystLine, ...]:
    signals = Counter(each.catalyst for each in replay.steps)
    taken = Counter(each.catalyst for each in replay.steps if _is_taken(each))
    held = list(replay.book.positions.values())
    names = {*signals, *(each.catalyst for each in replay.closed), *(each.catalyst for each in held)}
    lines = []
    for name in names:
        closed = [each for each in replay.closed if each.catalyst == name]
        lines.append(
            CatalystLine(
                catalyst=name,
                signals=signals[name],
                taken=taken[name],
                closed=len(closed),
                won=sum(each.realised_usd > 0 for each in closed),
                realised_usd=sum((each.realised_usd for each in closed), Decimal(0)),
                unrealised_usd=_unrealised(replay, [each for each in held if each.catalyst == name]),
            )
        )
    return tuple(sorted(lines, key=lambda line: (-line.signals, line.catalyst)))
