"""How things stand in the journal at this moment, as gauges: the link, what waits, the account, the limits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import datetime

import orjson

from signal_contract.metrics import words
from signal_contract.metrics.samples import Measured, Sample, maybe, one_of
from subscriber_agent.accounting.book import Book, total_known
from subscriber_agent.accounting.calendar import NYSE
from subscriber_agent.accounting.standing import holds, usages
from subscriber_agent.cli.account import book_now, ledger_now
from subscriber_agent.journal import Journal
from subscriber_agent.own_book import realised_usd
from subscriber_agent.receiving.control_state import LOCAL_LATCH, OPERATOR_LATCH, OPERATOR_USER_LATCH
from subscriber_agent.settings.config import AgentConfig

_NAME = "catalyst_agent_"


def standing_now(journal: Journal, config: AgentConfig, now: datetime) -> list[Measured]:
    """Every gauge that the journal can fill; what is not known is missing. Raises StorageFailed."""
    return [
        *_link(journal, now),
        *_waiting(journal, now),
        *_latches(journal),
        *_account(journal, config, now),
    ]


def _link(journal: Journal, now: datetime) -> Iterator[Measured]:
    link, progress = journal.link_state(), journal.progress()
    if link is not None:
        yield from one_of(f"{_NAME}link_state", link.state, words.LINK_STATES)
        yield Sample(f"{_NAME}link_state_age_seconds", _age_s(link.since, now))
    if progress is not None:
        yield Sample(f"{_NAME}position", progress.position)
        yield from maybe(f"{_NAME}pending_messages", progress.pending)
    yield Sample(f"{_NAME}last_sequence", journal.last_sequence())
    heartbeat = journal.meta("heartbeat")
    if heartbeat is not None:
        at = datetime.fromisoformat(orjson.loads(heartbeat)["at"])
        yield Sample(f"{_NAME}heartbeat_age_seconds", _age_s(at, now))


def _waiting(journal: Journal, now: datetime) -> Iterator[Measured]:
    oldest = journal.undecided(1)
    yield Sample(f"{_NAME}undecided_signals", journal.undecided_count())
    yield Sample(f"{_NAME}undecided_age_seconds", _age_s(oldest[0].received_at, now) if oldest else 0)
    waiting = [each for each in journal.approvals("waiting") if each.is_waiting_at(now)]
    yield Sample(f"{_NAME}approvals_waiting", len(waiting))
    yield Sample(f"{_NAME}open_orders", len(journal.open_intents()))
    yield Sample(f"{_NAME}feedback_waiting", journal.feedback_count())
    yield Sample(f"{_NAME}feedback_dropped", journal.feedback_dropped())


def _latches(journal: Journal) -> Iterator[Measured]:
    for name in (LOCAL_LATCH, OPERATOR_LATCH, OPERATOR_USER_LATCH):
        latch = journal.latch(name)
        state = "ACTIVE" if latch is None else latch.value
        yield from one_of(f"{_NAME}trading_state", state, words.TRADING_STATES, name)


def _account(journal: Journal, config: AgentConfig, now: datetime) -> Iterator[Measured]:
    book = book_now(journal, config, now)
    ledger, breaker = ledger_now(journal, book, now), journal.breaker()
    yield from _money(book)
    # By our own log: an engine's word says what is held, not what was earned.
    yield Sample(f"{_NAME}realised_usd", realised_usd(journal))
    fullest: dict[str, float] = {}
    for each in usages(book, ledger, config.risk, breaker, NYSE, now):
        if each.percent is not None:
            fullest[each.name] = max(fullest.get(each.name, 0.0), float(each.percent) / 100)
    yield from (Sample(f"{_NAME}limit_used_ratio", ratio, (name,)) for name, ratio in fullest.items())
    stopped = Counter(each.name.partition(" ")[0] for each in holds(ledger, config.risk, NYSE, now))
    known = [each for each in words.HOLDS if each in stopped or each != words.HOLDS[-1]]
    yield from (Sample(f"{_NAME}entries_stopped", stopped[name], (name,)) for name in known)
    yield from one_of(f"{_NAME}engine_state", breaker.health(config.risk, now).value, words.ENGINE_STATES)


def _money(book: Book) -> Iterator[Measured]:
    yield from maybe(f"{_NAME}equity_usd", book.equity)
    yield from maybe(f"{_NAME}cash_usd", book.cash)
    yield from maybe(f"{_NAME}unrealised_usd", total_known(each.unrealised_usd for each in book.positions.values()))
    yield Sample(f"{_NAME}positions", len(book.positions))


def _age_s(at: datetime, now: datetime) -> float:
    """Seconds since then, never negative: a clock that was set back is no age."""
    return max(0.0, (now - at).total_seconds())
