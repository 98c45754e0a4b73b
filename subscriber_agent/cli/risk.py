"""`subscriber-agent risk`: how much of every limit is used, what stops entries, and going on after a loss."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any

import typer

from signal_contract.cli.answer import Render, finish, table
from signal_contract.envelope import Envelope
from signal_contract.errors import Conflict, InputError
from subscriber_agent.cli.account import book_now, hold_line, holds_by, holds_now, ledger_now, session_now, usd
from subscriber_agent.cli.place import ConfigOption, JsonOption, Place, open_place

if TYPE_CHECKING:
    from rich.console import Console

    from subscriber_agent.accounting.ledger import LatchKind, Ledger
    from subscriber_agent.accounting.standing import Usage
    from subscriber_agent.journal import Journal
    from subscriber_agent.risk.limits import Limits

_BAR = 12
# The settings in the words of people, short enough for a terminal of 80 columns.
_LABELS = {
    "daily_loss": "lost today, USD",
    "weekly_loss_percent": "lost this week, USD",
    "max_drawdown_percent": "below the highest, USD",
    "max_losing_streak": "losing trades in a row",
    "max_exposure_percent": "all positions, USD",
    "max_leverage": "without borrowing, USD",
    "cash_used": "cash in use, USD",
    "max_ticker_exposure_percent": "in",
    "max_catalyst_exposure_percent": "by catalyst",
    "max_sector_exposure_percent": "in sector",
    "max_open_positions": "positions",
    "max_orders_per_minute": "entries in 60 s",
    "max_trades_per_day": "entries in 24 h",
    "max_day_trades": "day trades in 8 days",
    "engine_failures": "engine failures in a row",
}

risk_app = typer.Typer(
    no_args_is_help=True,
    help="Your limits: how much of each is used, and going on after a loss.",
    context_settings={"help_option_names": ["-h", "--help"]},
)


@risk_app.command("status")
def risk_status(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Every limit with what is used of it, what stops entries now, and New York's session.

    Example: subscriber-agent risk status
    """
    place, now = open_place(config), datetime.now(UTC)
    with place.journal() as journal:
        data = _standing(place, journal, now)
    envelope = Envelope("subscriber-agent risk status", data)
    finish(envelope, as_json=as_json, render=lambda out: _render(out, data))


def _standing(place: Place, journal: Journal, now: datetime) -> dict[str, Any]:
    from subscriber_agent.accounting.calendar import NYSE
    from subscriber_agent.accounting.standing import usages
    from subscriber_agent.cli.status import trading_now
    from subscriber_agent.flags import FLAGS, known_from

    limits, breaker = place.config.risk, journal.breaker()
    book = book_now(journal, place.config, now)
    ledger = ledger_now(journal, book, now)
    found = usages(book, ledger, limits, breaker, NYSE, now)
    return {
        "at": now.isoformat(),
        "mode": place.config.mode.value,
        "config_hash": place.config.config_hash(),
        "equity_usd": book.equity,
        "limits": [_usage_dict(each) for each in found],
        "holds": holds_by(ledger, limits, now),
        "trading": trading_now(journal),
        "flags": list(known_from(journal.meta(FLAGS)).held.reasons),
        "engine": {"state": breaker.health(limits, now).value, "failures": breaker.failures},
        "session": {**session_now(now), "allowed": [each.value for each in limits.sessions]},
    }


def _usage_dict(usage: Usage) -> dict[str, Any]:
    percent = usage.percent
    return {
        "name": usage.name,
        "of": usage.of,
        "value": usage.value,
        "limit": usage.limit,
        "unit": usage.unit,
        "percent": None if percent is None else round(percent, 1),
    }


def _render(out: Console, data: dict[str, Any]) -> None:
    rows = [
        (
            f"{_LABELS[each['name']]} {each['of']}".rstrip(),
            _amount(each["value"], each["unit"]),
            _amount(each["limit"], each["unit"]),
            _bar(each["percent"]),
            "unknown" if each["percent"] is None else f"{each['percent']:.0f} %",
        )
        for each in data["limits"]
    ]
    table("limit", ">now", ">at most", "used", ">", rows=rows)(out)
    session, engine = data["session"], data["engine"]
    opens = "unknown" if session["next_open"] is None else f"{session['next_open'][:16].replace('T', ' ')} UTC"
    states = [f"{name} {each['state']} {each['reason']}".strip() for name, each in data["trading"].items()]
    lines = [
        f"\nequity {usd(data['equity_usd'])} USD, mode {data['mode']}, engine {engine['state']}",
        f"session {session['now'] or 'unknown'} (you trade {', '.join(session['allowed']) or 'none'}), opens {opens}",
        f"trading {'; '.join(states)}",
        *(f"the operator's flag holds back: {each}" for each in data["flags"]),
        *(f"entries stopped: {hold_line(each)}" for each in data["holds"]),
    ]
    out.print("\n".join(lines), markup=False)


