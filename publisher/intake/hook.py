"""The hook in the bot's module: what happens on each alert and in each cycle, on whose thread.

The bot never sees an exception of ours or a wait for the network. What goes wrong is counted, and logged once.
"""

from __future__ import annotations

import functools
import importlib
import logging
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Protocol

from publisher.classifier import CLASSIFIER_FILE, write_classifier
from publisher.intake.cycle import Cycle, interval_from
from publisher.intake.foreign import Reader
from publisher.intake.hand_over import HandOver
from publisher.intake.outcome import Draft, Dropped, Refused
from publisher.intake.scored import Reading, Scored, price_of, ticker_of
from signal_contract.errors import CatalystError
from signal_contract.model import Signal

if TYPE_CHECKING:
    from publisher.rails import Fate

GENERATOR = "catalyst_bot.trading.signal_generator"
ALERT = "send_alert_safe"
CYCLE = "_cycle"
MARK = "__catalyst_installed__"
# A commit takes 1 to 2 ms; a disk that needs longer is in trouble, and the bot has its own work to do.
PATIENCE_S = 0.25
CLOSING_S = 5.0

_log = logging.getLogger(__name__)


class Guard(Protocol):
    """What signals pass; `publisher.rails.Rails` is the real one."""

    is_approved: bool

    def take(self, signals: Sequence[Signal]) -> tuple[Fate, ...]: ...

    def close(self) -> None: ...


class Publisher(Protocol):
    """What the hook needs; `publisher.thread.ThreadPublisher` is the real one."""

    @property
    def folder(self) -> Path: ...

    def rails(self, *, is_approved: bool = ...) -> Guard: ...

    def reading(self, found: Scored, *, classifier_version: str = ...) -> Reading: ...

    def close(self, timeout_s: float = ...) -> None: ...


Generate = Callable[[Any, str, Decimal], Any]


