"""The operator's flags as this agent follows them: fetched, verified, kept in the journal; what they take away here.

Only the publisher's signature counts, and only a document that is later than the last one. A server that is away, an
older document or one that cannot be read leaves the last known flags in force. A flag is no halt: until the first one
was ever read there is none.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import orjson

from signal_contract.errors import Denied, InputError, LinkError
from signal_contract.flags import FlagSet, Held, held, read_flags
from signal_contract.signing import SIGNATURE_HEADER, Verifier
from signal_contract.topology import FLAGS_GET_SUBJECT, FLAGS_SUBJECT
from subscriber_agent.journal import Journal
from subscriber_agent.risk.market import TradingState

if TYPE_CHECKING:
    from signal_contract.link import Link
    from subscriber_agent.disk import Disk

_log = logging.getLogger("catalyst.agent")

FLAGS = "flags"
LOOK_EVERY_S = 20.0
_DENIED_WAIT_S = 600.0
_TIMEOUT_S = 1.0
NOTHING = Held()
_UNREADABLE = Held(entries=True, reasons=("the flags in the journal cannot be read",))


@dataclass(frozen=True, slots=True)
class Known:
    """The flags in force for this friend; `issued_at` None: there were never any."""

    held: Held = NOTHING
    issued_at: datetime | None = None
    values: tuple[tuple[str, str, int], ...] = ()

    @classmethod
    def of(cls, flags: FlagSet, user: str) -> Known:
        """What a document says about a friend."""
        values = tuple((name, each.value, each.percent) for name, each in sorted(flags.flags.items()))
        return cls(held(flags.flags, user), flags.issued_at, values)

    def state(self, *, is_paper: bool) -> TradingState:
        """REDUCING where nothing may be opened with this kind of engine. Never HALTED: a flag stops no exit."""
        return TradingState.REDUCING if self.held.stops_entries(is_paper=is_paper) else TradingState.ACTIVE

    def as_dict(self) -> dict[str, Any]:
        return {
            "issued_at": self.issued_at.isoformat() if self.issued_at else None,
            "entries": self.held.entries,
            "real_money": self.held.real_money,
            "asks": self.held.asks,
            "reasons": list(self.held.reasons),
            "values": [list(each) for each in self.values],
        }


def known_from(text: str | None) -> Known:
    """What the journal keeps (None: nothing). What cannot be read holds back all entries until the next look."""
    if text is None:
        return Known()
    try:
        found = orjson.loads(text)
        reasons = tuple(str(each) for each in found["reasons"])
        taken = Held(found["entries"] is True, found["real_money"] is True, found["asks"] is True, reasons)
        values = tuple((str(name), str(value), int(percent)) for name, value, percent in found["values"])
        return Known(taken, datetime.fromisoformat(found["issued_at"]), values)
    except (ValueError, KeyError, TypeError):
        return Known(_UNREADABLE)


def followed(known: Known, payload: bytes, signature: str | None, verifier: Verifier, user: str) -> Known:
    """What is in force after a document came. Raises InputError when it is not signed, not readable, or older."""
    verifier.check(FLAGS_SUBJECT, payload, signature)
    flags = read_flags(payload)
    if known.issued_at is not None and flags.issued_at < known.issued_at:
        raise InputError("the server shows older flags than before; they are not taken up")
    return Known.of(flags, user)


class FlagsWatch:
    """Looks at the flags every 20 s. `report` hears `flags` whenever they change, trouble goes to the log."""

    def __init__(
        self,
        link: Link,
        journal: Journal,
        disk: Disk,
        report: Callable[[str, dict[str, Any]], None],
        *,
        user: str,
        verifier: Callable[[], Verifier],
    ) -> None:
        self._link = link
        self._journal = journal
        self._disk = disk
        self._report = report
        self._user = user
        self._verifier = verifier
        self._trouble = ""
        self.pause_s = LOOK_EVERY_S

    async def run(self) -> None:
        """Look for ever. Raises StorageFailed; a server that is away or refuses is no reason to end."""
        import asyncio  # `status` reads the flags without it

        while True:
            await asyncio.sleep(self.pause_s)
            await self.look()

    async def look(self) -> None:
        """Fetch the flags once and keep what changed; within a second. Raises StorageFailed."""
        self.pause_s = LOOK_EVERY_S
        try:
            reply = await self._link.request(FLAGS_GET_SUBJECT, timeout_s=_TIMEOUT_S)
        except LinkError as error:
            # An older server denies it: no reason to ask again every few seconds.
            self.pause_s = _DENIED_WAIT_S if isinstance(error, Denied) else LOOK_EVERY_S
            self._note(error.message)
            return
        if reply.status:
            self._note("the operator has set no flags" if reply.status == "404" else f"status {reply.status}")
            return
        try:
            news = await self._disk.run(self._taken, reply.data, reply.headers.get(SIGNATURE_HEADER))
        except InputError as error:
            self._note(error.message)
            return
        self._trouble = ""
        if news is not None:
            self._report(FLAGS, news.as_dict())

    def _taken(self, payload: bytes, signature: str | None) -> Known | None:
        """What is in force now, when that is another than before."""
        before = known_from(self._journal.meta(FLAGS))
        after = followed(before, payload, signature, self._verifier(), self._user)
        if after == before:
            return None
        self._journal.set_meta(FLAGS, orjson.dumps(after.as_dict()).decode())
        return after

    def _note(self, text: str) -> None:
        if text != self._trouble:
            self._trouble = text
            _log.info("flags: %s; what was known before stays", text)
