"""`SignalClient`: the wire for a friend's own program. Received, verified, kept and acknowledged as the agent does it.

It decides nothing and trades nothing. What the program has not called done comes again at its next start.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Collection
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Self

from signal_contract.creds import Creds, read_creds
from signal_contract.errors import CredsInvalid, InputError
from signal_contract.invite import read_invite
from signal_contract.model import Signal
from subscriber_agent.disk import Disk
from subscriber_agent.identity.holding import held
from subscriber_agent.identity.joining import CONFIG_FILE, join
from subscriber_agent.journal import Journal, Stored
from subscriber_agent.journal.journal import JOURNAL_FILE
from subscriber_agent.receiving.arrival import Sorted
from subscriber_agent.receiving.durable import Durable
from subscriber_agent.receiving.link_state import LinkState
from subscriber_agent.receiving.receiver import Receiver
from subscriber_agent.receiving.rounds import Kept, Round
from subscriber_agent.settings.config import AgentConfig, load_config

_PAGE = 100
_FILTERED_OUT = "outside the filter of the program"


@dataclass(frozen=True, slots=True)
class Received:
    """One verified signal. Retractions and updates come as signals too: `signal.event` says which it is.

    `is_retracted`: a retraction of it was known when it was handed over; it must not be acted on any more.
    """

    signal: Signal
    stream_seq: int
    received_at: datetime
    is_retracted: bool
    _client: SignalClient

    async def done(self, note: str = "") -> None:
        """Say that the program is through with it: it does not come again. `note` goes into the journal's log."""
        await self._client._done(self.signal, note)


