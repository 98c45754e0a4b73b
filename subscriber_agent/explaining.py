"""One signal under the rules and the account of this moment, for `explain`: every check, and what would have to change.

It reads the journal and nothing else; the engine is not asked and the server is not met. What only they know is said
to be unknown, or what it was taken for.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from signal_contract.model import Signal
from subscriber_agent.accounting.book import Book
from subscriber_agent.accounting.calendar import NYSE
from subscriber_agent.accounting.ledger_keeper import LedgerKeeper
from subscriber_agent.closing import Closing
from subscriber_agent.journal import Journal, Stored
from subscriber_agent.last_word import last_word
from subscriber_agent.risk.decide import decide
from subscriber_agent.risk.decision import Decision
from subscriber_agent.risk.market import Market
from subscriber_agent.risk.remedies import Remedy, remedies
from subscriber_agent.settings.config import AgentConfig, Mode
from subscriber_agent.situation import Rules, Situation, is_notify_only

_SKEW = "the difference to the server's clock is not known here, and taken as 0"
_QUOTE = "the engine is not asked for prices: what needs a quote is shown as if there were none"
_NO_JOURNAL = "there is no journal: the account is taken as it starts, nothing as halted, and no loss as made"


@dataclass(frozen=True, slots=True)
class Explained:
    """What `decide` says with every check shown, a remedy for each that refuses, and what was not known."""

    decision: Decision
    remedies: tuple[Remedy, ...]
    unknown: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        return {
            "decision": self.decision.as_dict(),
            "remedies": [each.as_dict() for each in self.remedies],
            "unknown": list(self.unknown),
        }


def explained_by_journal(stored: Stored, journal: Journal, config: AgentConfig, now: datetime) -> Explained:
    """A signal by the journal's account, latches and losses of `now`. Raises StorageFailed."""
    word = last_word(journal, config)
    if not word.is_heard and not journal.fills():
        return explained_alone(stored.signal, config, now)
    gathered, engine = word.gathered, word.engine
    situation, keeper = Situation(journal, engine), LedgerKeeper(journal, NYSE)
    book = situation.book(situation.holdings(gathered, now), now, signal_id=stored.signal.signal_id)
    market = situation.market(
        stored,
        gathered,
        Rules.of(config),
        keeper.preview(book.equity, now),
        now,
        skew_s=0.0,
        is_closing=bool(Closing(journal, engine, keeper, situation, lambda: now, user="").wishes()),
    )
    unknown = (_SKEW, *((_QUOTE,) if engine.capabilities().quotes else ()))
    return _explained(stored.signal, book, config, market, now, unknown)


def explained_alone(signal: Signal, config: AgentConfig, now: datetime) -> Explained:
    """A signal by the config only: the account as a paper account starts."""
    book = Book(cash=config.engine.paper.start_cash_usd, is_blocked=False)
    market = Market(
        engine=config.engine.kind,
        is_paper=True,
        latest_revision=signal.revision,
        notify_only=is_notify_only(config.mode, is_paper=True),
        session=NYSE.session_at(now),
        session_day=NYSE.session_day(now),
        approve_all=config.mode is Mode.APPROVE,
    )
    return _explained(signal, book, config, market, now, (_SKEW, _NO_JOURNAL))


def _explained(
    signal: Signal, book: Book, config: AgentConfig, market: Market, now: datetime, unknown: tuple[str, ...]
) -> Explained:
    return Explained(
        decide(signal, book, config.risk, market, now, show_all=True),
        remedies(signal, book, config.risk, market, now),
        unknown,
    )
