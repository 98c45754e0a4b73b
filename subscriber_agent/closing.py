"""Exits that no signal asks for: what a stop asks for, what is to be closed in any case, and what was held too long.

Each is a decision of its own in the log and an intent before it is handed over, with an order id that follows from what
asked for it: after a kill it is looked up like any other. What asked stays on disk until nothing is open any more.

    who asks              on disk as                     REDUCING, loss latches  his own HALTED, mode `notify`
    ────────────────────  ─────────────────────────────  ──────────────────────  ──────────────────────────────────────
    `flatten`             the journal's request          goes                    goes: it is his explicit word
    stop, target          the entry's protection         goes                    goes: an open position has its stop
    unprotected           the protection, FAILED         goes                    goes: that is what halted him
    flatten_on_breach     a note beside the latch        goes                    waits: they order nothing by themselves
    close (once more)     the close's order that failed  goes                    waits
    max_hold_s            the entry's plan               goes                    waits

A close signal itself meets the checks (`risk`). When its order came to nothing it is not lost: what can be closed is
tried again, every minute, until nothing is held. Closed is only what our own log of executions says is ours.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import orjson

from signal_contract.errors import StorageFailed
from subscriber_agent.accounting.book import ZERO, Book, Leg, Position
from subscriber_agent.accounting.ledger_keeper import LedgerKeeper
from subscriber_agent.engines.engine import OutcomeState, order_id_from
from subscriber_agent.journal import EngineSnapshot, Journal, OrderIntent, OrderRow
from subscriber_agent.risk.codes import Code
from subscriber_agent.risk.decision import CheckOutcome, CheckResult, Decision, OrderPlan, Verdict
from subscriber_agent.risk.losses import Breach
from subscriber_agent.risk.plans import closing_plan, held_too_long
from subscriber_agent.risk.protection import ProtectionState
from subscriber_agent.settled import Gathered, OwnExit
from subscriber_agent.situation import EngineFacts, Rules, Situation

FLATTEN, BREACH, MAX_HOLD = "flatten", "breach", "max_hold"
STOP, TARGET, UNPROTECTED, CLOSE = "stop", "target", "unprotected", "close"
# What goes whatever is halted; see the table.
_ALWAYS = frozenset({FLATTEN, STOP, TARGET, UNPROTECTED})
_BREACH_NOTE = "breach_flatten"
# An exit that the engine rejected is tried again, under another id, but not in a loop.
_AGAIN_AFTER = timedelta(seconds=60)
# The engine's last word is written down when it changed, and to say that it is still the word.
_SNAPSHOT_EVERY = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Wanted:
    """An exit that a stop asks for: `kind` stop or target, `key` its entry's order id, and why."""

    kind: str
    key: str
    ticker: str
    reason: str


@dataclass(frozen=True, slots=True)
class Wish:
    """Something that wants every position closed, since `at`, and why."""

    kind: str
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Planned:
    """One round's result, on disk: exits to hand over, limits just broken, and wishes that are fulfilled."""

    exits: tuple[OwnExit, ...] = ()
    breaches: tuple[Breach, ...] = ()
    done: tuple[Wish, ...] = ()