class SignalClient:
    """The wire as an async iterator; one at a time for each identity, beside no agent.

    Example:

        async with SignalClient.from_invite("alice.invite") as client:
            async for received in client.signals(min_confidence="0.7", catalysts=["fda"]):
                print(received.signal.ticker, received.signal.confidence)
                await received.done()
    """

    def __init__(
        self,
        place: Callable[[], Any],
        *,
        connect_timeout_s: float = 10.0,
        on_link_change: Callable[[LinkState, str], None] | None = None,
        on_event: Callable[[str, dict[str, Any]], None] | None = None,
    ) -> None:
        self._place = place
        self._connect_timeout_s = connect_timeout_s
        self._on_link_change = on_link_change
        self._on_event = on_event
        self._stack = AsyncExitStack()
        self._stop = asyncio.Event()
        self._changed = asyncio.Event()
        self._given: set[tuple[str, int]] = set()
        self._is_drained = False
        self._journal: Journal | None = None
        self._receiver: Receiver | None = None
        self._running: asyncio.Task[None] | None = None
        self._disk = Disk.inline()

    @classmethod
    def from_config(cls, path: str | Path, **options: Any) -> Self:
        """The identity of an agent's config file. Options: connect_timeout_s, on_link_change, on_event."""

        async def place() -> AgentConfig:
            return load_config(Path(path))

        return cls(place, **options)

    @classmethod
    def from_invite(
        cls, path: str | Path, *, home: str | Path | None = None, passphrase: str | None = None, **options: Any
    ) -> Self:
        """The identity of an invite: joined at the first use, into `home` (a folder beside the invite), found later.

        Options as for `from_config`.
        """
        invite = Path(path)
        folder = invite.with_name(f"{invite.stem}-client") if home is None else Path(home)

        async def place() -> AgentConfig:
            if (folder / CONFIG_FILE).exists():
                return load_config(folder / CONFIG_FILE)
            opened = read_invite(invite, lambda: _given_passphrase(passphrase))
            await join(opened, folder, now=datetime.now(UTC), force=False, offline=True)
            return load_config(folder / CONFIG_FILE)

        return cls(place, **options)

    async def __aenter__(self) -> Self:
        """Connect. Raises AlreadyRunning, CredsInvalid, ConfigInvalid, ServerUnreachable, Denied, DurableMissing …"""
        config = await self._place()
        creds = read_creds(config.creds, role="subscriber", now=datetime.now(UTC))
        try:
            self._open(config, creds)
            await self._until_connected()
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._close()

    def _open(self, config: AgentConfig, creds: Creds) -> None:
        data = config.data_dir(creds.user, creds.account)
        self._stack.enter_context(held(data, creds.user))
        self._journal = self._stack.enter_context(Journal.open(data / JOURNAL_FILE))
        self._disk = Disk.threaded()
        self._stack.callback(self._disk.close)
        self._receiver = Receiver(
            config, creds, self._journal, self._disk, self, self._report, mode="client", engine="own"
        )
        running = self._receiver.run(self._stop, connect_timeout_s=self._connect_timeout_s)
        self._running = asyncio.create_task(running, name="signal-client")
        self._running.add_done_callback(lambda _: self._changed.set())

    async def _until_connected(self) -> None:
        while self._receiver is not None and self._receiver.durable is None:
            await self._change()

    async def _change(self) -> None:
        """Wait until something has changed; raises why the receiving ended."""
        await self._changed.wait()
        self._changed.clear()
        if self._running is not None and self._running.done() and not self._running.cancelled():
            self._running.result()

    async def _close(self) -> None:
        self._stop.set()
        if self._running is not None:
            await asyncio.wait({self._running})
            if not self._running.cancelled():
                self._running.exception()  # the iterator has told it; seen, so that asyncio does not
        await self._stack.aclose()

    # What it shows ----------------------------------------------------------------------------------------------

    @property
    def link_state(self) -> LinkState:
        """How well signals flow: LIVE, QUIET, LAGGING, DEAF or CUT."""
        return LinkState.CUT if self._receiver is None else self._receiver.link_state

    @property
    def position(self) -> int:
        """The stream sequence up to which everything is acknowledged, as the server last said; 0 before that."""
        durable = None if self._receiver is None else self._receiver.durable
        return 0 if durable is None else durable.position

    @property
    def filters(self) -> tuple[str, ...]:
        """The subjects that this identity receives, as the server last said."""
        durable = None if self._receiver is None else self._receiver.durable
        return () if durable is None else durable.filters

    async def signals(
        self,
        *,
        min_confidence: Decimal | str | float = 0,
        catalysts: Collection[str] = (),
        tickers: Collection[str] = (),
    ) -> AsyncGenerator[Received, None]:
        """Yield what is not done yet, in stream order, then what comes, for ever; nothing while some is on its way.

        What lies below `min_confidence` (0..1) or outside `catalysts` and `tickers` (empty: all) counts as done. Raises
        why the receiving ended: CredsRevoked, DurableMissing …, and InputError for a confidence out of range.
        """
        least = _confidence(min_confidence)
        while not self._stop.is_set():
            while found := await self._next():
                if _passes(found.signal, least, catalysts, tickers):
                    yield await self._received(found)
                else:
                    await self._done(found.signal, _FILTERED_OUT)
            await self._change()

    async def _next(self) -> Stored | None:
        """The first signal that is neither done nor handed over in this session; None while none may be given."""
        if self._journal is None or not self._is_drained:
            return None
        waiting = await self._disk.run(self._journal.undecided, len(self._given) + 1)
        return next((each for each in waiting if _key(each.signal) not in self._given), None)

    async def _received(self, stored: Stored) -> Received:
        signal = stored.signal
        self._given.add(_key(signal))
        is_retracted = self._journal is not None and await self._disk.run(self._journal.is_retracted, signal.signal_id)
        return Received(signal, stored.stream_seq, stored.received_at, is_retracted, self)

    async def _done(self, signal: Signal, note: str) -> None:
        if self._journal is None:
            raise RuntimeError("use it as `async with SignalClient… as client`")
        now = datetime.now(UTC)
        await self._disk.run(self._journal.mark_handled, signal.signal_id, signal.revision, now, note)
        self._given.discard(_key(signal))

    # What the receiver asks of it -------------------------------------------------------------------------------

    def measured(self, durable: Durable) -> None:
        """The durable was looked at."""
        self._changed.set()

    async def keep(self, found: Sorted, *, is_drained: bool) -> Kept:
        """Have a batch on disk."""
        if self._receiver is None:
            raise RuntimeError("nothing is received before the link is up")
        return await self._disk.run(self._receiver.record, found)

    def after_round(self, this: Round) -> None:
        """Wake the iterator when there may be something to give."""
        if this.kept.new or this.is_drained != self._is_drained:
            self._is_drained = this.is_drained
            self._changed.set()

    def _report(self, event: str, facts: dict[str, Any]) -> None:
        if event == "link" and self._on_link_change is not None:
            self._on_link_change(LinkState(facts["state"]), facts["reason"])
        if self._on_event is not None:
            self._on_event(event, facts)


def _key(signal: Signal) -> tuple[str, int]:
    return signal.signal_id, signal.revision


def _given_passphrase(passphrase: str | None) -> str:
    if passphrase is None:
        raise CredsInvalid("the invite is under a passphrase", hint="Give it as `passphrase=` to from_invite.")
    return passphrase


def _confidence(value: Decimal | str | float) -> Decimal:
    least = Decimal(str(value)) if str(value).replace(".", "", 1).isdigit() else Decimal(-1)
    if not 0 <= least <= 1:
        raise InputError(f"min_confidence {value!r} is not a number from 0 to 1")
    return least


def _passes(signal: Signal, least: Decimal, catalysts: Collection[str], tickers: Collection[str]) -> bool:
    is_wanted = not catalysts or not {signal.catalyst, *signal.catalysts}.isdisjoint(catalysts)
    return is_wanted and signal.confidence >= least and (not tickers or signal.ticker in tickers)
