"""Measures what is on the friend's own machine: config, creds, journal, disk. Changes nothing and asks no server."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import filelock
import orjson

from signal_contract.addresses import servers_checked
from signal_contract.creds import Creds, read_creds
from signal_contract.doctor.examine import aside
from signal_contract.doctor.finding import Verdict, fail, ok, skipped, warn
from signal_contract.doctor.judging import judged_disk, judged_expiry
from signal_contract.errors import CatalystError, ConfigInvalid, NotFound, PlaintextRefused, StorageFailed
from subscriber_agent.accounting.calendar import NYSE
from subscriber_agent.accounting.ledger_keeper import LedgerKeeper
from subscriber_agent.accounting.standing import holds
from subscriber_agent.doctor.judging import Backlog, Beat, judged_backlog, judged_calendar, judged_latches
from subscriber_agent.flags import FLAGS, known_from
from subscriber_agent.identity.holding import LOCK_FILE
from subscriber_agent.journal import Journal
from subscriber_agent.journal.examining import LARGEST_READ_BYTES, first_damage
from subscriber_agent.journal.journal import JOURNAL_FILE
from subscriber_agent.last_word import last_word
from subscriber_agent.receiving.control_state import LOCAL_LATCH, OPERATOR_LATCH, OPERATOR_USER_LATCH
from subscriber_agent.settings.config import AgentConfig, load_config
from subscriber_agent.settings.yaml_source import read_yaml
from subscriber_agent.situation import Situation

Clock = Callable[[], datetime]
_JOIN = "take up your invite with `subscriber-agent join FILE`, or name a config with --config"
_LATEST_SIGNALS, _LIVE_ARRIVAL_S = 20, 60.0


@dataclass(slots=True)
class Machine:
    """The files of one identity as far as they could be read; filled by the first checks, read by the later ones."""

    config_file: Path
    clock: Clock
    creds_file: Path | None = None
    config: AgentConfig | None = None
    creds: Creds | None = None
    folder: Path | None = None

    @property
    def settings(self) -> AgentConfig:
        """The config, for checks that need D01. Raises ConfigInvalid without one."""
        if self.config is None:
            raise ConfigInvalid("there is no config that can be used")
        return self.config

    @property
    def journal_file(self) -> Path | None:
        return None if self.folder is None else self.folder / JOURNAL_FILE

    def is_running(self) -> bool:
        """Whether an agent holds this identity on this machine."""
        file = None if self.folder is None else self.folder / LOCK_FILE
        if file is None or not file.exists():
            return False
        lock = filelock.FileLock(file, mode=0o600)
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            return True
        except OSError:  # a folder that cannot be written; D04 and D05 say more
            return False
        lock.release()
        return False

    def journal(self) -> Journal:
        """The journal, read-only. Raises NotFound, StorageFailed."""
        if self.journal_file is None:
            raise NotFound("where the journal is depends on creds that cannot be read")
        return Journal.open(self.journal_file, read_only=True, is_owner=False)

    # The checks -----------------------------------------------------------------------------------------------

    async def config_read(self) -> Verdict:
        """D01."""
        if not self.config_file.is_file():
            return fail(f"there is no config file {self.config_file}", _JOIN)
        try:
            self.config = load_config(self.config_file, creds=self.creds_file)
        except ConfigInvalid as error:
            return fail(" · ".join(line.strip() for line in error.message.splitlines()), violations=error.violations)
        self.folder = self.config.data
        return ok(f"{self.config_file}, mode {self.config.mode.value}")

    async def creds_read(self) -> Verdict:
        """D02."""
        config = self.settings
        self.creds = creds = read_creds(config.creds, role="subscriber")
        self.folder = config.data_dir(creds.user, creds.account)
        return ok(f"{config.creds}, of {creds.user}", user=creds.user)

    async def expiry_looked_at(self) -> Verdict:
        """D03."""
        return judged_expiry(self.creds.expires_at if self.creds else None, self.clock())

    async def disk_measured(self) -> Verdict:
        """D04."""
        folder = _existing(self.folder or self.config_file.parent)
        usage = shutil.disk_usage(folder)
        return judged_disk([(str(folder), usage.free, usage.total)])

    async def journal_read(self) -> Verdict:
        """D05."""
        path = self.journal_file
        if path is None:
            return skipped("where the journal is depends on creds that cannot be read (D02)")
        if not path.exists():
            return skipped(f"there is none yet at {path}: the agent has not run")
        if path.stat().st_size > LARGEST_READ_BYTES:
            return warn(f"{path} has {path.stat().st_size >> 30} GB, too much to be read through here")
        try:
            damage = await aside(lambda: first_damage(path))
            with self.journal() as journal:
                last = journal.last_sequence()
        except NotFound as error:
            return skipped(error.message, error.hint)
        return fail(f"{path} is damaged: {damage}") if damage else ok(f"{path} is whole, last sequence {last}")

    async def chains_verified(self) -> Verdict:
        """D06."""
        try:
            number, found = await aside(self._first_break)
        except TimeoutError:
            return warn("too long to be read through here", "run `subscriber-agent audit verify`")
        if found:
            return fail(found)
        return ok(f"{number} decisions, none changed")

    def _first_break(self) -> tuple[int, str]:
        with self.journal() as journal:
            for log, broken in (("decisions", journal.first_break), ("loosenings", journal.loosened_break)):
                found = broken()
                if found is not None:
                    return 0, f"the log of {log}: {found.kind.value} at row {found.number}: {found.detail}"
            return journal.chain_head().number, ""

    async def addresses_checked(self) -> Verdict:
        """D07; also of a config that has other mistakes."""
        try:
            servers = self.config.servers if self.config else read_yaml(self.config_file).data.get("servers")
        except CatalystError as error:
            return skipped(f"no address can be read: {error.message.splitlines()[0]}")
        if not isinstance(servers, list | tuple) or not all(isinstance(each, str) for each in servers):
            return fail("the config names no server addresses", "write `servers: [tls://host:port]`, as in the invite")
        try:
            checked = servers_checked(list(servers))
        except PlaintextRefused as error:
            return fail(error.message, error.hint)
        if self.config is None:
            return skipped(f"{', '.join(checked)} could be dialled, but the config has mistakes (D01)")
        return ok(", ".join(checked))

    async def backlog_counted(self) -> Verdict:
        """D22."""
        with self.journal() as journal:
            oldest = journal.undecided(1)
            oldest_s = (self.clock() - oldest[0].received_at).total_seconds() if oldest else None
            backlog = Backlog(journal.undecided_count(), oldest_s, journal.parked_count())
        return judged_backlog(backlog, is_running=self.is_running())

    async def latches_read(self) -> Verdict:
        """D23."""
        with self.journal() as journal:
            found = {name: journal.latch(name) for name in (LOCAL_LATCH, OPERATOR_LATCH, OPERATOR_USER_LATCH)}
            flags = known_from(journal.meta(FLAGS)).held.reasons
            held = [*(f"the operator's flag {each}" for each in flags), *self._holds(journal)]
        set_ = {name: (each.value, each.reason) for name, each in found.items() if each is not None}
        return judged_latches(set_, held)

    def _holds(self, journal: Journal) -> list[str]:
        now = self.clock()
        word = last_word(journal, self.settings)
        situation = Situation(journal, word.engine)
        book = situation.book(situation.holdings(word.gathered, now), now)
        try:
            ledger = LedgerKeeper(journal, NYSE).preview(book.equity, now)
        except (KeyError, ValueError) as error:
            raise StorageFailed(f"the ledger of losses cannot be read: {error}") from error
        return [
            f"{each.name} since {each.since} ({each.ends})" for each in holds(ledger, self.settings.risk, NYSE, now)
        ]

    async def calendar_looked_at(self) -> Verdict:
        """D25."""
        return judged_calendar(NYSE, self.clock(), self.settings.risk.sessions)

    # What the server's checks want to know of the journal -------------------------------------------------------

    def noted_beat(self) -> Beat | None:
        """The publisher's last sign of life that an agent noted; None without one that can be read."""
        try:
            with self.journal() as journal:
                text = journal.meta("heartbeat")
            found = orjson.loads(text) if text else {}
            age_s = (self.clock() - datetime.fromisoformat(found["at"])).total_seconds()
            return Beat(age_s, str(found["state"]))
        except (CatalystError, ValueError, KeyError, TypeError):
            return None

    def noted(self, key: str) -> str | None:
        """A note of the journal; None without a journal that can be read."""
        try:
            with self.journal() as journal:
                return journal.meta(key)
        except CatalystError:
            return None

    def arrivals_s(self) -> list[float]:
        """How old the latest signals were when they came, in seconds; those that had waited for us left out."""
        try:
            with self.journal() as journal:
                rows = journal.signals(_LATEST_SIGNALS)
        except CatalystError:
            return []
        ages = ((row.received_at - row.published_at).total_seconds() for row in rows)
        return [each for each in ages if 0 <= each <= _LIVE_ARRIVAL_S]


def _existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that is there."""
    return next(each for each in (folder.absolute(), *folder.absolute().parents) if each.exists())
