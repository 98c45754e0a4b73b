"""What is looser and what is stricter: a direction for every setting, and the differences between two configs. Pure.

A risk setting without a direction, and any change that cannot be compared, counts as loosening: it needs the friend's
word. Each field is compared by itself, so the stricter of two configs is the stricter value of every field.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any, TypeVar

from pydantic import BaseModel

from signal_contract.feedback import Privacy
from subscriber_agent.risk.fields import EVERYTHING
from subscriber_agent.settings.config import AgentConfig, Mode
from subscriber_agent.settings.fields import leaves, plain, value_at
from subscriber_agent.settings.yaml_source import KeyPath, dotted

_Model = TypeVar("_Model", bound=BaseModel)


class Direction(StrEnum):
    """When a setting is looser.

    MORE, LESS: a greater or smaller number, `true` being more than `false`, and None (no such filter) loosest.
    ALLOWS, DENIES: lists of names, `*` being every name. UNKNOWN: every change may be looser. FREE: risks nothing.
    """

    MORE = "more"
    LESS = "less"
    ALLOWS = "allows"
    DENIES = "denies"
    UNKNOWN = "unknown"
    FREE = "free"


class Verdict(StrEnum):
    """What a change means: LOOSER lets more through or out, STRICTER less, OTHER neither."""

    LOOSER = "looser"
    STRICTER = "stricter"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Change:
    """One setting's difference. `before` and `after` are plain JSON values; exact numbers are texts."""

    key: str
    before: Any
    after: Any
    direction: Verdict

    def as_dict(self) -> dict[str, Any]:
        """For JSON and the journal."""
        return {"key": self.key, "before": self.before, "after": self.after, "direction": self.direction.value}


# Words from the strictest to the loosest.
ORDERS: Mapping[str, tuple[str, ...]] = {
    "mode": ("notify", "paper", "approve", "live"),
    "privacy": tuple(each.value for each in Privacy),
    "risk.unknown_market_cap": ("skip", "pass"),
    "risk.unknown_rvol": ("skip", "pass"),
    "risk.unknown_sector": ("skip", "pass"),
    "risk.oversize": ("refuse", "clamp"),
    "engine.alpaca.endpoint": ("paper", "live"),
}
_LOOSER: Mapping[Direction, str] = {
    Direction.MORE: "max_age_s max_clock_skew_s allow_shorts max_price_usd max_price_move_percent max_quote_age_s "
    "max_stop_distance_percent fixed_usd equity_percent risk_percent suggested_factor kelly_factor kelly_cap_percent "
    "kelly_win_probability allow_fractions max_notional_usd max_quantity max_buying_power_percent max_open_positions "
    "max_exposure_percent max_ticker_exposure_percent max_catalyst_exposure_percent max_sector_exposure_percent "
    "daily_loss_percent daily_loss_usd weekly_loss_percent max_drawdown_percent max_losing_streak "
    "max_orders_per_minute max_trades_per_day max_leverage max_day_trades approve_above_usd engine_failures",
    Direction.LESS: "min_confidence refuse_degraded min_price_usd min_market_cap_usd min_rvol min_notional_usd "
    "flatten_on_breach streak_pause_s cooldown_s cash_reserve_percent limit_day_trades engine_pause_s",
    Direction.ALLOWS: "allow_catalysts allow_tickers allow_sectors sessions",
    Direction.DENIES: "deny_catalysts deny_tickers deny_sources deny_sectors",
    # Another way of sizing makes some orders larger and others smaller; another exit is earlier here and later there.
    Direction.UNKNOWN: "sizing max_age_s_by_catalyst own_stop_percent own_target_percent trailing_stop_percent "
    "max_hold_s_by_catalyst",
    Direction.FREE: "warn_clock_skew_s",
}
DIRECTIONS: Mapping[str, Direction] = {
    "alert_after_s": Direction.FREE,
    "exit_when_not_live_s": Direction.FREE,
    **dict.fromkeys(ORDERS, Direction.MORE),
    # Read at the start only, and judged all the same for `config diff`: whether there is a gate hangs on them.
    "engine.kind": Direction.UNKNOWN,
    **{f"engine.{kind}.is_paper": Direction.MORE for kind in ("webhook", "command", "python")},
    **{f"risk.{name}": direction for direction, names in _LOOSER.items() for name in names.split()},
}
# Where oversized orders are refused, a smaller size may be the one that trades.
_SIZES = frozenset(
    f"risk.{name}"
    for name in (
        "fixed_usd",
        "equity_percent",
        "risk_percent",
        "suggested_factor",
        "kelly_factor",
        "kelly_cap_percent",
        "kelly_win_probability",
    )
)
# What is read once, when the agent starts.
_AT_START = ("servers", "creds", "ca_file", "publisher_key", "data", "metrics", "engine")
# Only how a file is written: what it brings shows in the settings themselves.
_SPELLING = ("extends",)


