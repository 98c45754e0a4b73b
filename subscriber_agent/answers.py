"""Whether what an engine said can be: a broker's library is not trusted to keep to its types. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from subscriber_agent.accounting.book import known
from subscriber_agent.engines.engine import Account, Holding, LegOutcome, Outcome, OutcomeState


class AnswerUnusable(Exception):
    """The engine answered what cannot be; the text says what."""


def outcome_checked(answer: object) -> Outcome:
    """The outcome; raises AnswerUnusable for shares that are no number, and for states that contradict them."""
    if not isinstance(answer, Outcome):
        raise AnswerUnusable(f"an outcome was asked for, {type(answer).__name__} came")
    if answer.state is OutcomeState.ABANDONED:
        raise AnswerUnusable("ABANDONED is no answer of an engine")
    if not _is_amount(answer.quantity):
        raise AnswerUnusable(f"{answer.quantity} shares filled")
    if answer.state in (OutcomeState.FILLED, OutcomeState.PARTLY_FILLED) and answer.quantity <= 0:
        raise AnswerUnusable(f"{answer.state.value} with no shares")
    for leg in answer.legs:
        if not isinstance(leg, LegOutcome) or not (_is_amount(leg.quantity) and _is_amount(leg.protects)):
            raise AnswerUnusable("a leg whose shares are no number")
    return answer


def maybe_outcome_checked(answer: object) -> Outcome | None:
    """As `outcome_checked`; None stays None."""
    return None if answer is None else outcome_checked(answer)


def account_checked(answer: object) -> Account:
    """The account; what is no amount in it is not known."""
    if not isinstance(answer, Account):
        raise AnswerUnusable(f"an account was asked for, {type(answer).__name__} came")
    return Account(_maybe(answer.cash), _maybe(answer.equity), answer.is_blocked)


def holdings_checked(answer: Iterable[object]) -> tuple[Holding, ...]:
    """What is held, each ticker once; raises AnswerUnusable, for a wrong list would close or open the wrong thing."""
    found: dict[str, Holding] = {}
    for each in answer:
        if not isinstance(each, Holding) or not each.ticker or known(each.quantity) is None:
            raise AnswerUnusable("a position whose shares are no number")
        if each.ticker in found:
            raise AnswerUnusable(f"{each.ticker} is said to be held twice")
        found[each.ticker] = each
    return tuple(found.values())


def _is_amount(value: object) -> bool:
    return isinstance(value, Decimal) and known(value) is not None and value >= 0


def _maybe(value: object) -> Decimal | None:
    return known(value) if isinstance(value, Decimal) else None
