"""The cases that ask and never order: safe on any account."""

from __future__ import annotations

import asyncio
import dataclasses

from subscriber_agent.conformance.bench import Bench, Failed, asked, require
from subscriber_agent.conformance.case import Case, Need, Run, case
from subscriber_agent.engines.plugin import answers

NOBODYS_TICKER = "ZZZZQ"
_MAX_AHEAD_S = 5.0


async def capabilities_are_stable(bench: Bench) -> str:
    first = bench.engine.capabilities()
    flaw = answers.capabilities_flaw(first)
    require(flaw is None, f"capabilities: {flaw}")
    require(bench.engine.capabilities() == first, "it answers differently the second time")
    names = (each.name for each in dataclasses.fields(first) if getattr(first, each.name) is True)
    return ", ".join(names) or "none"


async def name_and_money_are_said(bench: Bench) -> str:
    name, is_paper = bench.engine.name, bench.engine.is_paper
    require(isinstance(name, str) and 1 <= len(name) <= 40, "its name is not a text of 1 to 40 characters")
    require(isinstance(is_paper, bool), "is_paper is neither true nor false")
    return f"{name}, {'paper' if is_paper else 'real money'}"


async def account_is_well_formed(bench: Bench) -> str:
    account = await asked(bench, "account", bench.engine.account(), answers.account_flaw)
    require(account.cash is not None and account.equity is not None, "it does not know cash or equity: entries refuse")
    is_unsaid = account.is_blocked is None and not bench.engine.is_paper
    require(not is_unsaid, "it does not say whether the account may trade (is_blocked): entries refuse")
    return f"cash {account.cash:.2f}, equity {account.equity:.2f} USD"


async def positions_are_well_formed(bench: Bench) -> str:
    holdings = await asked(bench, "positions", bench.engine.positions(), answers.positions_flaw)
    return f"{len(holdings)} held"


async def orders_are_well_formed(bench: Bench) -> str:
    orders = await asked(bench, "orders", bench.engine.orders(), answers.orders_flaw)
    return f"{len(orders)} working"


async def a_never_seen_id_is_none(bench: Bench) -> None:
    require(await bench.lookup(bench.new_id()) is None, "it knows an order that nobody ever handed over")


async def cancelling_a_never_seen_id_orders_nothing(bench: Bench) -> None:
    before = await bench.timed("positions", bench.engine.positions())
    order_id = bench.new_id()
    outcome = await bench.cancel(order_id)
    require(outcome is None or outcome.quantity == 0, "an order that never was has filled")
    require(await bench.lookup(order_id) is None, "the cancelled id is known afterwards")
    after = await bench.timed("positions", bench.engine.positions())
    moved = {(each.ticker, each.quantity) for each in before} ^ {(each.ticker, each.quantity) for each in after}
    require(not moved, "the positions changed")


async def a_quote_is_fresh(bench: Bench) -> str:
    quote = await bench.timed("quote", bench.engine.quote(bench.rig.ticker))
    if quote is None:
        raise Failed(f"it has no quote of {bench.rig.ticker}, though it declares quotes")
    flaw = answers.quote_flaw(quote)
    require(flaw is None, f"quote: {flaw}")
    age_s = (bench.rig.clock() - quote.at).total_seconds()
    require(age_s >= -_MAX_AHEAD_S, f"the quote is {-age_s:.0f} s from the future")
    require(age_s <= bench.rig.max_quote_age_s, f"the quote is {age_s:.0f} s old; try again while the market is open")
    if quote.bid is not None and quote.ask is not None:
        require(quote.bid <= quote.ask, "the bid is above the ask")
    return f"{age_s:.1f} s old"


async def a_symbol_is_well_formed(bench: Bench) -> None:
    symbol = await bench.timed("symbol", bench.engine.symbol(bench.rig.ticker))
    flaw = None if symbol is None else answers.symbol_flaw(symbol)
    require(flaw is None, f"symbol: {flaw}")


async def an_unknown_ticker_raises_nothing(bench: Bench) -> None:
    can = bench.engine.capabilities()
    if can.quotes:
        quote = await bench.timed("quote", bench.engine.quote(NOBODYS_TICKER))
        require(quote is None or answers.quote_flaw(quote) is None, "a malformed quote of an unknown ticker")
    if can.symbols:
        symbol = await bench.timed("symbol", bench.engine.symbol(NOBODYS_TICKER))
        require(symbol is None or answers.symbol_flaw(symbol) is None, "a malformed word on an unknown ticker")
    now = bench.rig.clock()
    await asked(bench, "observe", bench.engine.observe(NOBODYS_TICKER, bench.rig.price, now), answers.ids_flaw)


async def questions_at_once_are_answered(bench: Bench) -> None:
    can = bench.engine.capabilities()
    looks: list[Run] = [account_is_well_formed, positions_are_well_formed]
    looks += [a_quote_is_fresh] if can.quotes else []
    looks += [a_symbol_is_well_formed] if can.symbols else []
    await asyncio.gather(*(each(bench) for each in looks))


READ_CASES: tuple[Case, ...] = (
    case("capabilities", "capabilities are well formed, and the same every time", capabilities_are_stable),
    case("identity", "it says its name, and whether real money is behind it", name_and_money_are_said),
    case(
        "account",
        "cash and equity are finite, and it says whether the account may trade",
        account_is_well_formed,
    ),
    case("positions", "positions are sorted, each once, none of nothing", positions_are_well_formed),
    case("orders", "working orders are well formed and sorted", orders_are_well_formed),
    case("never-seen", "an id that was never handed over is None", a_never_seen_id_is_none),
    case(
        "cancel-never-seen",
        "cancelling an id that was never handed over orders nothing",
        cancelling_a_never_seen_id_orders_nothing,
        Need.CANCELS,
    ),
    case("quote", "a quote has a time, finite prices, and is fresh", a_quote_is_fresh, Need.QUOTES),
    case("symbol", "the broker's word on a ticker is well formed", a_symbol_is_well_formed, Need.SYMBOLS),
    case(
        "at-once",
        "what a decision asks, asked all at once, is answered",
        questions_at_once_are_answered,
        Need.CONCURRENT,
    ),
    case("unknown-ticker", "an unknown ticker raises nothing", an_unknown_ticker_raises_nothing),
)
