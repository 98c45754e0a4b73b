"""What a publish run adds up to, as data and as text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console

from publisher.entry import Receipt, Replaced
from publisher.gate import Fate
from publisher.guard import GuardCode
from publisher.intake.outcome import Draft, Dropped, Outcome, Refused
from signal_contract.envelope import Problem
from signal_contract.errors import CatalystError, ExitCode
from signal_contract.model import Signal

_SHOWN = 20


@dataclass(frozen=True, slots=True)
class RefusedLine:
    """A line that cannot be used, by its number from 1."""

    line: int
    refused: Refused

    def as_dict(self) -> dict[str, Any]:
        return {"line": self.line, "code": self.refused.code.value, "reason": self.refused.reason}


@dataclass(frozen=True, slots=True)
class KeptBack:
    """A line whose signal did not go into the outbox: MERGED, RATE_CAPPED, HELD or REJECTED."""

    line: int
    fate: Fate

    def as_dict(self) -> dict[str, Any]:
        fate = self.fate
        return {"line": self.line, "code": fate.code, "signal_id": fate.signal.signal_id, "reason": fate.reason}


@dataclass(slots=True)
class Tally:
    """Counts while lines are read; `drafts` holds message ids in the order of their lines, `new` those that the
    outbox had not known. What the gate keeps back is in `kept_back` and no draft any more."""

    lines: int = 0
    drafts: list[str] = field(default_factory=list)
    new: set[str] = field(default_factory=set)
    dropped: Counter[str] = field(default_factory=Counter)
    refused: list[RefusedLine] = field(default_factory=list)
    kept_back: list[KeptBack] = field(default_factory=list)

    def add(self, line: int, outcome: Outcome) -> Signal | None:
        """Count one outcome; the signal to publish, if there is one."""
        self.lines += 1
        match outcome:
            case Draft(signal):
                self.drafts.append(signal.message_id)
                return signal
            case Dropped(code):
                self.dropped[code] += 1
            case Refused():
                self.refused.append(RefusedLine(line, outcome))
        return None

    def note(self, line: int, fate: Fate) -> None:
        """Count what the gate did with the signal of a line."""
        if fate.code == "ACCEPTED":
            self.new.add(fate.signal.message_id)
        elif not fate.is_in_outbox:
            self.drafts.remove(fate.signal.message_id)
            self.kept_back.append(KeptBack(line, fate))

    @property
    def capped(self) -> int:
        """How many signals were over the cap per minute."""
        return sum(1 for each in self.kept_back if each.fate.code == GuardCode.RATE_CAPPED)

    def as_dict(self) -> dict[str, Any]:
        return {
            "lines": self.lines,
            "dropped": {"total": self.dropped.total(), "by_reason": dict(self.dropped.most_common())},
            "refused": [each.as_dict() for each in self.refused],
            "kept_back": [each.as_dict() for each in self.kept_back],
        }


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of the drafts. `from_earlier` counts what an earlier run had left in the outbox."""

    published: int
    duplicates: int
    from_earlier: int
    waiting: int
    first_sequence: int | None
    last_sequence: int | None
    failure: CatalystError | None = None
    replaced: tuple[Replaced, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        names = ("published", "duplicates", "from_earlier", "waiting", "first_sequence", "last_sequence")
        return {name: getattr(self, name) for name in names}


def sent_from(
    tally: Tally,
    own: Mapping[str, Receipt],
    found: Mapping[str, Receipt | None],
    waiting: int,
    failure: CatalystError | None,
) -> Sent:
    """Add up a run. Pure.

    `own` holds this run's receipts by message id, `found` what the outbox knows of the lines without one. A line
    counts as published when the stream took it in this run, also if an earlier run had put it in the outbox, or if
    another relay sent what this run submitted; everything else that does not wait is a duplicate.
    """
    lines = set(tally.drafts)
    fresh = {key: each for key, each in own.items() if not each.is_duplicate}
    by_others = {
        key: each for key, each in found.items() if each is not None and key in tally.new and not each.is_duplicate
    }
    published = {**{key: each for key, each in fresh.items() if key in lines}, **by_others}
    lines_waiting = sum(1 for each in found.values() if each is None)
    sequences = [each.sequence for each in published.values()]
    return Sent(
        published=len(published),
        duplicates=len(tally.drafts) - len(published) - lines_waiting,
        from_earlier=len(fresh.keys() - lines),
        waiting=waiting,
        first_sequence=min(sequences, default=None),
        last_sequence=max(sequences, default=None),
        failure=failure,
    )


def exit_code_of(tally: Tally, failure: CatalystError | None, replaced: Sequence[Replaced] = ()) -> ExitCode:
    """Trouble with the server outranks refused lines and a lost outbox: it is what a supervisor acts on."""
    if failure is not None:
        return failure.exit_code
    return ExitCode.PARTIAL if tally.refused or tally.capped or replaced else ExitCode.OK


def problems_of(
    tally: Tally, failure: CatalystError | None, waiting: int, replaced: Sequence[Replaced] = ()
) -> tuple[Problem, ...]:
    """The answer's errors: a damaged outbox, what stopped the sending, then that lines were refused."""
    problems = [Problem.from_error(each.error) for each in replaced]
    if failure is not None:
        noun = "signal is" if waiting == 1 else "signals are"
        verb = "goes" if waiting == 1 else "go"
        safe = f"{waiting} {noun} safe in the outbox and {verb} out at the next publish"
        problems.append(Problem(failure.code, f"{failure.message}; {safe}", failure.hint))
    if tally.refused:
        problems.append(
            Problem(
                "LINES_REFUSED",
                f"{len(tally.refused)} of {tally.lines} lines were refused; the others were not held up by them",
                "Correct them and publish the file again: what went out already is not sent twice.",
            )
        )
    if tally.capped:
        problems.append(
            Problem(
                GuardCode.RATE_CAPPED.value,
                f"{tally.capped} signals were over the cap per minute and did not go out",
                "Is the classifier running away? Publish them from a file if they are right, or raise the cap.",
            )
        )
    return tuple(problems)


def render_sent(out: Console, tally: Tally, sent: Sent) -> None:
    """The answer for people."""
    span = f"stream {sent.first_sequence}..{sent.last_sequence}" if sent.first_sequence is not None else ""
    _row(out, "published", sent.published, span)
    if sent.from_earlier:
        _row(out, "from before", sent.from_earlier, "had waited in the outbox")
    _row(out, "duplicates", sent.duplicates, "in the stream or the outbox already" if sent.duplicates else "")
    if sent.waiting:
        _row(out, "waiting", sent.waiting, "safe in the outbox")
    if tally.kept_back:
        counted = Counter(each.fate.code for each in tally.kept_back).most_common()
        _row(out, "kept back", len(tally.kept_back), ", ".join(f"{code} {count}" for code, count in counted))
    for each in tally.kept_back[:_SHOWN]:
        out.print(f"  line {each.line}: {each.fate.code}: {each.fate.reason}", markup=False)
    render_not_sent(out, tally)


def render_not_sent(out: Console, tally: Tally) -> None:
    """Dropped by reason, refused by line (the first 20)."""
    _row(out, "dropped", tally.dropped.total(), ", ".join(f"{code} {n}" for code, n in tally.dropped.most_common()))
    _row(out, "refused", len(tally.refused), "")
    for each in tally.refused[:_SHOWN]:
        out.print(f"  line {each.line}: {each.refused.code.value}: {each.refused.reason}", markup=False)
    if len(tally.refused) > _SHOWN:
        out.print(f"  … and {len(tally.refused) - _SHOWN} more; --json names them all", markup=False)


def _row(out: Console, name: str, count: int, note: str) -> None:
    out.print(f"{name:<12}{count:>6}  {note}".rstrip(), markup=False)
