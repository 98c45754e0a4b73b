"""The guard rails with their memory and their lock, and the queue for approval: what a source's signals pass.

Every call may come from any thread and any process: the outbox is the memory, so all of them share one cap, and a lock
beside it keeps judging and submitting of two of them apart.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from filelock import FileLock, Timeout
from pydantic import ValidationError

from publisher.entry import Submitted
from publisher.guard import GuardCode, GuardLimits, Judged, Known, judged, memory_start
from publisher.held import HeldSignals
from publisher.intake.rules import read_rules
from publisher.outbox import Outbox
from signal_contract.codec import decode, violations_text
from signal_contract.errors import ConfigInvalid, SignalInvalid, StorageFailed
from signal_contract.model import Signal

LOCK_TIMEOUT_S = 15.0
# Judging and keeping take a few milliseconds, so whoever waits for another process looks again soon.
_POLL_S = 0.005
_REMEMBERED = 20_000
_REJECTED = "the operator has rejected it"
_MAX_LIMITS_BYTES = 64 * 1024

Keep = Callable[[Sequence[Signal]], Sequence[Submitted]]


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of a signal: ACCEPTED, DUPLICATE, HELD, REJECTED, MERGED or RATE_CAPPED, and why."""

    signal: Signal
    code: str
    reason: str = ""

    @property
    def is_in_outbox(self) -> bool:
        return self.code in ("ACCEPTED", "DUPLICATE")

    def as_dict(self) -> dict[str, str]:
        """For reports and answers."""
        signal = self.signal
        return {
            "code": self.code,
            "signal_id": signal.signal_id,
            "action": signal.action.value,
            "ticker": signal.ticker,
            "catalyst": signal.catalyst,
            "reason": self.reason,
        }


def read_limits(data: Path) -> GuardLimits:
    """The limits in `<data>/publisher/guard.json`, or the defaults without that file. Raises ConfigInvalid."""
    path = data / "publisher" / "guard.json"
    try:
        if path.stat().st_size > _MAX_LIMITS_BYTES:
            raise ConfigInvalid(f"{path} is too large to be a settings file")
        return GuardLimits.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return GuardLimits()
    except OSError as error:
        raise ConfigInvalid(f"{path} cannot be read: {error.strerror or error}") from error
    except ValidationError as error:
        violations = tuple(violations_text(error).split("; "))
        raise ConfigInvalid(f"{path} has mistakes", violations=violations) from error


def held_signals(data: Path) -> HeldSignals:
    """The queue for approval of a data directory."""
    return HeldSignals(data / "publisher" / "held")


