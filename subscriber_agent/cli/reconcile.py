"""`subscriber-agent reconcile`: our own log against the engine's word, what each difference means, and taking it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from signal_contract.cli.answer import finish, say, table
from signal_contract.envelope import Envelope
from signal_contract.errors import Conflict, EngineUnusable, InputError
from subscriber_agent.cli.place import ConfigOption, JsonOption, Place, open_place

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from subscriber_agent.accounting.book import Fill
    from subscriber_agent.accounting.differences import Difference
    from subscriber_agent.engines.engine import Engine, Holding
    from subscriber_agent.journal import EngineSnapshot, Journal, JournalReader

# The running agent looks every half minute while something differs: an older word is not what the engine holds now.
_FRESH_S = 120.0

AcceptOption = Annotated[
    bool, typer.Option("--accept", help="Take the engine's word on what is held: book it, order nothing.")
]
CancelOption = Annotated[
    bool, typer.Option("--cancel-unknown", help="End orders with an id of this agent that its journal does not know.")
]
LeaveOption = Annotated[
    list[str] | None, typer.Option("--leave", metavar="TICKER", help="Yours alone in this account: never trade it.")
]
NoLeaveOption = Annotated[list[str] | None, typer.Option("--no-leave", metavar="TICKER", help="Take --leave back.")]
ReasonOption = Annotated[str, typer.Option("--reason", help="Why; kept with what was accepted.")]


@dataclass(frozen=True, slots=True)
class _Seen:
    """What differs, by whose word, and as of when; `is_sure`: two looks of the running agent found it."""

    differences: tuple[Difference, ...]
    word: EngineSnapshot | None
    is_sure: bool
    is_running: bool


def reconcile(
    config: ConfigOption = None,
    accept: AcceptOption = False,
    cancel_unknown: CancelOption = False,
    leave: LeaveOption = None,
    no_leave: NoLeaveOption = None,
    reason: ReasonOption = "",
    as_json: JsonOption = False,
) -> None:
    """What the agent's log says is held against what the engine says; entries stop until both agree.

    Example: subscriber-agent reconcile --accept --reason "sold by hand"
    """
    place, now = open_place(config), datetime.now(UTC)
    if leave or no_leave:
        _left_alone(place, leave or [], no_leave or [], reason, now)
    seen, cancelled = _seen(place, cancel_unknown=cancel_unknown)
    now = datetime.now(UTC)
    fills = _accepted(place, seen, reason, now) if accept and seen.differences else []
    data = _data(seen, fills, cancelled, now)
    from subscriber_agent.left_alone import left_alone

    with place.journal() as journal:
        data["left_alone"] = sorted(left_alone(journal))
    finish(Envelope("subscriber-agent reconcile", data), as_json=as_json, render=lambda out: _render(out, data))


def _left_alone(place: Place, leave: list[str], no_leave: list[str], reason: str, now: datetime) -> None:
    """Note whose shares are the friend's own, in one commit. Raises InputError, Conflict, NotFound."""
    from signal_contract.subject import ticker_checked
    from subscriber_agent.accounting.differences import DifferenceKind
    from subscriber_agent.journal import ReconcileState
    from subscriber_agent.left_alone import leave_alone, take_back

    named = {ticker_checked(each) for each in leave}
    with place.journal(read_only=False) as journal, journal.transaction():
        for each in no_leave:
            take_back(journal, ticker_checked(each))
        for each in sorted(named):
            leave_alone(journal, each, reason, place.config.config_hash(), now)
        row, unknown = journal.open_reconcile(), DifferenceKind.POSITION_UNKNOWN.value
        before = [] if row is None else [dict(each) for each in row.differences]
        rest = [each for each in before if (each["kind"], each["ticker"] in named) != (unknown, True)]
        if row is not None and not rest:
            journal.end_reconcile(ReconcileState.ACCEPTED, now)
        elif rest != before:
            journal.note_differences(rest, now)


# Looking ----------------------------------------------------------------------------------------------------------


