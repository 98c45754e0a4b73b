"""The cases about stops: held from the fill on, for every share, and let go of when they are cancelled."""

from __future__ import annotations

from decimal import Decimal

from subscriber_agent.accounting.book import Leg
from subscriber_agent.conformance.bench import Bench, Failed, Skipped, require
from subscriber_agent.conformance.case import Case, Need, case
from subscriber_agent.engines.engine import LegOutcome, Outcome, OutcomeState
from subscriber_agent.risk.decision import OrderType


def _working_stop(outcome: Outcome) -> LegOutcome | None:
    stop = outcome.leg(Leg.STOP)
    return stop if stop is not None and stop.state.is_working else None


async def a_fill_is_protected(bench: Bench) -> str:
    order_id = await bench.bought()
    outcome = await bench.until(order_id, lambda each: _working_stop(each) is not None)
    stop = _working_stop(outcome)
    if stop is None:
        raise Failed("no working stop is shown for the filled entry: the agent would close the position")
    require(stop.protects >= outcome.quantity, f"the stop covers {stop.protects:f} of {outcome.quantity:f} shares")
    return f"{stop.protects:f} at {stop.trigger_price}"


async def cancelling_the_entry_lets_go_of_its_legs(bench: Bench) -> None:
    order_id = await bench.bought()
    outcome = await bench.release(order_id)
    still = [each.leg for each in outcome.legs if each.state.is_working]
    require(not still, f"still working after a cancel: {', '.join(still)}")
    held = await bench.held()
    require(held == bench.rig.quantity, f"{held:f} shares are held instead of {bench.rig.quantity:f}")


async def a_stop_closes_the_position(bench: Bench) -> None:
    order_id = await bench.bought()
    await _move(bench, "0.85")
    outcome = await bench.until(order_id, lambda each: _is_filled(each, Leg.STOP))
    require(_is_filled(outcome, Leg.STOP), "the price fell through the stop, and the stop did not fill")
    held = await bench.until_held(Decimal(0))
    require(held == 0, f"{held:f} shares are still held")
    still = [each.leg for each in outcome.legs if each.state.is_working]
    require(not still, "the target still works beside the filled stop: it would sell what is not there")


async def a_target_ends_the_stop(bench: Bench) -> None:
    order_id = await bench.bought()
    if (await bench.known(order_id)).leg(Leg.TARGET) is None:
        raise Skipped("the engine holds no target")
    await _move(bench, "1.3")
    outcome = await bench.until(order_id, lambda each: _is_filled(each, Leg.TARGET))
    require(_is_filled(outcome, Leg.TARGET), "the price rose through the target, and the target did not fill")
    outcome = await bench.until(order_id, lambda each: not any(leg.state.is_working for leg in each.legs))
    require(_working_stop(outcome) is None, "the stop still works beside the filled target")
    require(await bench.until_held(Decimal(0)) == 0, "shares are still held")


async def a_stop_order_of_its_own_works(bench: Bench) -> None:
    await bench.bought(bench.plan())
    plan = bench.plan(leg=Leg.STOP, order_type=OrderType.STOP, stop=bench.at("0.5"))
    order_id = bench.new_id(Leg.STOP)
    await bench.submit(plan, order_id)
    outcome = await bench.known(order_id)
    require(
        outcome.state is OutcomeState.ACCEPTED, f"a stop far below the market is {outcome.state} ({outcome.detail})"
    )
    orders = await bench.timed("orders", bench.engine.orders())
    found = next((each for each in orders if each.order_id == order_id), None)
    if found is None:
        raise Failed("`orders` does not list the stop by its id")
    require(found.quantity == plan.quantity, f"it is listed with {found.quantity:f} shares")
    await bench.cancel(order_id)
    ended = await bench.until(order_id, lambda each: each.state.is_final)
    require(ended.state is OutcomeState.CANCELLED, f"the cancelled stop is {ended.state}")
    held = await bench.held()
    require(held == bench.rig.quantity, "the cancelled stop changed the position")


async def _move(bench: Bench, share: str) -> None:
    move_price = bench.rig.move_price
    if move_price is None:
        raise Skipped("the test cannot move the price")
    await move_price(bench.rig.ticker, bench.at(share))
    # An engine without a market of its own learns the price from the wire, as it would from the next signal.
    await bench.timed("observe", bench.engine.observe(bench.rig.ticker, bench.at(share), bench.rig.clock()))


def _is_filled(outcome: Outcome, leg: Leg) -> bool:
    found = outcome.leg(leg)
    return found is not None and found.state is OutcomeState.FILLED


PROTECTION_CASES: tuple[Case, ...] = (
    case(
        "stop-held", "a filled entry has a working stop for every share", a_fill_is_protected, Need.TRADE, Need.BRACKETS
    ),
    case(
        "legs-released",
        "cancelling a filled entry ends its legs and keeps the position",
        cancelling_the_entry_lets_go_of_its_legs,
        Need.TRADE,
        Need.BRACKETS,
        Need.CANCELS,
    ),
    case(
        "stop-fills",
        "a price through the stop closes the position and ends the target",
        a_stop_closes_the_position,
        Need.TRADE,
        Need.BRACKETS,
        Need.PRICE,
    ),
    case(
        "target-fills",
        "a price through the target closes the position and ends the stop",
        a_target_ends_the_stop,
        Need.TRADE,
        Need.BRACKETS,
        Need.PRICE,
    ),
    case(
        "stop-order",
        "a stop as an order of its own works and can be cancelled",
        a_stop_order_of_its_own_works,
        Need.TRADE,
        Need.STOP_ORDERS,
        Need.CANCELS,
    ),
)
