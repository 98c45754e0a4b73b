"""What the operator's words add up to: who may trade, now and at any earlier place in the stream. Pure.

There are two scopes, everybody and this friend alone; each has a latch of its own, and the stricter one counts. Within
a scope the order is the stream's:

    new word's sequence     its issue time      it is
    ──────────────────────  ──────────────────  ─────────────────────────────────────────────
    higher than the newest  any                 the newest
    lower                   later               the newest: the stream was made anew
    lower                   not later           history: it moves no latch, but has its place
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from signal_contract.control import Control, Verb
from subscriber_agent.risk.market import TradingState

LOCAL_LATCH, OPERATOR_LATCH, OPERATOR_USER_LATCH = "local", "operator", "operator_user"

_STRICTNESS = (TradingState.ACTIVE, TradingState.REDUCING, TradingState.HALTED)
_STATE_AFTER = {
    Verb.HALT: TradingState.HALTED,
    Verb.REDUCE: TradingState.REDUCING,
    Verb.RESUME: TradingState.ACTIVE,
}


class Scope(StrEnum):
    """Whom a word of the operator is for: everybody, or this friend."""

    ALL = "all"
    USER = "user"

    @property
    def latch(self) -> str:
        """The name of the latch that words of this scope move."""
        return OPERATOR_LATCH if self is Scope.ALL else OPERATOR_USER_LATCH


@dataclass(frozen=True, slots=True)
class Word:
    """One control message's place in the stream and what it says; a notice says nothing about trading."""

    stream_seq: int
    issued_at: datetime
    verb: Verb


@dataclass(frozen=True, slots=True)
class Line:
    """The words of one scope that count, in the order of the stream they are in.

    `words` are those of the stream of now, `before` is the state that a stream which was made anew started with.
    """

    words: tuple[Word, ...] = ()
    before: TradingState = TradingState.ACTIVE

    def after(self, word: Word) -> Line:
        """The line with one more word, which may also be history; a notice changes nothing."""
        if word.verb not in _STATE_AFTER:
            return self
        newest = self.words[-1] if self.words else None
        if newest is not None and word.stream_seq < newest.stream_seq and word.issued_at > newest.issued_at:
            return Line((word,), before=self.now)
        return Line(tuple(sorted((*self.words, word), key=lambda each: each.stream_seq)), before=self.before)

    @property
    def now(self) -> TradingState:
        """What counts after the newest word."""
        return _STATE_AFTER[self.words[-1].verb] if self.words else self.before

    def at(self, stream_seq: int) -> TradingState:
        """What counted just before a place in the stream."""
        earlier = [each for each in self.words if each.stream_seq < stream_seq]
        return _STATE_AFTER[earlier[-1].verb] if earlier else self.before


def line_from(words: Iterable[Word]) -> Line:
    """Fold words, in the order in which they were received."""
    line = Line()
    for word in words:
        line = line.after(word)
    return line


def scope_of(control: Control) -> Scope:
    """Whom a control message is for."""
    return Scope.ALL if control.user is None else Scope.USER


def stricter(*states: TradingState) -> TradingState:
    """The one of several states that allows least; ACTIVE for none."""
    return max(states, key=_STRICTNESS.index, default=TradingState.ACTIVE)