def _amount(value: Decimal | None, unit: str) -> str:
    if value is None:
        return "unknown"
    return usd(value) if unit == "USD" else f"{value:f}"


def _bar(percent: Decimal | None) -> str:
    filled = 0 if percent is None else min(_BAR, int(percent * _BAR / 100))
    return "█" * filled + "·" * (_BAR - filled)


KindArgument = Annotated[str, typer.Argument(metavar="WEEKLY|DRAWDOWN", help="Which loss limit to go on after.")]
ConfirmOption = Annotated[bool, typer.Option("--confirm", help="Yes: entries may be made again after this loss.")]


@risk_app.command("reset")
def reset(
    kind: KindArgument, confirm: ConfirmOption = False, config: ConfigOption = None, as_json: JsonOption = False
) -> None:
    """Go on after a weekly loss or a drawdown: it is measured anew from the account's worth of now.

    Example: subscriber-agent risk reset DRAWDOWN --confirm
    """
    from subscriber_agent.accounting.calendar import NYSE
    from subscriber_agent.accounting.ledger_keeper import LedgerKeeper

    latch = _kind(kind)
    place, now = open_place(config), datetime.now(UTC)
    with place.journal() as reader:
        book = book_now(reader, place.config, now)
        ledger = ledger_now(reader, book, now)
    equity = _checked(latch, ledger, book.equity, place.config.risk, is_confirmed=confirm)
    before = ledger.week_start_usd if latch.value == "WEEKLY" else ledger.high_water_usd
    what = {"kind": latch.value, "measured_from_usd": str(before), "measured_anew_from_usd": str(equity)}
    with place.journal(read_only=False) as journal, journal.transaction():
        journal.write_loosening("risk_reset", what, place.config.config_hash(), now)
        LedgerKeeper(journal, NYSE).reset(latch, equity, now)
    with place.journal() as reader:
        holds = holds_now(reader, place.config, now)
    envelope = Envelope("subscriber-agent risk reset", {**what, "holds": holds})
    finish(envelope, as_json=as_json, render=_reset_text(latch.value, before, equity, holds))


def _kind(text: str) -> LatchKind:
    from subscriber_agent.accounting.ledger import LatchKind

    if text.upper() == LatchKind.DAILY:
        raise InputError(
            "DAILY cannot be reset: it ends with the trading day", hint="`subscriber-agent risk status` says when."
        )
    if text.upper() not in tuple(LatchKind):
        raise InputError(f"{text[:40]!r} is no loss limit", hint="Use WEEKLY or DRAWDOWN.")
    return LatchKind(text.upper())


def _checked(kind: LatchKind, ledger: Ledger, equity: Decimal | None, limits: Limits, *, is_confirmed: bool) -> Decimal:
    """The equity to go on from. Raises Conflict for a limit that is not broken, InputError without a yes."""
    from subscriber_agent.accounting.book import known
    from subscriber_agent.accounting.standing import is_resettable

    worth = known(equity)
    if worth is None:
        raise Conflict("what the account is worth is not known", hint="`subscriber-agent positions` shows why.")
    if not is_resettable(ledger, kind, worth, limits):
        raise Conflict(f"{kind} is not broken", hint="There is nothing to reset: `subscriber-agent risk status`.")
    if not is_confirmed:
        percent = limits.weekly_loss_percent if kind.value == "WEEKLY" else limits.max_drawdown_percent
        raise InputError(
            f"resetting {kind} lets entries through again, and another {percent:f} % be lost from {usd(worth)} USD on",
            hint=f"If you mean it: subscriber-agent risk reset {kind} --confirm",
        )
    return worth


def _reset_text(kind: str, before: Decimal | None, after: Decimal, holds: list[dict[str, Any]]) -> Render:
    text = f"{kind} is reset: measured from {usd(after)} USD on (before: {usd(before)} USD)"
    lines = [text, *(f"entries are still stopped: {hold_line(each)}" for each in holds)]
    return lambda out: out.print("\n".join(lines), markup=False)