class Closing:
    """Plans the friend's own exits for one journal; on the disk's thread. `user` goes into the order ids."""

    def __init__(
        self,
        journal: Journal,
        engine: EngineFacts,
        keeper: LedgerKeeper,
        situation: Situation,
        clock: Callable[[], datetime],
        *,
        user: str,
    ) -> None:
        self._journal = journal
        self._engine = engine
        self._keeper = keeper
        self._situation = situation
        self._clock = clock
        self._user = user
        self._shown: EngineSnapshot | None = None

    def wishes(self) -> tuple[Wish, ...]:
        """What wants everything closed now; the friend's command first."""
        request, note = self._journal.flatten_request(), self._journal.meta(_BREACH_NOTE)
        found = [] if request is None else [Wish(FLATTEN, request.reason, request.at)]
        return (*found, *([_wish_from(note)] if note else []))

    def is_wanted(self, intent: OrderIntent, gathered: Gathered, rules: Rules) -> bool:
        """Whether an own exit that was never handed over may still go: there is something to close, and nothing holds
        it back but what the friend's own `flatten` overrides.
        """
        asked = self._journal.decision(intent.signal_id, intent.revision)
        is_always = asked is not None and any(each["name"] in _ALWAYS for each in asked["checks"])
        if not is_always and self._journal.flatten_request() is None and self._situation.is_held_back(rules):
            return False
        now = self._clock()
        book = self._situation.book(self._situation.holdings(gathered, now), now, excluding=intent.order_id)
        held = book.positions.get(intent.plan.ticker)
        is_closing = held is not None and held.quantity * intent.plan.side.sign < 0
        return is_closing and book.closable(intent.plan.ticker) >= intent.plan.quantity

    def synced(self, held: Book, rules: Rules) -> tuple[Breach, ...]:
        """Bring the ledger up to date, in the caller's transaction; `held` is what the engine says now.

        Returns the limits just broken. Each is latched on disk, and with `flatten_on_breach` so is the wish to close
        everything.
        """
        breaches = self._keeper.sync(held.equity, rules.limits, self._clock())
        wanted = [each for each in breaches if each.is_flatten]
        if wanted and not self._journal.meta(_BREACH_NOTE):
            kinds = ", ".join(each.loss.kind.value for each in wanted)
            note = {"reason": f"loss limit broken: {kinds}", "at": wanted[0].at.isoformat()}
            self._journal.set_meta(_BREACH_NOTE, orjson.dumps(note).decode())
        return breaches

    def show(self, gathered: Gathered, held: Book) -> None:
        """Keep the engine's last word for the commands beside us, when it changed or is a minute old, and a point of
        the equity curve; in the caller's transaction.
        """
        now, engine, shown = self._clock(), self._engine, self._shown
        self._journal.add_equity(engine.name, gathered.account, held.equity, now)
        this = EngineSnapshot(
            now, engine.name, engine.is_paper, engine.capabilities(), gathered.account, gathered.holdings
        )
        if shown is None or replace(this, at=shown.at) != shown or abs(now - shown.at) >= _SNAPSHOT_EVERY:
            self._journal.write_snapshot(this)
            self._shown = this

    def synced_alone(self, gathered: Gathered, rules: Rules) -> tuple[Breach, ...]:
        """As `synced`, and shown, in a transaction of its own: a latch without its wish would never close anything."""
        with self._journal.transaction():
            held = self._situation.holdings(gathered, self._clock())
            self.show(gathered, held)
            return self.synced(held, rules)

    def plan(self, gathered: Gathered, rules: Rules, wanted: Iterable[Wanted] = ()) -> Planned:
        """Sync the ledger and write down the exits that are due, all in one commit. `wanted` is what stops ask for."""
        with self._journal.transaction():
            now = self._clock()
            held = self._situation.holdings(gathered, now)
            breaches = self.synced(held, rules)
            self.show(gathered, held)
            wishes = self.wishes()
            book = self._situation.book(held, now)
            is_held_back = self._situation.is_held_back(rules)
            active = [each for each in wishes if each.kind == FLATTEN or not is_held_back]
            stops = [*self._unprotected(), *wanted]
            due = _first_of_each(self._due(book, rules, active, stops, now, is_held_back=is_held_back))
            exits = tuple(made for each in due if (made := self._written(each, book, rules, now)) is not None)
            done = () if exits else self._fulfilled(active, book, now)
        return Planned(exits, breaches, done)

    def _fulfilled(self, active: list[Wish], book: Book, now: datetime) -> tuple[Wish, ...]:
        """End what is fulfilled: nothing is held, and nothing is under way that could still fill."""
        # What is none of ours is not ours to close.
        is_held = any(each.ours is None or each.ours > 0 for each in book.positions.values())
        # One look of an engine that shows nothing is no proof, as long as our own log holds something.
        if not active or is_held or self._situation.own() or book.working or book.exiting:
            return ()
        for each in active:
            if each.kind == FLATTEN:
                self._journal.flatten_done(now)
            else:
                self._journal.set_meta(_BREACH_NOTE, "")
        return tuple(active)

    def _unprotected(self) -> list[Wanted]:
        failed = (each for each in self._journal.protections() if each.state is ProtectionState.FAILED)
        return [Wanted(UNPROTECTED, each.entry_id, each.ticker, each.detail or "no stop") for each in failed]

    def _due(
        self,
        book: Book,
        rules: Rules,
        active: list[Wish],
        stops: list[Wanted],
        now: datetime,
        *,
        is_held_back: bool,
    ) -> Iterator[Due]:
        yield from _stopped(book, stops)
        yield from _wished(book, active)
        if not is_held_back:
            yield from self._closed_again(book, now)
            for plan in held_too_long(book, rules.limits, now):
                yield Due(MAX_HOLD, "", f"held since {book.positions[plan.ticker].opened_at.isoformat()}", plan)

    def _closed_again(self, book: Book, now: datetime) -> Iterator[Due]:
        for ticker, position in sorted(book.positions.items()):
            failed, quantity = self._failed_close(position, now), book.closable(ticker)
            if failed is not None and quantity > ZERO:
                yield Due(CLOSE, failed.intent.signal_id, _why_again(failed), closing_plan(position, quantity))

    def _failed_close(self, position: Position, now: datetime) -> OrderRow | None:
        """The latest close signal for a position of ours whose order ended without closing it; None without one."""
        if not position.opened_by:
            return None
        for row in reversed(self._journal.failed_exits(position.ticker, position.opened_at)):
            signal_id, revision = row.intent.signal_id, row.intent.revision
            if self._journal.stored(signal_id, revision) is None or self._journal.is_retracted(signal_id):
                continue
            is_abandoned = row.outcome is not None and row.outcome.state is OutcomeState.ABANDONED
            is_due = is_abandoned or row.settled_at is None or abs(now - row.settled_at) >= _AGAIN_AFTER
            return row if is_due else None
        return None

    def _written(self, due: Due, book: Book, rules: Rules, now: datetime) -> OwnExit | None:
        """The decision and the intent of one exit; None when it was tried a moment ago."""
        exit_id = _exit_id(due, book.positions[due.plan.ticker].opened_by)
        before = self._journal.orders_of(exit_id)
        if before and before[-1].settled_at is not None and abs(now - before[-1].settled_at) < _AGAIN_AFTER:
            return None
        revision = len(before) + 1
        order_id = order_id_from(exit_id, self._user, Leg.EXIT, revision)
        intent = OrderIntent(order_id, exit_id, revision, due.plan, now)
        code = Code.MAX_HOLD if due.kind == MAX_HOLD else None
        check = CheckResult(due.kind, CheckOutcome.PASS, code, due.reason, "closed at the market")
        decision = Decision(exit_id, revision, Verdict.ACCEPTED, code, (check,), due.plan, now)
        is_mine = self._journal.write_decision(decision, rules.config_hash, intent)
        return OwnExit(due.kind, due.reason, intent) if is_mine else None


