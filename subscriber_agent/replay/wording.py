"""A summary in words for people: the rows of the terminal's table and of the HTML page. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal

from subscriber_agent.accounting.ledger import LatchKind
from subscriber_agent.replay.summary import Summary


def summary_rows(summaries: Sequence[Summary]) -> list[tuple[str, ...]]:
    """One row a figure: its name, then its value for each config."""
    flattened = ("closed by a loss limit", *(str(each.flattened) for each in summaries))
    rows: list[tuple[str, ...]] = [
        ("from (UTC)", *(_instant(each.first_at) for each in summaries)),
        ("to (UTC)", *(_instant(each.last_at) for each in summaries)),
        ("signals", *(str(each.signals) for each in summaries)),
        ("taken", *(str(each.taken) for each in summaries)),
        ("closed by a signal", *(str(each.exits) for each in summaries)),
        ("closed by its stop", *(str(each.stops) for each in summaries)),
        ("closed by its target", *(str(each.targets) for each in summaries)),
        *([flattened] if any(each.flattened for each in summaries) else []),
        ("rejected by the account", *(str(each.rejected) for each in summaries)),
        *_code_rows("refused", [dict(each.refused) for each in summaries]),
        *_code_rows("noted", [dict(each.noted) for each in summaries]),
        ("loss limits broken", *(_latched(each.latched) for each in summaries)),
        ("won / lost", *(f"{each.won} / {each.lost}" for each in summaries)),
        ("realised USD", *(usd(each.realised_usd) for each in summaries)),
        ("unrealised USD", *(usd(each.unrealised_usd) for each in summaries)),
        ("of it where a price is known", *(usd(each.unrealised_known_usd) for each in summaries)),
        ("open at the end", *(str(each.open_positions) for each in summaries)),
        ("open, no price since the entry", *(_unpriced(each) for each in summaries)),
        ("start cash USD", *(usd(each.start_cash_usd) for each in summaries)),
        ("equity at the end USD", *(usd(each.equity_usd) for each in summaries)),
        ("largest exposure USD", *(usd(each.max_exposure_usd) for each in summaries)),
        ("mean exposure USD", *(usd(each.mean_exposure_usd) for each in summaries)),
        ("largest drawdown", *(f"{each.max_drawdown_percent:.2f} %" for each in summaries)),
    ]
    return rows


def catalyst_rows(summaries: Sequence[Summary]) -> list[tuple[str, ...]]:
    """One row a catalyst, the most frequent first: its signals, then taken, won of closed and P&L for each config."""
    lines = [{line.catalyst: line for line in each.catalysts} for each in summaries]
    names = dict.fromkeys(name for each in lines for name in each)
    rows = []
    for name in names:
        cells = [name, str(max(each[name].signals for each in lines if name in each))]
        for each in lines:
            line = each.get(name)
            if line is None:
                cells += ["0", "", ""]
                continue
            profit = None if line.unrealised_usd is None else line.realised_usd + line.unrealised_usd
            cells += [str(line.taken), f"{line.won}/{line.closed}", usd(profit)]
        rows.append(tuple(cells))
    return rows


def usd(value: Decimal | None) -> str:
    """An amount with two decimals and thousands; unknown is said."""
    return "unknown" if value is None else f"{value:,.2f}"


def _code_rows(kind: str, counts: Sequence[dict[str, int]]) -> list[tuple[str, ...]]:
    codes = sorted(
        {code for each in counts for code in each}, key=lambda code: (-sum(c.get(code, 0) for c in counts), code)
    )
    return [(f"{kind} {code}", *(str(each.get(code, 0)) for each in counts)) for code in codes]


def _latched(latched: Sequence[tuple[str, str]]) -> str:
    """Daily ones end by themselves and are counted; the others hold until somebody resets them: since when, is said."""
    daily = sum(kind == LatchKind.DAILY for kind, _ in latched)
    parts = [f"{kind} since {day}" for kind, day in latched if kind != LatchKind.DAILY]
    return ", ".join([*([f"{daily} × DAILY"] if daily else []), *parts]) or "none"


def _unpriced(summary: Summary) -> str:
    count = len(summary.open_without_price)
    return f"{count}: {', '.join(summary.open_without_price[:3])}{' …' if count > 3 else ''}" if count else "0"


def _instant(at: datetime | None) -> str:
    return "never" if at is None else f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
