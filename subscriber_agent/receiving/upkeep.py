"""What the running agent does from time to time: measures, explains gaps, reports its health, prunes the journal."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from typing import Any

from signal_contract.errors import Denied, LinkError
from signal_contract.feedback import AgentStatus
from signal_contract.heartbeat import Heartbeat
from subscriber_agent.disk import Disk
from subscriber_agent.journal import Journal
from subscriber_agent.receiving.control_state import LOCAL_LATCH, OPERATOR_LATCH, OPERATOR_USER_LATCH, stricter
from subscriber_agent.receiving.durable import Durable
from subscriber_agent.receiving.gaps import Gap, GapKind, explained
from subscriber_agent.receiving.link_state import LinkState
from subscriber_agent.receiving.rounds import Measure, Report, Rounds
from subscriber_agent.reporting.reports import status_report
from subscriber_agent.risk.market import TradingState
from subscriber_agent.settings.config import AgentConfig

_log = logging.getLogger("catalyst.agent")

MEASURE_EVERY_S = 60.0
# 30 days of reports must fit into the operator's quota of 10,000 for each kind.
STATUS_EVERY_S = 600.0
PRUNE_EVERY_S = 86_400.0
KEEP = timedelta(days=90)
_MEASURE_TIMEOUT_S = 5.0
_TICK_S = 1.0
# Beyond this the clock was set, or is a bad one: compare it with the server's anew.
_MAX_DRIFT_S = 0.5


class Upkeep:
    """The agent's own rounds. `config` and `describe` (mode, engine) are as of now; `sent` is called when a report of
    health waits.

    `drift_s` says how far our clock was set since it was last compared with the server's.
    """

    def __init__(
        self,
        config: Callable[[], AgentConfig],
        journal: Journal,
        disk: Disk,
        report: Report,
        rounds: Rounds,
        *,
        measure: Measure,
        heartbeat: Callable[[], Heartbeat | None],
        link_state: Callable[[], LinkState],
        describe: Callable[[], tuple[str, str]],
        sent: Callable[[], None],
        drift_s: Callable[[], float],
    ) -> None:
        self._config = config
        self._journal = journal
        self._disk = disk
        self._report = report
        self._rounds = rounds
        self._measure = measure
        self._heartbeat = heartbeat
        self._link_state = link_state
        self._describe = describe
        self._sent = sent
        self._drift_s = drift_s

    async def run(self) -> None:
        """Go on for ever. Raises Denied, StorageFailed."""
        clock = asyncio.get_running_loop().time
        measure_at = status_at = prune_at = clock()
        while True:
            await asyncio.sleep(_TICK_S)
            if clock() >= measure_at or abs(self._drift_s()) > _MAX_DRIFT_S:
                measure_at = clock() + MEASURE_EVERY_S
                await self._look()
            if clock() >= status_at:
                status_at = clock() + STATUS_EVERY_S
                await self._disk.run(self._keep_status)
                self._sent()
            if clock() >= prune_at:
                prune_at = clock() + PRUNE_EVERY_S
                await self._prune()

    async def _look(self) -> None:
        """Follow the clocks: a laptop that slept may be off. A server that is away leaves the last measure standing."""
        try:
            durable = await self._measure(_MEASURE_TIMEOUT_S)
        except Denied:
            raise
        except LinkError as error:
            # Also a durable that seems gone: a server that restarts says so for a moment, and the feed asks again.
            _log.info("the durable could not be looked at: %s", error.message)
            return
        self._rounds.note_pending(durable.waiting)
        self._explain(durable)

    def _explain(self, durable: Durable) -> None:
        """Tell each gap once: what was told is settled, or no longer missing."""
        heartbeat = self._heartbeat()
        last = None if heartbeat is None else heartbeat.last_sequence
        gaps = explained(
            self._rounds.gaps,
            durable.position,
            first_sequence=None if heartbeat is None else heartbeat.first_sequence,
            last_sequence=last,
            ack_pending=durable.in_flight,
            pending=durable.waiting,
        )
        for gap in gaps:
            self._report("gap", _gap_facts(gap))
            if gap.kind is GapKind.LOST:
                self._rounds.gaps = replace(self._rounds.gaps, missing=0)
            elif gap.last is not None:
                self._rounds.gaps = self._rounds.gaps.drained(max(gap.last, self._rounds.gaps.settled))

    async def _prune(self) -> None:
        heartbeat = self._heartbeat()
        first = None if heartbeat is None else heartbeat.first_sequence
        before = datetime.now(UTC) - KEEP
        await self._disk.run(lambda: self._journal.prune(before=before, stream_first_sequence=first))

    def _keep_status(self) -> None:
        now, (mode, engine), privacy = datetime.now(UTC), self._describe(), self._config().privacy
        progress = self._journal.progress()
        latches = [self._journal.latch(name) for name in (LOCAL_LATCH, OPERATOR_LATCH, OPERATOR_USER_LATCH)]
        state = stricter(*(TradingState.from_text(None if each is None else each.value) for each in latches))
        status = AgentStatus(
            version=version("catalyst-signals"),
            mode=mode,
            engine=engine,
            link_state=self._link_state().value,
            trading_state=state.value,
            position=0 if progress is None else progress.position,
            last_sequence=self._journal.last_sequence(),
            pending=None if progress is None else progress.pending,
            undecided=self._journal.undecided_count(),
            privacy=privacy,
            engine_state=self._journal.breaker().health(self._config().risk, now).value,
        )
        report = status_report(status, now, privacy, secrets.token_hex(16))
        self._journal.add_feedback([] if report is None else [report])


def _gap_facts(gap: Gap) -> dict[str, Any]:
    return {"kind": gap.kind.value, "count": gap.count, "first": gap.first, "last": gap.last, "detail": gap.text}
