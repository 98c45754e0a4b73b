"""`subscriber-agent engine leave` and `settle`: what only a person can know about orders and shares at an engine."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Annotated

import typer

from signal_contract.cli.answer import finish, say
from signal_contract.envelope import Envelope
from signal_contract.errors import InputError
from subscriber_agent.cli.place import ConfigOption, JsonOption, open_place

_MOST = Decimal(10) ** 12


def leave(
    config: ConfigOption = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    reason: Annotated[str, typer.Option("--reason", help="Why; kept with what was left.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Leave what the agent holds at its last engine to you: written off in its log, nothing is ordered.

    Only for a change of engine or account. Orders and stops that work there go on working; the agent forgets them.

    Example: subscriber-agent engine leave --yes --reason "moved to another broker"
    """
    from subscriber_agent.bound import bound_to, what_is_left
    from subscriber_agent.bound import leave as left_behind
    from subscriber_agent.identity.holding import held

    place = open_place(config)
    with held(place.data, place.creds.user), place.journal(read_only=False) as journal:
        before, tickers = bound_to(journal), what_is_left(journal)
        where = "" if before is None else before.text
        if tickers:
            _ask(f"{', '.join(tickers)} at {where} will be yours alone, without stops of the agent.", yes=yes)
        fills = left_behind(journal, datetime.now(UTC), place.config.config_hash(), reason) if tickers else ()
    data = {
        "engine": None if before is None else before.engine,
        "tickers": tickers,
        "written_off": [{"ticker": each.ticker, "quantity": each.quantity, "side": each.side.value} for each in fills],
    }
    text = f"left behind: {', '.join(tickers)} at {where}; nothing was ordered" if tickers else "nothing is held"
    envelope = Envelope("subscriber-agent engine leave", data)
    finish(envelope, as_json=as_json, render=lambda out: out.print(text, markup=False))


def settle(
    order_id: Annotated[str, typer.Argument(metavar="ORDER_ID", help="The order, as `subscriber-agent orders` says.")],
    filled: Annotated[str, typer.Option("--filled", metavar="SHARES", help="What filled of it; 0 for nothing.")],
    price: Annotated[str | None, typer.Option("--price", metavar="USD", help="USD a share, where some filled.")] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say what became of an order that a webhook's receiver never answered for, once you looked at the broker.

    Example: subscriber-agent engine settle cs-0a1b…-entry --filled 100 --price 5.02
    """
    from subscriber_agent.engines.webhook.settle import settle_order

    quantity, paid = _number(filled, "--filled"), None if price is None else _number(price, "--price")
    if paid == 0:
        raise InputError("--price must be above 0")
    place = open_place(config)
    line = settle_order(place.data, order_id, quantity, paid, datetime.now(UTC))
    data = {"order_id": order_id, "filled": quantity, "price": paid}
    envelope = Envelope("subscriber-agent engine settle", data)
    finish(envelope, as_json=as_json, render=lambda out: out.print(line, markup=False))


def _number(text: str, option: str) -> Decimal:
    try:
        number = Decimal(text)
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite() or not 0 <= number < _MOST:
        raise InputError(f"{option} must be a number, 0 or more")
    return number


def _ask(what: str, *, yes: bool) -> None:
    """Raise InputError without a terminal to ask on, and end for a no."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise InputError("leaving what is held asks for your word", hint="Say it with --yes.")
    if not typer.confirm(f"{what} Leave it?", default=False, err=True):
        say("nothing was done")
        raise typer.Exit(int(InputError.exit_code))