class Installed:
    """The hook in its place. `counts` tells what happened so far; `uninstall` takes it out, `close` ends it all."""

    def __init__(
        self,
        module: ModuleType,
        publisher: Publisher | None = None,
        guard: Guard | None = None,
        problem: CatalystError | None = None,
    ) -> None:
        self.module = module
        self.problem = problem
        self._publisher = publisher
        self._guard = guard
        self._replaced: dict[str, Any] = {}
        self._counts: Counter[str] = Counter()
        self._counting = threading.Lock()
        self._cycle = Cycle()
        self._version = _version()
        self._generate: Generate | None = None
        self._hand_over: HandOver | None = None
        self._classifier_file: Path | None = None

    @property
    def counts(self) -> dict[str, int]:
        """How often what happened: `alerts`, `kept`, `duplicates`, `late`, `dropped:…`, `refused:…`, `unread:…`,
        `failed:…`, and what the guard rails kept back: `RATE_CAPPED`, `MERGED`, `HELD`, `REJECTED`."""
        with self._counting:
            return dict(self._counts)

    @property
    def is_active(self) -> bool:
        """Whether alerts are published."""
        return bool(self._replaced)

    def hold(self) -> None:
        """Let nothing more go out without the operator's word."""
        if self._guard is not None:
            self._guard.is_approved = True

    def uninstall(self) -> None:
        """Put the bot's own functions back, unless somebody else has replaced them since; the state is not told any
        more."""
        self._put_back()
        if self._hand_over is not None and self._classifier_file is not None:
            self._guarded(self._hand_over.put, functools.partial(self._take_away, self._classifier_file))

    def _put_back(self) -> None:
        for name, original in self._replaced.items():
            if getattr(getattr(self.module, name, None), MARK, None) is self:
                setattr(self.module, name, original)
        self._replaced.clear()

    def close(self, timeout_s: float = CLOSING_S, *, is_clean: bool = True) -> None:
        """Take it out, keep what is in hand, and give what waits time to go out: `timeout_s` seconds for both.

        A bot whose end is not clean stays a standstill in the heartbeats, until it is started again.
        """
        ends_at = time.monotonic() + timeout_s
        self._put_back()
        hand_over, self._hand_over = self._hand_over, None
        left = 0 if hand_over is None else hand_over.close(timeout_s)
        if left:
            self._failed("lost", f"{left} signals could not be kept before the end")
        elif self._guard is not None:  # else the disk stands still, and so would closing it
            self._guarded(self._guard.close)
        classifier_file, self._classifier_file = self._classifier_file, None
        if classifier_file is not None and is_clean:
            self._guarded(self._take_away, classifier_file)
        if self._publisher is not None:
            self._publisher.close(max(0.1, ends_at - time.monotonic()))

    # Putting it in place --------------------------------------------------------------------------------------

    def put_in_place(self, folder: Path) -> None:
        """Wrap the alert, and the cycle where there is one; what the classifier says goes into `folder`."""
        self._generate = self._generator()
        self._classifier_file = folder / CLASSIFIER_FILE
        self._hand_over = HandOver(patience_s=PATIENCE_S, on_failure=self._failed_job)
        self._wrap(ALERT, self._alerted)
        if callable(getattr(self.module, CYCLE, None)):
            self._wrap(CYCLE, self._cycling, self._cycled)

    def _wrap(self, name: str, before: Callable[..., None], after: Callable[[], None] | None = None) -> None:
        original = getattr(self.module, name)

        @functools.wraps(original)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            self._guarded(before, args, kwargs)
            try:
                return original(*args, **kwargs)
            finally:
                if after is not None:
                    self._guarded(after)

        setattr(wrapped, MARK, self)
        self._replaced[name] = original
        setattr(self.module, name, wrapped)

    def _guarded(self, step: Callable[..., None], *arguments: Any) -> None:
        try:
            step(*arguments)
        except Exception as error:  # noqa: BLE001  # the bot must never see an exception of ours
            self._failed_job(error)

    def _generator(self) -> Generate | None:
        try:
            generator = importlib.import_module(GENERATOR).SignalGenerator()
        except Exception as error:  # noqa: BLE001  # importing the bot's code may raise anything
            self._failed("generator", f"the bot's signal generator cannot be used: {error!r}")
            return None
        generate: Generate = generator.generate_signal
        return generate

    # On the bot's thread --------------------------------------------------------------------------------------

    def _alerted(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._count("alerts")
        publisher, guard, hand_over = self._publisher, self._guard, self._hand_over
        if publisher is None or guard is None or hand_over is None:
            return
        found = self._with_trade(found_from(args, kwargs))
        reading = publisher.reading(found, classifier_version=self._version)
        for label in reading.unread:
            self._said(f"unread:{label}", f"{label} could not be read; it is null in the signal")
        signal = self._signal(reading)
        if signal is not None and not hand_over.do(functools.partial(self._keep, guard, signal)):
            self._said("late", "the outbox takes longer than usual; the bot does not wait for it")
        self._tell(self._cycle.classified(_now(), None if signal is None else signal.classifier))

    def _with_trade(self, found: Scored) -> Scored:
        ticker, price = ticker_of(found.item), price_of(found.price)
        if found.trading_signal is not None or self._generate is None or ticker is None or price is None:
            return found
        try:
            return replace(found, trading_signal=self._generate(found.scored, ticker, price))
        except Exception as error:  # noqa: BLE001  # the bot's code; it catches this itself where it calls it
            self._failed("generator", f"the bot's signal generator failed: {error!r}")
            return found

    def _signal(self, reading: Reading) -> Signal | None:
        outcome = reading.outcome
        if isinstance(outcome, Draft):
            return outcome.signal
        if isinstance(outcome, Dropped):
            self._count(f"dropped:{outcome.code}")
        elif isinstance(outcome, Refused):
            self._said(f"refused:{outcome.code.value}", f"not published: {outcome.reason}")
        return None

    def _cycling(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        settings = args[1] if len(args) > 1 else kwargs.get("settings")
        market_info = args[2] if len(args) > 2 else kwargs.get("market_info")
        self._tell(self._cycle.began(_now(), interval_from(settings, market_info)))

    def _cycled(self) -> None:
        self._tell(self._cycle.ended(_now()))

    def _tell(self, cycle: Cycle) -> None:
        path, hand_over = self._classifier_file, self._hand_over
        # Without the cycle in view an hour without news would look like a standstill.
        if cycle.is_due and CYCLE in self._replaced and path is not None and hand_over is not None:
            cycle = replace(cycle, written_at=cycle.seen_at)
            hand_over.put(functools.partial(self._write, path, cycle))
        self._cycle = cycle

    # On the other thread --------------------------------------------------------------------------------------

    def _keep(self, guard: Guard, signal: Signal) -> None:
        (fate,) = guard.take([signal])
        if fate.is_in_outbox:
            self._count("kept" if fate.code == "ACCEPTED" else "duplicates")
            return
        level = logging.WARNING if self._count(fate.code) else logging.INFO
        _log.log(level, "catalyst-signals: %s %s [%s] %s", signal.action.value, signal.ticker, fate.code, fate.reason)

    @staticmethod
    def _take_away(path: Path) -> None:
        """Nobody speaks of the classifier any more: one that has ended has not come to a standstill."""
        path.unlink(missing_ok=True)

    def _write(self, path: Path, cycle: Cycle) -> None:
        try:
            write_classifier(path, cycle.state)
        except CatalystError as error:  # not tried again: the signals behind it matter more, and the next cycle writes
            self._failed_job(error)

    def _failed_job(self, error: Exception) -> None:
        name = error.code if isinstance(error, CatalystError) else type(error).__name__
        self._failed(name, str(error))

    def _count(self, kind: str) -> bool:
        with self._counting:
            self._counts[kind] += 1
            return self._counts[kind] == 1

    def _said(self, kind: str, message: str) -> None:
        if self._count(kind):
            _log.warning("catalyst-signals: %s [%s] (said once)", message, kind)

    def _failed(self, name: str, message: str) -> None:
        self._said(f"failed:{name}", message)


def found_from(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Scored:
    """What the alert was called with: one payload, or the keywords of the bot's older signature."""
    source: Any = args[0] if args else kwargs.get("payload", kwargs)
    reader = Reader()

    def value(name: str, *others: str) -> Any:
        found = (reader.raw(source, each, each) for each in (name, *others))
        return next((each for each in found if each is not None), None)

    return Scored(
        item=value("item", "item_dict"),
        scored=value("scored"),
        trading_signal=value("trading_signal"),
        price=value("last_price"),
        market_info=value("market_info"),
        record_only=value("record_only"),
    )


def _version() -> str:
    version = getattr(sys.modules.get("catalyst_bot"), "__version__", None)
    return version[:64] if isinstance(version, str) and version.isprintable() and version else "unknown"


def _now() -> datetime:
    return datetime.now(UTC)
