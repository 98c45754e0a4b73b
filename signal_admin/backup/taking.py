"""Takes a backup, and verifies the file that it made: unpacked and put back as a restore would."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from signal_admin.audit import record
from signal_admin.backup.archive import pack, unpack
from signal_admin.backup.files import SCRATCH_PREFIX
from signal_admin.backup.manifest import Manifest
from signal_admin.backup.outbox_copy import waiting_count
from signal_admin.backup.private_files import scratch_folder
from signal_admin.backup.spool import Spool, gathered, one_at_a_time
from signal_admin.backup.verifying import Verdict, verified
from signal_admin.desk import Desk
from signal_admin.dial import dial
from signal_contract.errors import Conflict, CredsInvalid, LinkError, StorageFailed
from signal_contract.permissions import RoleName

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Taken:
    """A backup at `file`; `waiting` signals in it were not sent yet. `verdict` is None if it was not checked."""

    file: Path
    bytes: int
    manifest: Manifest
    waiting: int
    verdict: Verdict | None


async def take_backup(
    desk: Desk, target: Path, passphrase: str | None, say: Say, *, is_checked: bool = True, binary: Path | None = None
) -> Taken:
    """Write a backup to `target`, under `passphrase` unless it is None, and check the file itself.

    Raises Conflict (the file exists), AlreadyRunning, StorageFailed, InputError (weak passphrase) and what `gathered`
    raises.
    """
    _is_free(target)
    with one_at_a_time(desk), scratch_folder(desk.root, SCRATCH_PREFIX) as scratch:
        spool = await gathered(desk, scratch, say, binary=binary)
        waiting = await asyncio.to_thread(waiting_count, spool.desk.publisher / "outbox.sqlite")
        say(f"writing {target} …")
        await asyncio.to_thread(pack, target, spool.manifest, spool.root, passphrase)
        verdict = await verified_file(target, passphrase, scratch / "check", say, binary=binary) if is_checked else None
        await _noted(desk, spool, target, passphrase is not None)
    return Taken(target, _size(target), spool.manifest, waiting, verdict)


async def verified_file(
    file: Path, passphrase: str | None, scratch: Path, say: Say, *, binary: Path | None = None
) -> Verdict:
    """Unpack a backup below `scratch` (made here) and look at all of it; raises StorageFailed, CredsInvalid."""
    try:
        scratch.mkdir(mode=0o700)  # noqa: ASYNC240  # one folder, at once
    except OSError as error:
        raise StorageFailed(f"cannot work in {scratch}: {error.strerror or error}") from error
    say("checking the backup …")
    manifest = await asyncio.to_thread(unpack, file, scratch / "spool", passphrase, lambda _: None)
    return await verified(Spool(manifest, scratch / "spool"), scratch, say, binary=binary)


async def verified_directory(desk: Desk, say: Say, *, binary: Path | None = None) -> Verdict:
    """Look at all of a data directory, whether its server runs or not, by way of a copy of it."""
    with one_at_a_time(desk), scratch_folder(desk.root, SCRATCH_PREFIX) as scratch:
        spool = await gathered(desk, scratch, say, binary=binary)
        return await verified(spool, scratch, say, binary=binary)


def _is_free(target: Path) -> None:
    if target.exists():
        raise Conflict(f"{target} exists already; a backup is never written over another", hint="Choose another name.")
    if not target.parent.is_dir():
        raise StorageFailed(f"there is no folder {target.parent}", hint="Make it, or name another one with --to.")


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise StorageFailed(f"{path} is gone: {error.strerror or error}") from error


async def _noted(desk: Desk, spool: Spool, target: Path, is_sealed: bool) -> None:
    ends = {each.name: each.last_sequence for each in spool.manifest.streams}
    after = {"file": target.name, "passphrase": is_sealed, "last_sequences": ends}
    try:
        async with dial(desk, RoleName.ADMIN, "catalyst-backup", connect_timeout_s=2.0) as link:
            await record(link, desk, action="backup", target="wire", before=None, after=after)
    except (LinkError, CredsInvalid):
        await record(None, desk, action="backup", target="wire", before=None, after=after)
