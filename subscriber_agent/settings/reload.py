"""Hot reload: the config file is watched, checked whole, and taken between two signals.

What is stricter counts at once. What is looser waits for the friend's word (`subscriber-agent config accept`); until
then the config in force is, field by field, the stricter of the old and the new. A file with a mistake changes
nothing. A start is different: starting with a file is the friend's own act, so it asks nothing, and is only told.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

from signal_contract.errors import CatalystError, ConfigInvalid, StorageFailed
from subscriber_agent.settings import consent
from subscriber_agent.settings.config import AgentConfig, Loaded, read_config
from subscriber_agent.settings.directions import (
    Change,
    changes,
    is_loosening,
    needs_restart,
    running,
    tightened,
)
from subscriber_agent.settings.events import ConfigChange, ConfigEvent, ConfigKept, ConfigNeedsRestart, ConfigPending

Clock = Callable[[], datetime]
_Print = tuple[tuple[int, int, int] | None, ...]


class ConfigWatcher:
    """Holds the config in force and follows its file. Not thread-safe: use it from one event loop.

    `data` is the identity's data directory; `creds` and `environ` are what the config was first read with.
    """

    def __init__(
        self,
        path: Path,
        current: AgentConfig,
        *,
        data: Path,
        creds: Path | None = None,
        environ: Mapping[str, str] | None = None,
        clock: Clock = lambda: datetime.now(UTC),
    ) -> None:
        self._path = path
        self._current = current
        self._data = data
        self._creds = creds
        self._environ = environ
        self._clock = clock
        self._files: tuple[Path, ...] = (path,)
        self._seen: _Print | None = None
        self._taken: _Print | None = None
        self._kept: tuple[str, ...] = ()
        self._restart: tuple[str, ...] = ()
        self._waiting: tuple[AgentConfig, consent.Pending] | None = None
        self._callbacks: list[Callable[[ConfigEvent], None]] = []
        self._woken = asyncio.Event()
        self._is_forced = False

    @property
    def current(self) -> AgentConfig:
        """The config in force. Read it once for each signal: it is replaced between two of them, never changed."""
        return self._current

    @property
    def pending(self) -> tuple[Change, ...]:
        """What waits for the friend's word; empty when nothing does."""
        return self._waiting[1].changes if self._waiting else ()

    def on_change(self, callback: Callable[[ConfigEvent], None]) -> None:
        """Call `callback` with everything that happens, after `current` was replaced, in the watcher's own loop."""
        self._callbacks.append(callback)

    def poke(self) -> None:
        """Look at the file at once, as SIGHUP does."""
        self._is_forced = True
        self._woken.set()

    async def run(self, *, poll_s: float = 1.0) -> None:
        """Follow the file until cancelled, with a look every `poll_s` seconds and at every SIGHUP.

        A word left by an agent that ran before counts for nothing. Raises StorageFailed when it cannot be removed.
        """
        consent.forget(self._data)
        with self._sighup():
            while True:
                await self.look()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(poll_s):
                        await self._woken.wait()
                self._woken.clear()

    async def look(self) -> None:
        """One look: read the file if it has changed and then stood still for one look, and take what it says.

        Standing still is asked for because editors write in pieces; a poke does without. A file that had a mistake is
        read again at each look, since the mistake may be in a file that is not there yet.
        """
        is_forced, self._is_forced = self._is_forced, False
        seen = tuple(map(_fingerprint, self._files))
        is_still, self._seen = seen == self._seen, seen
        if is_forced or (is_still and (seen != self._taken or self._kept)):
            # A file that did not stand still may change again within one tick of the file system's clock.
            self._taken = seen if is_still else None
            # Parsing takes milliseconds that belong to the signals.
            self._tell(self._take(await asyncio.to_thread(self._read)))
        elif is_still:
            self._tell(self._confirmed())

    def _read(self) -> Loaded | ConfigInvalid:
        try:
            return read_config(self._path, creds=self._creds, environ=self._environ)
        except ConfigInvalid as error:
            return error
        except CatalystError as error:  # a shipped profile is gone, as while the package is being upgraded
            return ConfigInvalid(error.message)

    def _take(self, read: Loaded | ConfigInvalid) -> Iterator[ConfigEvent]:
        if isinstance(read, ConfigInvalid):
            yield from self._keep(read.violations or (read.message,))
            return
        self._kept = ()
        if read.files != self._files:
            self._files = read.files
            self._taken = self._seen = None
        yield from self._name_restart(read.config)
        yield from self._tighten(read.config)
        yield from self._wait_for_word(read.config)

    def _keep(self, violations: tuple[str, ...]) -> Iterator[ConfigEvent]:
        yield from self._drop_pending()
        if violations != self._kept:
            self._kept = violations
            yield ConfigKept(self._clock(), self._current.config_hash(), violations)

    def _name_restart(self, new: AgentConfig) -> Iterator[ConfigEvent]:
        found = changes(self._current, new)
        keys = tuple(each.key for each in found if needs_restart(each.key, each.after, self._current))
        if keys != self._restart:
            self._restart = keys
            yield ConfigNeedsRestart(self._clock(), keys)

    def _tighten(self, new: AgentConfig) -> Iterator[ConfigEvent]:
        stricter = tightened(self._current, new)
        if changes(self._current, stricter):
            yield self._swap(stricter, confirmed=False)

    def _wait_for_word(self, new: AgentConfig) -> Iterator[ConfigEvent]:
        target = running(self._current, new)
        looser = changes(self._current, target)
        if not looser:
            yield from self._drop_pending()
            return
        if self._waiting is not None and self._waiting[1].changes == looser:
            return
        pending = consent.pending_of(new, looser, self._clock())
        self._waiting = (target, pending)
        try:
            consent.write_pending(self._data, pending)
        except StorageFailed as error:
            yield ConfigKept(pending.at, self._current.config_hash(), (error.message,))
        yield ConfigPending(pending.at, pending.config_hash, looser)

    def _confirmed(self) -> Iterator[ConfigEvent]:
        if self._waiting is None or not consent.is_accepted(self._data, self._waiting[1]):
            return
        target, _ = self._waiting
        self._waiting = None
        yield self._swap(target, confirmed=True)
        self._forget()

    def _drop_pending(self) -> Iterator[ConfigEvent]:
        if self._waiting is not None:
            self._waiting = None
            self._forget()
            yield ConfigPending(self._clock(), self._current.config_hash(), ())

    def _forget(self) -> None:
        # A word that stays is for one moment's id only: no later config can use it.
        with contextlib.suppress(StorageFailed):
            consent.forget(self._data)

    def _swap(self, new: AgentConfig, *, confirmed: bool) -> ConfigChange:
        found = changes(self._current, new)
        before, self._current = self._current, new
        return ConfigChange(
            self._clock(), before.config_hash(), new.config_hash(), found, is_loosening(found), confirmed
        )

    def _tell(self, events: Iterator[ConfigEvent]) -> None:
        for event in events:
            for callback in self._callbacks:
                callback(event)

    @contextlib.contextmanager
    def _sighup(self) -> Iterator[None]:
        """SIGHUP pokes, where the system has it and this is the main thread; elsewhere the file is polled only."""
        loop = asyncio.get_running_loop()
        number = getattr(signal, "SIGHUP", None)
        try:
            if number is not None:
                loop.add_signal_handler(number, self.poke)
        except (NotImplementedError, RuntimeError, ValueError):
            number = None
        try:
            yield
        finally:
            if number is not None:
                loop.remove_signal_handler(number)


def _fingerprint(path: Path) -> tuple[int, int, int] | None:
    """What changes when a file does: its moment, its place and its size; None while it is not there."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ino, status.st_size
