"""The account as a command sees it beside the running agent: book and ledger of now, from the journal alone."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from signal_contract.errors import StorageFailed

if TYPE_CHECKING:
    from subscriber_agent.accounting.book import Book
    from subscriber_agent.accounting.ledger import Ledger
    from subscriber_agent.journal import Journal
    from subscriber_agent.own_book import OwnBook
    from subscriber_agent.risk.limits import Limits
    from subscriber_agent.settings.config import AgentConfig


def book_now(journal: Journal, config: AgentConfig, now: datetime, own: OwnBook | None = None) -> Book:
    """Cash and positions by the engine's last word, entries under way, and the entries of the last 24 hours.

    `own` is the fold over the journal's executions, where there is one already.
    """
    from subscriber_agent.last_word import last_word
    from subscriber_agent.situation import Situation

    word = last_word(journal, config)
    situation = Situation(journal, word.engine, own)
    return situation.book(situation.holdings(word.gathered, now), now)


def ledger_now(journal: Journal, book: Book, now: datetime) -> Ledger:
    """Losses, streaks and latches as the agent would see them now; nothing is written. Raises StorageFailed."""
    from subscriber_agent.accounting.calendar import NYSE
    from subscriber_agent.accounting.ledger_keeper import LedgerKeeper

    try:
        return LedgerKeeper(journal, NYSE).preview(book.equity, now)
    except (KeyError, ValueError) as error:
        raise StorageFailed(f"{journal.path}: the ledger of losses cannot be read: {error}") from error


def holds_now(journal: Journal, config: AgentConfig, now: datetime) -> list[dict[str, Any]]:
    """What stops entries besides the latches of friend and operator: losses, a streak, cooldowns."""
    return holds_by(ledger_now(journal, book_now(journal, config, now), now), config.risk, now)


def holds_by(ledger: Ledger, limits: Limits, now: datetime) -> list[dict[str, Any]]:
    """As `holds_now`, where the ledger is known already."""
    from subscriber_agent.accounting.calendar import NYSE
    from subscriber_agent.accounting.standing import holds

    return [
        {
            "name": each.name,
            "since": each.since,
            "until": None if each.until is None else each.until.isoformat(),
            "ends": each.ends,
        }
        for each in holds(ledger, limits, NYSE, now)
    ]


def hold_line(hold: dict[str, Any]) -> str:
    """One hold for people: what, since when, how it ends."""
    until = "" if hold["until"] is None else f" until {hold['until'][:19]} UTC"
    return f"{hold['name']} since {hold['since'][:19]}{until} ({hold['ends']})"


def session_now(now: datetime) -> dict[str, Any]:
    """New York's session at this moment and the next regular open, in UTC; None is not known."""
    from subscriber_agent.accounting.calendar import NYSE

    session, opens = NYSE.session_at(now), NYSE.next_open(now)
    return {
        "now": None if session is None else session.value,
        "next_open": None if opens is None else opens.isoformat(),
    }


def usd(value: Any) -> str:
    """An amount for people."""
    return "unknown" if value is None else f"{value:,.2f}"
