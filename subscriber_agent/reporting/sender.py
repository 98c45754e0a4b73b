"""Sends the reports that wait in the journal: slowly, patiently, and never in the way of anything else.

The journal keeps a report until the server has stored it; its id makes a second sending of it harmless.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from signal_contract.edges import reached
from signal_contract.errors import BrokerRefused, CatalystError, Denied, DurableMissing, StreamMissing
from signal_contract.feedback import AT_ONCE, PER_SECOND, Feedback, Privacy, feedback_bytes, trimmed
from signal_contract.link import Link
from signal_contract.signing import MESSAGE_ID_HEADER
from subscriber_agent.journal import Journal

_log = logging.getLogger("catalyst.feedback")

_BATCH = 20
_LOOK_EVERY_S = 5.0
_CUT_WAIT_S = 1.0
_BACKOFF_FIRST_S, _BACKOFF_LAST_S = 1.0, 60.0
_REFUSED_WAIT_S, _DENIED_WAIT_S = 60.0, 600.0


@dataclass(frozen=True, slots=True)
class Allowance:
    """How much may be sent: 8 a second, and up to 40 at once after a pause. `at` is monotonic seconds."""

    tokens: float = AT_ONCE
    at: float = 0.0

    def after(self, now: float) -> tuple[Allowance, float]:
        """The allowance once one more was taken, and how many seconds to wait before sending it."""
        tokens = min(AT_ONCE, self.tokens + max(0.0, now - self.at) * PER_SECOND) - 1.0
        return Allowance(tokens, now), max(0.0, -tokens / PER_SECOND)


class FeedbackSender:
    """Sends one user's reports over an open link until it is cancelled or the link ends.

    Trouble is told once to `on_problem`, in words, and tried again: after 60 s for what the server refuses (a quota),
    600 s for what it denies, 1 s, 2 s … 60 s otherwise. A kind of report that is refused does not hold up the others.
    `privacy` is the level of now: what was written under a wider one is trimmed to it once more, or forgotten.
    """

    def __init__(
        self,
        link: Link,
        journal: Journal,
        user: str,
        *,
        on_problem: Callable[[str], None],
        privacy: Privacy = Privacy.FULL,
    ) -> None:
        self._link = link
        self._journal = journal
        self._user = user
        self._on_problem = on_problem
        self.privacy = privacy
        self._wake = asyncio.Event()
        self._clock = asyncio.get_running_loop().time
        self._allowance = Allowance(at=self._clock())
        self._refused_until: dict[str, float] = {}
        self._failures = 0
        self._told: dict[str, str] = {}

    def wake(self) -> None:
        """Say that there is something to send; it would be found within 5 s anyway."""
        self._wake.set()

    async def run(self) -> None:
        """Send what waits, for ever; returns when the link has ended. Never raises for trouble on the way."""
        while not self._link.closed.is_set():
            self._wake.clear()
            wait_s = await self._round()
            if wait_s is not None:
                await self._pause(wait_s)

    async def _round(self) -> float | None:
        """Send one batch; None when there may be more at once, else how many seconds to rest."""
        if not self._link.is_connected:
            return _CUT_WAIT_S
        try:
            reports = await asyncio.to_thread(self._journal.feedback_waiting, _BATCH, skipping=self._refused_kinds())
            if not reports:
                return _LOOK_EVERY_S
            await self._send_all(reports)
        except CatalystError as error:
            self._failures += 1
            self._tell("", error)
            return min(_BACKOFF_FIRST_S * 2.0 ** min(self._failures - 1, 10), _BACKOFF_LAST_S)
        self._failures = 0
        return None

    def _refused_kinds(self) -> list[str]:
        now = self._clock()
        self._refused_until = {kind: until for kind, until in self._refused_until.items() if until > now}
        return list(self._refused_until)

    async def _send_all(self, reports: Sequence[Feedback]) -> None:
        """Send reports in their order and mark what was stored in one commit, also when it ends before the last one."""
        done: list[str] = []
        try:
            for each in reports:
                allowed = trimmed(each, self.privacy)
                if allowed is None or (each.kind.value not in self._refused_until and await self._send(allowed)):
                    done.append(each.feedback_id)
        finally:
            if done:
                reached("feedback.sent")
                await asyncio.to_thread(self._journal.feedback_sent, done)
                reached("feedback.marked")

    async def _send(self, report: Feedback) -> bool:
        """Send one report in its turn; False when the server refuses its kind for now."""
        kind = report.kind.value
        self._allowance, wait_s = self._allowance.after(self._clock())
        if wait_s:
            await asyncio.sleep(wait_s)
        try:
            await self._link.publish_stored(
                report.subject(self._user), feedback_bytes(report), headers={MESSAGE_ID_HEADER: report.feedback_id}
            )
        except (BrokerRefused, Denied, DurableMissing, StreamMissing) as error:
            rest_s = _DENIED_WAIT_S if isinstance(error, Denied) else _REFUSED_WAIT_S
            self._refused_until[kind] = self._clock() + rest_s
            self._tell(kind, error)
            return False
        for each in ("", kind):
            self._told.pop(each, None)
        return True

    def _tell(self, kind: str, error: CatalystError) -> None:
        """Tell trouble with a kind of report (empty: with all), unless it is the same as the last time."""
        if error.message != self._told.get(kind):
            self._told[kind] = error.message
            _log.info("reports to the operator wait: %s", error.message)
            self._on_problem(error.message)

    async def _pause(self, wait_s: float) -> None:
        """Rest; a call of `wake` ends it, unless something is wrong."""
        if self._failures or not self._link.is_connected:
            await asyncio.sleep(wait_s)
            return
        # Not wait_for: up to Python 3.11 it swallows a cancellation that meets its wake-up.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await self._wake.wait()
