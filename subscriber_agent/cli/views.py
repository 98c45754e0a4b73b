"""Commands that only show: status, signals, positions, explain. They work beside a running agent and without one."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from signal_contract.cli.answer import finish, table
from signal_contract.envelope import Envelope
from signal_contract.errors import InputError, NotFound
from subscriber_agent.cli.place import ConfigOption, JsonOption, Place, open_place

if TYPE_CHECKING:
    from rich.console import Console

    from subscriber_agent.book import Book, Position
    from subscriber_agent.journal import Journal, SignalRow, Stored


def _book(place: Place, journal: Journal) -> Book:
    from subscriber_agent.engines.paper import paper_book

    return paper_book(journal, place.config.engine.start_cash_usd)


def _latch(journal: Journal, name: str) -> dict[str, Any]:
    latch = journal.latch(name)
    if latch is None:
        return {"state": "ACTIVE", "reason": "", "since": None}
    return {"state": latch.value, "reason": latch.reason, "since": latch.at.isoformat()}


def status(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Is it running and connected, may it trade, what has it decided, what does the account hold?

    Example: subscriber-agent status --config alice.yaml
    """
    place = open_place(config)
    with place.journal() as journal:
        data = _status(place, journal)
    finish(Envelope("subscriber-agent status", data), as_json=as_json, render=lambda out: _render_status(out, data))


def _status(place: Place, journal: Journal) -> dict[str, Any]:
    from subscriber_agent.credentials import days_left

    link, book = journal.link_state(), _book(place, journal)
    running = place.is_running()
    return {
        "user": place.creds.user,
        "running": running,
        "link": None
        if link is None
        else {"state": link.state if running else "stopped", "since": link.since.isoformat()},
        "mode": place.config.mode.value,
        "engine": place.config.engine.kind,
        "trading": {"local": _latch(journal, "local"), "operator": _latch(journal, "operator")},
        "last_sequence": journal.last_sequence(),
        "last_received_at": link.last_received_at.isoformat() if link and link.last_received_at else None,
        "undecided": journal.undecided_count(),
        "decisions": [{"verdict": t.verdict, "code": t.code, "count": t.count} for t in journal.counts()],
        "account": {
            "cash_usd": book.cash,
            "equity_usd": book.equity,
            "realised_usd": book.realised_usd,
            "positions": len(book.positions),
        },
        "creds_expire_at": place.creds.expires_at.isoformat() if place.creds.expires_at else None,
        "creds_days_left": days_left(place.creds.expires_at, datetime.now(UTC)),
        "config": str(place.config_file),
        "journal": str(place.journal_file),
    }


def _render_status(out: Console, data: dict[str, Any]) -> None:
    link, trading, account = data["link"], data["trading"], data["account"]
    states = [
        f"{who} {each['state']} {each['reason']}".strip() for who, each in trading.items() if each["state"] != "ACTIVE"
    ]
    rows = [
        ("user", data["user"]),
        ("agent", "running" if data["running"] else "not running: start it with `subscriber-agent run`"),
        ("link", f"{link['state']} since {link['since'][:19]} UTC" if link else "never connected"),
        ("mode", f"{data['mode']} on {data['engine']}"),
        ("trading", "; ".join(states) or "ACTIVE"),
        ("last signal", f"sequence {data['last_sequence']}, received {(data['last_received_at'] or 'never')[:19]}"),
        ("undecided", data["undecided"]),
        (
            "equity",
            f"{_usd(account['equity_usd'])} USD, cash {_usd(account['cash_usd'])}, {account['positions']} positions",
        ),
        ("realised", f"{_usd(account['realised_usd'])} USD"),
        ("creds expire", _expiry(data["creds_expire_at"], data["creds_days_left"])),
        ("journal", data["journal"]),
    ]
    table("", "", rows=rows)(out)
    out.print()
    decided = [(each["verdict"], each["code"], each["count"]) for each in data["decisions"]]
    table("verdict", "reason", ">count", rows=decided, empty="nothing decided yet")(out)


def _expiry(expires_at: str | None, days: int | None) -> str:
    from subscriber_agent.credentials import WARN_DAYS

    if expires_at is None or days is None:
        return "never"
    advice = ": ask your operator to extend them" if days < max(WARN_DAYS) else ""
    return f"{expires_at[:19]} UTC, {days} days left{advice}"


def _usd(value: Any) -> str:
    return "unknown" if value is None else f"{value:,.2f}"


def signals(
    config: ConfigOption = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=10_000, help="How many, newest first.")] = 20,
    ticker: Annotated[str | None, typer.Option("--ticker", help="Only this ticker.")] = None,
    verdict: Annotated[str | None, typer.Option("--verdict", help="Only accepted, refused or noted.")] = None,
    as_json: JsonOption = False,
) -> None:
    """What came over the wire and what was decided, newest first.

    Example: subscriber-agent signals --verdict refused
    """
    from subscriber_agent.risk.decision import Verdict

    wanted = None if verdict is None else verdict.lower()
    if wanted is not None and wanted not in {each.value.lower() for each in Verdict}:
        raise InputError(f"{verdict!r} is not a verdict", hint="Use accepted, refused or noted.")
    kind = next((each.value for each in Verdict if each.value.lower() == wanted), None)
    place = open_place(config)
    with place.journal() as journal:
        rows = journal.signals(limit, verdict=kind, ticker=ticker.upper() if ticker else None)
    # Eight narrow columns: with more, a terminal of 80 columns folds every cell.
    columns = (">seq", "id", "published", "action", "ticker", "catalyst", ">conf.", "outcome")
    render = table(*columns, rows=[_signal_cells(row) for row in rows], empty="no such signals yet")
    finish(Envelope("subscriber-agent signals", [_signal_dict(row) for row in rows]), as_json=as_json, render=render)


