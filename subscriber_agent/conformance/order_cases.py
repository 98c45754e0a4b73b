"""The cases about orders: known under their id, once, as much as asked, and gone when they end."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from decimal import Decimal

from subscriber_agent.accounting.book import Leg
from subscriber_agent.conformance.bench import Bench, Skipped, require
from subscriber_agent.conformance.case import Case, Need, case
from subscriber_agent.conformance.read_cases import NOBODYS_TICKER
from subscriber_agent.engines.engine import EngineEvent, OutcomeState
from subscriber_agent.engines.plugin import answers

_EVENT_PATIENCE_S = 2.0


async def an_order_is_known_under_its_id(bench: Bench) -> str:
    order_id = bench.new_id()
    answer = await bench.submit(bench.entry(), order_id)
    require(answer.state is not OutcomeState.UNKNOWN, f"submit does not know what became of it: {answer.detail}")
    outcome = await bench.known(order_id)
    require(outcome.quantity >= answer.quantity, "lookup knows less than the answer to submit said")
    require(not answer.state.is_final or outcome.state is answer.state, "a final answer was followed by another one")
    return outcome.state.value


async def the_same_id_twice_is_one_order(bench: Bench) -> None:
    plan, order_id = bench.entry(), bench.new_id()
    first = await bench.submit(plan, order_id)
    again = await bench.submit(plan, order_id)
    require(again.quantity >= first.quantity, "the second answer knows less than the first")
    outcome = await bench.until(order_id, lambda each: each.state.is_final)
    held = await bench.until_held(outcome.quantity)
    require(held == outcome.quantity, f"{held:f} shares are held after one order of {outcome.quantity:f}")
    require(held <= plan.quantity, "it was ordered twice")


async def a_larger_order_under_a_known_id_is_not_ordered(bench: Bench) -> None:
    order_id = await bench.bought()
    again = await bench.submit(replace(bench.entry(), quantity=bench.rig.quantity * 2), order_id)
    require(again.quantity == bench.rig.quantity, "the answer is not that of the first order")
    held = await bench.held()
    require(held == bench.rig.quantity, f"{held:f} shares are held instead of {bench.rig.quantity:f}")


async def the_same_id_at_once_is_one_order(bench: Bench) -> None:
    plan, order_id = bench.entry(), bench.new_id()
    await asyncio.gather(bench.submit(plan, order_id), bench.submit(plan, order_id))
    outcome = await bench.until(order_id, lambda each: each.state.is_final)
    held = await bench.until_held(outcome.quantity)
    require(held == outcome.quantity <= plan.quantity, f"{held:f} shares are held after one order")


async def two_orders_side_by_side_keep_apart(bench: Bench) -> None:
    ids = [bench.new_id(), bench.new_id()]
    await asyncio.gather(*(bench.submit(bench.entry(), each) for each in ids))
    outcomes = [await bench.until(each, lambda outcome: outcome.state.is_final) for each in ids]
    if not all(each.state is OutcomeState.FILLED for each in outcomes):
        raise Skipped(f"not both of them filled: {', '.join(each.state for each in outcomes)}")
    require(all(each.quantity == bench.rig.quantity for each in outcomes), "one order's shares count for the other")
    held = await bench.until_held(2 * bench.rig.quantity)
    require(held == 2 * bench.rig.quantity, f"{held:f} shares are held after two orders of {bench.rig.quantity:f}")


async def an_order_fills_what_was_asked_at_a_price(bench: Bench) -> str:
    outcome = await bench.known(await bench.bought())
    require(outcome.quantity == bench.rig.quantity, f"{outcome.quantity:f} filled, {bench.rig.quantity:f} were asked")
    held = await bench.until_held(outcome.quantity)
    require(held == outcome.quantity, f"{held:f} are held, {outcome.quantity:f} filled")
    return f"{outcome.quantity:f} at {outcome.price}"


async def an_exit_closes_the_position(bench: Bench) -> None:
    entry_id = await bench.bought()
    await bench.sold(entry_id, bench.rig.quantity)
    held = await bench.until_held(Decimal(0))
    require(held == 0, f"{held:f} shares are still held")


async def a_partial_exit_leaves_the_rest(bench: Bench) -> None:
    if bench.rig.quantity < 2:
        raise Skipped("the rig's quantity is one share")
    entry_id = await bench.bought()
    await bench.sold(entry_id, Decimal(1))
    held = await bench.until_held(bench.rig.quantity - 1)
    require(held == bench.rig.quantity - 1, f"{held:f} shares are held instead of {bench.rig.quantity - 1:f}")


async def an_exit_of_nothing_leaves_nothing(bench: Bench) -> str:
    order_id = bench.new_id(Leg.EXIT)
    outcome = await bench.submit(bench.plan(leg=Leg.EXIT), order_id)
    if outcome.state.is_working and bench.engine.capabilities().cancels:
        await bench.cancel(order_id)
    outcome = await bench.until(order_id, lambda each: each.state.is_final)
    held = await bench.held()
    require(held == 0, f"an exit with nothing to close left {held:f} shares")
    return outcome.state.value


async def an_order_of_nothing_is_rejected(bench: Bench) -> None:
    order_id = bench.new_id()
    outcome = await bench.submit(bench.plan(quantity=Decimal(0)), order_id)
    require(outcome.state is OutcomeState.REJECTED, f"an order of no shares is {outcome.state}")
    require(bool(outcome.detail), "it was rejected without a reason: nobody could help himself")
    after = await bench.lookup(order_id)
    is_same = after is None or after.state is OutcomeState.REJECTED
    require(is_same and await bench.held() == 0, "the rejected order is there all the same")


async def an_unknown_ticker_is_rejected(bench: Bench) -> str | None:
    order_id = bench.new_id()
    await bench.submit(replace(bench.entry(), ticker=NOBODYS_TICKER), order_id)
    outcome = await bench.until(order_id, lambda each: each.state.is_final)
    if outcome.quantity > 0 or outcome.state.is_working:
        raise Skipped("the engine has no list of tickers: it takes any")
    require(outcome.state is OutcomeState.REJECTED, f"an order in an unknown ticker is {outcome.state}")
    require(await bench.held(NOBODYS_TICKER) == 0, "the rejected order left a position")
    return outcome.detail[:80] or None


async def a_working_order_can_be_cancelled(bench: Bench) -> None:
    far = bench.plan(limit=bench.at("0.5"))
    if bench.engine.capabilities().brackets:
        far = replace(far, stop_price=bench.at("0.45"), target_price=bench.at("0.6"))
    order_id = bench.new_id()
    outcome = await bench.submit(far, order_id)
    if outcome.state is OutcomeState.REJECTED:
        raise Skipped(f"the engine takes no limit so far from the market: {outcome.detail}")
    is_fair = outcome.price is None or far.limit_price is None or outcome.price <= far.limit_price
    require(is_fair, f"a limit at {far.limit_price} filled at {outcome.price}")
    if outcome.state.is_final:
        raise Skipped(f"it ended at once as {outcome.state}")
    orders = await bench.timed("orders", bench.engine.orders())
    require(any(each.order_id == order_id for each in orders), "`orders` does not list the working order by its id")
    await bench.cancel(order_id)
    ended = await bench.until(order_id, lambda each: each.state.is_final)
    require(ended.state is OutcomeState.CANCELLED, f"the cancelled order is {ended.state}")
    require(await bench.held() == 0, "the cancelled order left a position")


async def a_restart_forgets_nothing(bench: Bench) -> None:
    plan = bench.entry()
    order_id = await bench.bought(plan)
    before = await bench.known(order_id)
    await bench.reopen()
    after = await bench.known(order_id)
    require((after.state, after.quantity) == (before.state, before.quantity), "it remembers the order differently")
    again = await bench.submit(plan, order_id)
    require(again.quantity == before.quantity, "the same id after the restart is another order")
    held = await bench.held()
    require(held == before.quantity, f"{held:f} shares are held instead of {before.quantity:f}")


async def events_name_the_order(bench: Bench) -> str:
    seen: list[EngineEvent] = []

    async def listen() -> None:
        async for event in bench.engine.events():
            seen.append(event)

    task = asyncio.create_task(listen(), name="conformance-events")
    try:
        order_id = await bench.bought()
        ends = asyncio.get_running_loop().time() + min(_EVENT_PATIENCE_S, bench.rig.patience_s)
        while not any(each.order_id == order_id for each in seen) and asyncio.get_running_loop().time() < ends:
            require(not task.done(), "its events ended while it was open")
            await asyncio.sleep(0.02)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    flaws = [flaw for each in seen if (flaw := answers.event_flaw(each)) is not None]
    require(not flaws, flaws[0] if flaws else "")
    if not any(each.order_id == order_id for each in seen):
        raise Skipped("no event named the order; it is looked up every few seconds all the same")
    return f"{len(seen)} seen"


ORDER_CASES: tuple[Case, ...] = (
    case("known", "an order that was handed over is known under its id", an_order_is_known_under_its_id, Need.TRADE),
    case("same-id-twice", "the same id twice is one order", the_same_id_twice_is_one_order, Need.TRADE),
    case(
        "same-id-larger",
        "a known id with a larger order is still the first one",
        a_larger_order_under_a_known_id_is_not_ordered,
        Need.TRADE,
    ),
    case("same-id-at-once", "the same id twice at once is one order", the_same_id_at_once_is_one_order, Need.TRADE),
    case("side-by-side", "two orders side by side keep apart", two_orders_side_by_side_keep_apart, Need.TRADE),
    case("as-asked", "an order fills what was asked, at a price", an_order_fills_what_was_asked_at_a_price, Need.TRADE),
    case("exit", "an exit closes the position", an_exit_closes_the_position, Need.TRADE),
    case("part-exit", "an exit of a part leaves the rest", a_partial_exit_leaves_the_rest, Need.TRADE),
    case(
        "exit-of-nothing", "an exit with nothing to close leaves nothing", an_exit_of_nothing_leaves_nothing, Need.TRADE
    ),
    case("nothing", "an order of nothing is rejected, with a reason", an_order_of_nothing_is_rejected, Need.TRADE),
    case(
        "unknown-ticker-order", "an order in an unknown ticker is rejected", an_unknown_ticker_is_rejected, Need.TRADE
    ),
    case(
        "cancel",
        "a working order can be cancelled, and leaves nothing",
        a_working_order_can_be_cancelled,
        Need.TRADE,
        Need.LIMITS,
        Need.CANCELS,
    ),
    case("restart", "a restart forgets no order", a_restart_forgets_nothing, Need.TRADE),
    case("events", "events name the order that they are about", events_name_the_order, Need.TRADE, Need.EVENTS),
)
