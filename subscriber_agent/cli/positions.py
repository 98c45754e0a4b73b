"""`subscriber-agent positions`: what is held, what it is worth, and where each stop is."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from signal_contract.cli.answer import finish, table
from signal_contract.envelope import Envelope
from subscriber_agent.cli.account import usd
from subscriber_agent.cli.held import account_dict, held_now
from subscriber_agent.cli.place import ConfigOption, JsonOption, open_place

if TYPE_CHECKING:
    from rich.console import Console

_COLUMNS = ("ticker", ">shares", ">engine", ">paid", ">last", ">age", "stop", ">target", ">value", ">P&L", "catalyst")


def positions(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """What is held: by the agent's own log, by the engine's last word, at which prices, and where each stop is.

    Example: subscriber-agent positions
    """
    from subscriber_agent.own_book import OwnBook

    place, now = open_place(config), datetime.now(UTC)
    with place.journal() as journal:
        word, held = journal.snapshot(), held_now(journal, OwnBook(journal))
        rows = [each.as_dict(now) for each in held]
        account = account_dict(journal, word, held)
        open_row = journal.open_reconcile()
    data = {
        "positions": rows,
        "unrealised_usd": _total([each["unrealised_usd"] for each in rows]),
        **{name: account[name] for name in ("cash_usd", "equity_usd", "realised_usd")},
        "as_of": None if word is None else word.at.isoformat(),
        "engine": None if word is None else word.engine,
        "differences": 0 if open_row is None else len(open_row.differences),
    }
    envelope = Envelope("subscriber-agent positions", data)
    finish(envelope, as_json=as_json, render=lambda out: _render(out, data))


def _total(parts: list[Any]) -> Any:
    return None if any(each is None for each in parts) else sum(parts)


def _render(out: Console, data: dict[str, Any]) -> None:
    table(*_COLUMNS, rows=[_cells(each) for each in data["positions"]], empty="no positions")(out)
    cash, equity, realised = (usd(data[name]) for name in ("cash_usd", "equity_usd", "realised_usd"))
    out.print(
        f"\ncash {cash} USD, equity {equity} USD, realised {realised} USD, open {usd(data['unrealised_usd'])} USD",
        markup=False,
    )
    if data["as_of"] is None:
        out.print("the engine has not been asked yet: prices are those of the last fills", markup=False)
    else:
        out.print(f"by {data['engine']}'s word of {data['as_of'][:19].replace('T', ' ')} UTC", markup=False)
    if data["differences"]:
        out.print("the engine says something else than the agent's log: `subscriber-agent reconcile`", markup=False)


def _cells(row: dict[str, Any]) -> tuple[Any, ...]:
    engines = row["engine_quantity"]
    return (
        row["ticker"],
        row["quantity"],
        "=" if engines == row["quantity"] else engines,
        _short(row["average_price"]),
        row["last_price"],
        None if row["price_age_s"] is None else f"{row['price_age_s']:.0f} s",
        _stop_text(row),
        row["target_price"],
        usd(row["value_usd"]),
        usd(row["unrealised_usd"]),
        row["catalyst"] if row["is_ours"] else "yours alone" if row["is_left_alone"] else "not the agent's",
    )


def _stop_text(row: dict[str, Any]) -> str:
    """`4.75 native`, and a word in capitals when nobody has confirmed it."""
    if not row["stops"]:
        return "none" if row["stop_price"] is None else f"{row['stop_price']} ?"
    parts = (
        f"{each['stop_price']} {each['holder']}{'' if each['is_confirmed'] else ' ' + each['state']}"
        for each in row["stops"]
    )
    return ", ".join(parts)


def _short(price: Any) -> Any:
    """An average price with up to four decimals: the rest is arithmetic."""
    return price if price is None or -price.as_tuple().exponent <= 4 else round(price, 4)