@dataclass(frozen=True, slots=True)
class Due:
    """An exit to make; `key` is what asked for it, the same after a restart."""

    kind: str
    key: str
    reason: str
    plan: OrderPlan


def _stopped(book: Book, stops: Iterable[Wanted]) -> Iterator[Due]:
    for each in stops:
        position, quantity = book.positions.get(each.ticker), book.closable(each.ticker)
        if position is not None and quantity > ZERO:
            yield Due(each.kind, each.key, each.reason, closing_plan(position, quantity))


def _wished(book: Book, active: Iterable[Wish]) -> Iterator[Due]:
    for wish in active:
        for ticker, position in sorted(book.positions.items()):
            quantity = book.closable(ticker)
            if quantity > ZERO:
                yield Due(wish.kind, wish.at.isoformat(), wish.reason, closing_plan(position, quantity))


def _why_again(failed: OrderRow) -> str:
    outcome = failed.outcome
    return "its close came to nothing" if outcome is None else f"its close was {outcome.state.value}: {outcome.detail}"


def _first_of_each(found: Iterable[Due]) -> list[Due]:
    """One exit for each ticker: what is closed for one reason is not closed for another as well."""
    chosen: dict[str, Due] = {}
    for each in found:
        chosen.setdefault(each.plan.ticker, each)
    return list(chosen.values())


def _exit_id(due: Due, opened_by: str) -> str:
    """32 hex digits, in the place of a signal's id: the same wish and position is the same exit for ever."""
    parts = ("own exit", due.kind, due.key, due.plan.ticker, opened_by)
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:32]


def _wish_from(note: str) -> Wish:
    try:
        found = orjson.loads(note)
        return Wish(BREACH, str(found["reason"]), datetime.fromisoformat(found["at"]))
    except (KeyError, TypeError, ValueError) as error:
        raise StorageFailed("the journal's note of a broken loss limit cannot be read") from error