def needs_restart(key: str, after: Any, old: AgentConfig | None = None) -> bool:
    """Whether a setting, such as `engine.kind`, is read at the start only.

    So is `mode` where it becomes live, and where `old`, which runs, would begin to trade real money: the gate stands
    at the start.
    """
    if key.partition(".")[0] in _AT_START:
        return True
    return key == "mode" and (plain(after) == Mode.LIVE.value or (old is not None and _opens_gate(after, old)))


def _opens_gate(mode: Any, old: AgentConfig) -> bool:
    is_behind_gate = old.mode in (Mode.NOTIFY, Mode.PAPER) and not old.engine.is_paper
    return is_behind_gate and plain(mode) == Mode.APPROVE.value


def direction_of(key: str, old: AgentConfig | None = None) -> Direction:
    """When the setting `key` is looser, seen from `old`; UNKNOWN for a risk setting that nobody has judged."""
    if key in _SIZES and old is not None and old.risk.oversize == "refuse":
        return Direction.UNKNOWN
    return DIRECTIONS.get(key, Direction.UNKNOWN if key.startswith("risk.") else Direction.FREE)


def changes(old: AgentConfig, new: AgentConfig) -> tuple[Change, ...]:
    """Every setting whose value differs, in the order of the models, and whether `new` is looser there."""
    found = []
    for path in _paths():
        before, after = value_at(old, path), value_at(new, path)
        if plain(before) != plain(after):
            key = dotted(path)
            verdict = _verdict(key, direction_of(key, old), before, after)
            found.append(Change(key, plain(before), plain(after), verdict))
    return tuple(found)


def is_loosening(found: tuple[Change, ...]) -> bool:
    """Whether any of the changes lets more through or out."""
    return any(each.direction is Verdict.LOOSER for each in found)


def tightened(old: AgentConfig, new: AgentConfig) -> AgentConfig:
    """What may count of `new` without the friend's word: never looser than `old` in any setting.

    Field by field the stricter value; of two lists of allowed names what is in both; where no order is known, `old`'s.
    Settings read at the start stay `old`'s. The parts may contradict each other, which refuses every entry.
    """
    return _mixed(old, new, lambda key, before, after: _stricter(key, direction_of(key, old), before, after))


def running(old: AgentConfig, new: AgentConfig) -> AgentConfig:
    """`new`, with what is read at the start only still as in `old`."""
    return _mixed(old, new, lambda key, before, after: after)


def _paths() -> Iterator[KeyPath]:
    return (path for path, _ in leaves(AgentConfig) if path[0] not in _SPELLING)


def _mixed(old: AgentConfig, new: AgentConfig, choose: Callable[[str, Any, Any], Any]) -> AgentConfig:
    tree: dict[str, Any] = {"extends": new.extends}
    for path in _paths():
        key, before, after = dotted(path), value_at(old, path), value_at(new, path)
        here = tree
        for step in path[:-1]:
            here = here.setdefault(str(step), {})
        here[str(path[-1])] = before if needs_restart(key, after, old) else choose(key, before, after)
    return _replaced(old, tree)


def _replaced(model: _Model, tree: Mapping[str, Any]) -> _Model:
    """The model with the values of the tree, section by section."""
    values = {}
    for name, value in tree.items():
        section = getattr(model, name)
        values[name] = _replaced(section, value) if isinstance(section, BaseModel) else value
    return model.model_copy(update=values)


def _verdict(key: str, direction: Direction, before: Any, after: Any) -> Verdict:
    if direction is Direction.FREE:
        return Verdict.OTHER
    return Verdict.LOOSER if _is_looser(key, direction, before, after) else Verdict.STRICTER


def _is_looser(key: str, direction: Direction, before: Any, after: Any) -> bool:
    match direction:
        case Direction.MORE:
            return _level(key, after, direction) > _level(key, before, direction)
        case Direction.LESS:
            return _level(key, after, direction) < _level(key, before, direction)
        case Direction.ALLOWS:
            return not _covers(before, after)
        case Direction.DENIES:
            return not _covers(after, before)
        case _:
            return True


def _level(key: str, value: Any, direction: Direction) -> Decimal:
    if value is None:
        return Decimal("Infinity" if direction is Direction.MORE else "-Infinity")
    order = ORDERS.get(key)
    return Decimal(order.index(str(value)) if order else value)


def _covers(names: Any, others: Any) -> bool:
    """Whether every one of `others` is among `names`."""
    return EVERYTHING in names or (EVERYTHING not in others and set(others) <= set(names))


def _stricter(key: str, direction: Direction, before: Any, after: Any) -> Any:
    if direction is Direction.FREE:
        return after
    if direction is Direction.ALLOWS:
        return _common(before, after)
    if direction is Direction.DENIES:
        return after if _covers(after, before) else tuple(sorted({*before, *after}))
    is_same = plain(before) == plain(after)
    return before if is_same or _is_looser(key, direction, before, after) else after


def _common(some: tuple[str, ...], others: tuple[str, ...]) -> tuple[str, ...]:
    if EVERYTHING in some:
        return others
    if EVERYTHING in others:
        return some
    return tuple(each for each in some if each in others)