def _signal_cells(row: SignalRow) -> tuple[Any, ...]:
    return (
        row.stream_seq,
        row.signal_id[:8],
        f"{row.published_at:%m-%d %H:%M}",
        row.action if row.event == "new" else f"{row.action} {row.event} {row.revision}",
        row.ticker,
        row.catalyst,
        row.confidence,
        row.order_state or row.code or row.verdict or "undecided",
    )


def _signal_dict(row: SignalRow) -> dict[str, Any]:
    return {
        "seq": row.stream_seq,
        "signal_id": row.signal_id,
        "revision": row.revision,
        "event": row.event,
        "action": row.action,
        "ticker": row.ticker,
        "catalyst": row.catalyst,
        "confidence": str(row.confidence),
        "published_at": row.published_at.isoformat(),
        "received_at": row.received_at.isoformat(),
        "verdict": row.verdict,
        "code": row.code,
        "decided_at": row.decided_at.isoformat() if row.decided_at else None,
        "order": row.order_state,
    }


def positions(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """What the paper account holds, at the last price seen on the wire.

    Example: subscriber-agent positions
    """
    place = open_place(config)
    with place.journal() as journal:
        book = _book(place, journal)
    rows = [_position_dict(each) for each in book.positions.values()]
    data = {"positions": rows, "cash_usd": book.cash, "equity_usd": book.equity, "realised_usd": book.realised_usd}

    def render(out: Console) -> None:
        columns = (
            "ticker",
            ">shares",
            ">paid",
            ">last",
            ">stop",
            ">target",
            ">value",
            ">P&L",
            "catalyst",
            "since (UTC)",
        )
        cells = [
            (
                *(r[k] for k in ("ticker", "quantity", "average_price", "last_price", "stop_price", "target_price")),
                _usd(r["value_usd"]),
                _usd(r["unrealised_usd"]),
                r["catalyst"],
                r["opened_at"][:16],
            )
            for r in rows
        ]
        table(*columns, rows=cells, empty="no positions")(out)
        line = f"\ncash {_usd(book.cash)} USD, equity {_usd(book.equity)} USD, realised {_usd(book.realised_usd)} USD"
        out.print(line, markup=False)

    finish(Envelope("subscriber-agent positions", data), as_json=as_json, render=render)


def _position_dict(position: Position) -> dict[str, Any]:
    return {
        "ticker": position.ticker,
        "quantity": position.quantity,
        "average_price": position.average_price,
        "last_price": position.last_price,
        "stop_price": position.stop_price,
        "target_price": position.target_price,
        "value_usd": position.value,
        "unrealised_usd": position.unrealised_usd,
        "catalyst": position.catalyst,
        "opened_at": position.opened_at.astimezone(UTC).isoformat(),
    }


def explain(
    signal_id: Annotated[str, typer.Argument(help="The signal's id, or how it begins.")],
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Why a signal was traded or not: every check that was made, with its number and its limit.

    Example: subscriber-agent explain 3f9a
    """
    place = open_place(config)
    with place.journal() as journal:
        stored = _one_signal(journal, signal_id)
        decision = journal.decision(stored.signal.signal_id, stored.signal.revision)
        orders = [
            {"order_id": row.intent.order_id, "outcome": row.outcome.as_dict() if row.outcome else None}
            for row in journal.orders_of(stored.signal.signal_id)
        ]
    data = {"signal": stored.signal.model_dump(mode="json"), "decision": decision, "orders": orders}
    finish(
        Envelope("subscriber-agent explain", data),
        as_json=as_json,
        render=lambda out: _render_explain(out, stored, decision),
    )


def _one_signal(journal: Journal, prefix: str) -> Stored:
    """The latest revision of the one signal whose id begins so; raises NotFound or InputError."""
    found = journal.find(prefix.lower())
    ids = sorted({each.signal.signal_id for each in found})
    if not ids:
        raise NotFound(f"no signal's id begins with {prefix[:40]!r}", hint="`subscriber-agent signals` lists them.")
    if len(ids) > 1:
        raise InputError(f"{len(ids)} signals begin with {prefix!r}", hint=f"Such as {ids[0][:10]} and {ids[1][:10]}.")
    return max(found, key=lambda each: each.signal.revision)


def _render_explain(out: Console, stored: Stored, decision: dict[str, Any] | None) -> None:
    signal = stored.signal
    out.print(f"{signal.action} {signal.ticker} on {signal.catalyst}: {signal.news.title}", markup=False)
    out.print(f"{signal.signal_id} revision {signal.revision}, stream sequence {stored.stream_seq}", markup=False)
    if decision is None:
        out.print("not decided yet", markup=False)
        return
    code = f": {decision['code']}" if decision["code"] else ""
    decided_at = datetime.fromisoformat(decision["decided_at"])
    out.print(f"{decision['verdict']}{code} at {decided_at:%Y-%m-%d %H:%M:%S} UTC\n", markup=False)
    rows = [
        (each["name"], each["outcome"], each["code"], each["observed"], each["limit"]) for each in decision["checks"]
    ]
    table("check", "", "reason", "seen", "limit", rows=rows, empty="no checks were needed")(out)