def _seen(place: Place, *, cancel_unknown: bool) -> tuple[_Seen, list[dict[str, Any]]]:
    """The running agent's last look; without an agent, the engine is asked now."""
    if place.is_running():
        if cancel_unknown:
            raise Conflict(
                "the running agent talks to the engine, and it cancels nothing that it does not know",
                hint="Stop the agent, run this command again, start the agent.",
            )
        with place.journal() as journal:
            return _of_the_agent(journal), []
    from subscriber_agent.identity.holding import held

    engine = place.engine()
    with held(place.data, place.creds.user), place.journal(read_only=False) as journal:
        return asyncio.run(_asked(engine, journal, cancel_unknown=cancel_unknown))


def _of_the_agent(journal: JournalReader) -> _Seen:
    from subscriber_agent.accounting.differences import Difference

    row = journal.open_reconcile()
    found = () if row is None else tuple(Difference.from_dict(each) for each in row.differences)
    return _Seen(found, journal.snapshot(), is_sure=True, is_running=True)


async def _asked(engine: Engine, journal: Journal, *, cancel_unknown: bool) -> tuple[_Seen, list[dict[str, Any]]]:
    """Look once, end unknown orders when asked to. Raises EngineUnusable."""
    from subscriber_agent.bound import check_bound
    from subscriber_agent.engine_life import EngineLife

    said: list[dict[str, Any]] = []
    life = EngineLife(engine, lambda event, facts: said.append(facts), lambda event: None)
    try:
        if not await life.start():
            raise _silent(str(said[0]["detail"]))
        # Another account's word says nothing about what our log holds.
        check_bound(journal, engine)
        seen = await _looked(engine, journal)
        if not cancel_unknown:
            return seen, []
        cancelled = [await _cancelled(engine, each) for each in seen.differences if each.kind.value == "ORDER_UNKNOWN"]
        return await _looked(engine, journal), cancelled
    finally:
        await life.close()


async def _looked(engine: Engine, journal: Journal) -> _Seen:
    from subscriber_agent.accounting.differences import differences
    from subscriber_agent.engines.engine import EngineSilent
    from subscriber_agent.reconciling import asked, ours_from, snapshot_from

    try:
        look = await asked(engine, lambda: datetime.now(UTC))
    except EngineSilent as silent:
        raise _silent(str(silent)) from silent
    ours = ours_from(journal, look.theirs.orders)
    return _Seen(differences(ours, look.theirs, look.at), snapshot_from(engine, look), is_sure=False, is_running=False)


async def _cancelled(engine: Engine, unknown: Difference) -> dict[str, Any]:
    from subscriber_agent.engines.engine import EngineSilent
    from subscriber_agent.reconciling import cancelled

    try:
        outcome = await cancelled(engine, unknown.order_id)
    except EngineSilent as silent:
        raise _silent(str(silent)) from silent
    state = None if outcome is None else outcome.state.value
    return {"order_id": unknown.order_id, "ticker": unknown.ticker, "state": state}


def _silent(detail: str) -> EngineUnusable:
    return EngineUnusable(
        f"the engine does not answer: {detail}", hint="Try again, or start the agent: it keeps trying."
    )


# Accepting --------------------------------------------------------------------------------------------------------


def _accepted(place: Place, seen: _Seen, reason: str, now: datetime) -> list[Fill]:
    """Book the engine's word on every position that differs, in one commit. Raises Conflict, InputError."""
    from subscriber_agent.journal import ReconcileState

    taken = [each for each in seen.differences if each.kind.is_position]
    if not taken:
        raise InputError(
            "nothing that differs is about shares held: there is no word to take",
            hint="`subscriber-agent reconcile` says for each difference what to do.",
        )
    if seen.word is None or not 0 <= (now - seen.word.at).total_seconds() <= _FRESH_S:
        raise Conflict(
            "the engine's word is too old to be taken", hint="`subscriber-agent status` says why; try again."
        )
    with place.journal(read_only=False) as journal, journal.transaction():
        fills = [_booked(journal, each, seen, now) for each in taken]
        rest = [each for each in seen.differences if each not in taken]
        what = {
            "reason": reason,
            "differences": [each.as_dict() for each in taken],
            "order_ids": [each.order_id for each in fills],
        }
        journal.write_loosening("reconcile_accepted", what, place.config.config_hash(), now)
        if rest:
            journal.note_differences([each.as_dict() for each in rest], now)
        else:
            journal.end_reconcile(ReconcileState.ACCEPTED, now)
    return fills


