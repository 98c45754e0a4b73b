"""Measures what is on the operator's own machine: data directory, creds, vault, certificate, the publisher's note."""

from __future__ import annotations

import shutil
import stat
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import orjson

from signal_admin.desk import Desk, ServerRecord, data_directory
from signal_admin.doctor.judging import PublisherState, judged_expiries, judged_publisher, judged_word
from signal_admin.issuing import OWN_ROLES
from signal_admin.registry import User, all_users
from signal_admin.seeds import has_passphrase
from signal_admin.server.orphan import orphan_of
from signal_admin.settings import UpSettings, is_local, kept_settings
from signal_admin.standing import read_standing
from signal_admin.vault import read_public, read_vault, role_file
from signal_contract.creds import read_creds
from signal_contract.doctor.finding import Verdict, fail, ok, warn
from signal_contract.doctor.judging import judged_disk
from signal_contract.errors import CredsInvalid, NotFound
from signal_contract.permissions import RoleName

_STATE_FILE = "state.json"


@dataclass(slots=True)
class Office:
    """The data directory as far as it could be read; filled by the first checks, read by the later ones."""

    chosen: Path | None
    clock: Callable[[], datetime]
    desk: Desk | None = None
    settings: UpSettings | None = None
    record: ServerRecord | None = None

    @property
    def here(self) -> Desk:
        """The desk, for checks that need D01. Raises NotFound without one."""
        if self.desk is None:
            raise NotFound("there is no data directory")
        return self.desk

    def users(self) -> tuple[User, ...]:
        """The friends who have or had access; raises StorageFailed."""
        return tuple(user for user in all_users(self.here) if not user.is_leaving)

    async def directory_read(self) -> Verdict:
        """D01."""
        desk = Desk(data_directory(self.chosen))
        if not desk.vault.is_dir():
            return fail(f"{desk.root} is not the data directory of an operator")
        self.desk = desk
        self.settings = kept_settings(desk)
        count = len(self.users())
        return ok(f"{desk.root}, {count} friends")

    async def creds_read(self) -> Verdict:
        """D02."""
        for role in OWN_ROLES:
            read_creds(self.here.role_creds(role.value), role=role.value)
        return ok(f"{len(OWN_ROLES)} files of your own programs")

    async def expiries_looked_at(self) -> Verdict:
        """D03."""
        return judged_expiries(self.users(), self.clock())

    async def disk_measured(self) -> Verdict:
        """D04."""
        usage = shutil.disk_usage(self.here.root)
        return judged_disk([(str(self.here.root), usage.free, usage.total)])

    async def server_found(self) -> Verdict:
        """D07: whether a server of this directory runs, and whether friends elsewhere could use it."""
        desk = self.here
        record = desk.server_record()
        if record is None:
            return fail(f"no server runs on {desk.root}")
        if orphan_of(desk.nats_pid, desk.server_conf) is None:
            return fail(f"the server that was noted (pid {record.nats_pid}) does not run any more")
        self.record = record
        settings = self.settings or UpSettings()
        if not settings.has_tls and not is_local(settings.listen_host):
            return warn(f"{record.url} listens on {settings.listen_host} in clear text, which agents elsewhere refuse")
        return ok(record.url)

    async def vault_read(self) -> Verdict:
        """D27: as a whole where it has no passphrase; else the files and their modes."""
        folder = self.here.vault
        public = read_public(folder)
        _private_checked(folder)
        if has_passphrase(folder):
            return ok("under a passphrase: its files are there, and private")
        # Opening a vault that lacks the keys of later roles would make them; that is for `catalyst up`.
        if public is None or not all(role_file(role) in public for role in RoleName):
            return warn("it is of an earlier version", "start `catalyst up` once: it adds what is new")
        vault = read_vault(folder)
        where = "" if vault.has_identity else "; the identity keys are kept elsewhere"
        return ok(f"every key is there and fits its public half{where}")

    def publisher_state(self) -> PublisherState | None:
        """What the publisher last noted in its folder; None when there is none, or it cannot be read."""
        try:
            found = orjson.loads((self.here.publisher / _STATE_FILE).read_bytes())
            age_s = (self.clock() - datetime.fromisoformat(found["at"])).total_seconds()
            return PublisherState(age_s, str(found["state"]), str(found["reason"])[:200], int(found["waiting"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    async def publisher_looked_at(self) -> Verdict:
        """D28."""
        return judged_publisher(self.publisher_state())

    async def word_read(self) -> Verdict:
        """D23."""
        return judged_word(read_standing(self.here), tuple(user.name for user in self.users()))


def _private_checked(folder: Path) -> None:
    """Raise CredsInvalid for a file of the vault that others can read."""
    for path in sorted(folder.iterdir()):
        mode = stat.S_IMODE(path.stat().st_mode)
        if path.is_file() and mode & 0o077 and path.suffix in (".seed", ".age", ".key"):
            raise CredsInvalid(f"{path} can be read by others (mode {mode:04o})", hint=f"Run: chmod 600 {path}")