class Rails:
    """What signals pass on their way into one outbox; usable from any thread until `close`.

    `is_approved`: they wait for the operator's word; it may be set to True at any time.
    """

    def __init__(
        self,
        outbox: Outbox,
        data: Path,
        keep: Keep,
        *,
        is_capped: bool,
        is_approved: bool,
        holds_capped: bool,
        patience_s: float,
    ) -> None:
        self._outbox, self._keep, self._is_capped, self._patience_s = outbox, keep, is_capped, patience_s
        self._holds_capped = holds_capped
        self.limits = read_limits(data)
        self.is_approved = is_approved or read_rules(data).approve
        self._held = held_signals(data)
        self._decoded: dict[bytes, Signal] = {}

    @classmethod
    def opened(
        cls,
        path: Path,
        data: Path,
        keep: Keep,
        *,
        is_capped: bool,
        is_approved: bool = False,
        holds_capped: bool = False,
        patience_s: float = LOCK_TIMEOUT_S,
    ) -> Self:
        """Rails in front of the outbox at `path`; `keep` signs and commits what passes.

        `is_capped` applies the cap per minute; with `is_approved`, or `approve` in intake.json, signals wait for the
        operator's word. With `holds_capped` what the cap keeps back waits for it too: for a source that cannot be
        read again. A take waits `patience_s` seconds for its turn. Raises ConfigInvalid or StorageFailed.
        """
        outbox = Outbox.open(path)
        try:
            return cls(
                outbox,
                data,
                keep,
                is_capped=is_capped,
                is_approved=is_approved,
                holds_capped=holds_capped,
                patience_s=patience_s,
            )
        except BaseException:
            outbox.close()
            raise

    def close(self) -> None:
        """Close its view of the outbox."""
        self._outbox.close()

    def take(self, signals: Sequence[Signal]) -> tuple[Fate, ...]:
        """Judge signals and keep those that pass, in their order; on return they survive a power cut.

        Raises StorageFailed, with nothing kept.
        """
        if not signals:
            return ()
        with locked(self._outbox.path, self._patience_s):
            now = datetime.now(UTC)
            known = self._known(signals, now)
            rulings = judged(signals, known, self.limits, now, is_capped=self._is_capped)
            passed = [each.signal for each in rulings if each.code is None]
            # Before the others go out: what cannot be held is tried again, and they are duplicates then.
            back = iter([self._kept_back(each, each.code, now) for each in rulings if each.code is not None])
            fates = iter(self._hold(passed, known, now) if self.is_approved else self._kept(passed))
        return tuple(next(fates) if each.code is None else next(back) for each in rulings)

    def _kept_back(self, each: Judged, code: GuardCode, now: datetime) -> Fate:
        if code is not GuardCode.RATE_CAPPED or not self._holds_capped:
            return Fate(each.signal, code.value, each.reason)
        if self._held.is_rejected(each.signal.signal_id):
            return Fate(each.signal, "REJECTED", _REJECTED)
        self._held.put(each.signal, now=now)
        return Fate(each.signal, code.value, f"{each.reason}; {_ask(each.signal)}")

    def _kept(self, signals: Sequence[Signal]) -> list[Fate]:
        rejected = {id(each) for each in signals if self._holds_capped and self._held.is_rejected(each.signal_id)}
        passed = [each for each in signals if id(each) not in rejected]
        submitted = iter(self._keep(passed) if passed else ())
        return [
            Fate(each, "REJECTED", _REJECTED)
            if id(each) in rejected
            else Fate(each, "ACCEPTED" if next(submitted).is_new else "DUPLICATE")
            for each in signals
        ]

    def _known(self, signals: Sequence[Signal], now: datetime) -> list[Known]:
        subjects = {each.subject for each in signals}
        start, minute_ago = memory_start(signals, self.limits, now), memory_start([], self.limits, now)
        known, decoded = [], dict[bytes, Signal]()
        for each in self._outbox.recent(since=start, limit=_REMEMBERED):
            if each.entry.subject in subjects or each.submitted_at > minute_ago:
                payload = each.entry.payload
                with contextlib.suppress(SignalInvalid):  # a damaged row is the relay's matter
                    decoded[payload] = self._decoded.get(payload) or decode(payload)
                    known.append(Known(decoded[payload], each.submitted_at))
        self._decoded = decoded  # the next take mostly needs the same ones
        waiting = [Known(each.signal, each.held_at) for each in self._held.all()] if self.is_approved else []
        return [*known, *waiting]

    def _hold(self, signals: Sequence[Signal], known: Sequence[Known], now: datetime) -> list[Fate]:
        waiting = {each.signal.signal_id for each in self._held.all()}
        out = {each.signal.signal_id for each in known} - waiting
        fates = []
        for signal in signals:
            if signal.signal_id in out:
                fates.append(Fate(signal, "DUPLICATE", "it went out before"))
            elif self._held.is_rejected(signal.signal_id):
                fates.append(Fate(signal, "REJECTED", _REJECTED))
            else:
                self._held.put(signal, now=now)
                fates.append(Fate(signal, "HELD", _ask(signal)))
        return fates


def _ask(signal: Signal) -> str:
    return f"catalyst approve {signal.signal_id[:10]}"


@contextmanager
def locked(outbox: Path, timeout_s: float = LOCK_TIMEOUT_S) -> Iterator[None]:
    """Hold the gate of an outbox, among all threads and processes.

    Raises StorageFailed when it is not free within `timeout_s` seconds.
    """
    # A lock of its own for each caller: that one keeps threads apart as well.
    lock = FileLock(f"{outbox}.gate.lock", timeout=timeout_s, mode=0o600, thread_local=False)
    try:
        lock.acquire(poll_interval=_POLL_S)
    except (Timeout, OSError) as error:
        raise StorageFailed(f"the gate of {outbox} is not free: {error}") from error
    try:
        yield
    finally:
        lock.release()