def _booked(journal: Journal, difference: Difference, seen: _Seen, now: datetime) -> Fill:
    """The adjusting fill, on disk with the caller's commit."""
    from subscriber_agent.accounting.adjusting import adjustment
    from subscriber_agent.own_book import OwnBook

    holdings = () if seen.word is None else seen.word.holdings
    there = next((each for each in holdings if each.ticker == difference.ticker), None)
    _check_settled(journal, difference, there, is_running=seen.is_running)
    last = None if there is None else there.last_price
    own = OwnBook(journal).positions().get(difference.ticker)
    try:
        fill = adjustment(difference, own, now, last=last)
    except ValueError as error:
        raise Conflict(f"{difference.text}: {error}", hint="Close the position by hand, then look again.") from error
    journal.add_fills([fill])
    return fill


def _check_settled(journal: JournalReader, difference: Difference, there: Holding | None, *, is_running: bool) -> None:
    """Raise Conflict where a word of the engine may still explain the difference: it would be booked twice."""
    ticker = difference.ticker
    holds = 0 if there is None else there.quantity
    if journal.held(ticker) != difference.ours or holds != difference.engines:
        raise Conflict(f"{ticker} was traded since that look", hint="Look again: `subscriber-agent reconcile`.")
    plans = (row.intent.plan for row in journal.open_intents())
    if any(plan.ticker == ticker and plan.leg.value != "stop" for plan in plans):
        raise Conflict(f"an order for {ticker} is under way", hint="Wait for its end: see `subscriber-agent orders`.")
    if not is_running and any(each.ticker == ticker for each in journal.protections()):
        raise Conflict(
            f"the stop of {ticker} may have sold it while no agent ran",
            hint="Start the agent: it looks its orders up first. What differs then can be accepted.",
        )


# Answering --------------------------------------------------------------------------------------------------------


def _data(seen: _Seen, fills: Sequence[Fill], cancelled: list[dict[str, Any]], now: datetime) -> dict[str, Any]:
    from subscriber_agent.accounting.differences import MEANINGS

    return {
        "engine": None if seen.word is None else seen.word.engine,
        "as_of": None if seen.word is None else seen.word.at.isoformat(),
        "is_running": seen.is_running,
        "differences": [
            {**each.as_dict(), "means": MEANINGS[each.kind][0], "to_do": MEANINGS[each.kind][1]}
            for each in seen.differences
        ],
        "accepted": [
            {"order_id": e.order_id, "ticker": e.ticker, "side": e.side.value, "quantity": e.quantity, "price": e.price}
            for e in fills
        ],
        "cancelled": cancelled,
        "at": now.isoformat(),
    }


def _render(out: Console, data: dict[str, Any]) -> None:
    if data["left_alone"]:
        out.print(f"yours alone, never traded by the agent: {', '.join(data['left_alone'])}", markup=False)
    for each in data["cancelled"]:
        out.print(f"cancelled {each['order_id']} {each['ticker']}: {each['state'] or 'not known there'}", markup=False)
    for each in data["accepted"]:
        what = f"{each['side']} {each['quantity']} {each['ticker']} at {each['price']} USD"
        out.print(f"booked without an order: {what}", markup=False)
    if data["accepted"]:
        out.print("the running agent compares again within half a minute" if data["is_running"] else "", markup=False)
        return
    rows = [
        (each["kind"], each["ticker"], each["ours"], each["engines"], each["order_id"]) for each in data["differences"]
    ]
    said = "the engine has not been asked yet" if data["as_of"] is None else "both say the same"
    table("what", "ticker", ">ours", ">the engine's", "order", rows=rows, empty=said)(out)
    told: set[str] = set()
    for each in data["differences"]:
        if each["kind"] not in told:
            told.add(each["kind"])
            out.print(f"\n{each['kind']}: {each['means']}.\n  → {each['to_do']}", markup=False)
    if data["as_of"] is not None:
        say(f"by {data['engine']}'s word of {data['as_of'][:19].replace('T', ' ')} UTC")
