"""The engine's last word in the journal, brought up to date with our own executions since.

For commands beside the agent. It only reads the journal. The engine is not asked.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal

from subscriber_agent.accounting.book import ZERO, Fill, known
from subscriber_agent.engines.engine import Account, Holding
from subscriber_agent.journal import EngineSnapshot, JournalReader
from subscriber_agent.risk.market import Capabilities
from subscriber_agent.settings.config import AgentConfig
from subscriber_agent.settled import Gathered

# Where the paper engine of earlier versions noted what it began with.
_START_CASH = "paper_start_cash_usd"


@dataclass(frozen=True, slots=True)
class UnheardEngine:
    """An engine of the config that has not said anything yet."""

    name: str
    is_paper: bool

    def capabilities(self) -> Capabilities:
        """What is taken for granted until it speaks."""
        return Capabilities()


@dataclass(frozen=True, slots=True)
class LastWord:
    """Who spoke, and what he said; `is_heard` False: nobody did, and the account is the config's."""

    engine: EngineSnapshot | UnheardEngine
    gathered: Gathered
    is_heard: bool


def last_word(journal: JournalReader, config: AgentConfig) -> LastWord:
    """Account and holdings as far as the journal knows them. Raises StorageFailed."""
    snapshot = journal.snapshot()
    if snapshot is None:
        engine = UnheardEngine(config.engine.kind, config.engine.is_paper)
        return LastWord(engine, _after(_unheard(journal, config), journal.fills()), is_heard=False)
    heard = Gathered(snapshot.account, snapshot.holdings)
    return LastWord(snapshot, _after(heard, journal.fills_since(snapshot.at)), is_heard=True)


def _unheard(journal: JournalReader, config: AgentConfig) -> Gathered:
    """Only a paper account's worth is known before its engine was asked."""
    if not config.engine.is_paper or config.engine.kind != "paper":
        return Gathered(Account(None, None), ())
    noted = journal.meta(_START_CASH)
    cash = config.engine.paper.start_cash_usd if noted is None else Decimal(noted)
    return Gathered(Account(cash, None, is_blocked=False), ())


def _after(gathered: Gathered, fills: list[Fill]) -> Gathered:
    """What the engine would say after these executions, as far as that follows from them."""
    held, cash = {each.ticker: each for each in gathered.holdings}, gathered.account.cash
    for fill in fills:
        signed = fill.side.sign * fill.quantity
        before = held.get(fill.ticker, Holding(fill.ticker, ZERO))
        held[fill.ticker] = replace(
            before, quantity=before.quantity + signed, average_price=None, last_price=fill.price
        )
        cash = None if cash is None else known(cash - signed * fill.price)
    holdings = tuple(each for _, each in sorted(held.items()) if each.quantity != 0)
    if not fills:
        return replace(gathered, holdings=holdings)
    return replace(gathered, holdings=holdings, account=replace(gathered.account, cash=cash, equity=None))
