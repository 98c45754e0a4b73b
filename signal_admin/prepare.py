"""Makes a data directory ready to run: vault, JWTs, own creds, certificate, store key. Starts nothing.

`catalyst init` stops here, `catalyst up` begins here; doing it twice changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

import filelock

from signal_admin.desk import Desk
from signal_admin.issuing import OWN_ROLES, IssuedAccounts, issue_accounts, issue_own_creds
from signal_admin.registry import registry_locked
from signal_admin.settings import UpSettings, checked, is_local, keep_settings
from signal_admin.store_key import is_encrypted, store_key
from signal_admin.tls import Certificate, prepared
from signal_admin.vault import make_vault, read_vault
from signal_contract.errors import AlreadyRunning


@dataclass(frozen=True, slots=True)
class Ready:
    """What the server is started with. `made` names the files of this directory that were made or renewed now."""

    settings: UpSettings
    issued: IssuedAccounts
    certificate: Certificate | None
    store_key: str | None = field(repr=False)
    is_to_encrypt: bool = False  # streams are there and still plain
    made: tuple[Path, ...] = ()


@contextmanager
def held(desk: Desk) -> Iterator[None]:
    """Hold the directory: one `catalyst up` or `catalyst init` at a time; raises AlreadyRunning."""
    lock = filelock.FileLock(desk.lock)
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout as error:
        record = desk.server_record()
        who = f"pid {record.pid}, at {record.url}" if record else "it is still starting or stopping"
        raise AlreadyRunning(f"`catalyst up` is running already on {desk.root} ({who})") from error
    try:
        yield
    finally:
        lock.release()


def make_ready(desk: Desk, settings: UpSettings, now: datetime) -> Ready:
    """Make what is missing, renew what is due, and keep the settings. The directory must be held.

    Raises CredsInvalid (vault, TLS key), ConfigInvalid, StoreKeyMissing or StorageFailed, before anything is started.
    """
    checked(settings)
    before = _contents(desk)
    # The key first: if it is missing, nothing else may change.
    key = store_key(desk, wanted=settings.encrypt) if desk.vault.exists() else None
    make_vault(desk.vault)
    key = key or store_key(desk, wanted=settings.encrypt)
    vault = read_vault(desk.vault)
    with registry_locked(desk):
        issued = issue_accounts(desk, vault, now)
    issue_own_creds(desk, vault, now)
    certificate = prepared(desk, settings, now)
    settings = replace(_with_names(settings, certificate), encrypt=key is not None)
    keep_settings(desk, settings)
    made = tuple(path for path, content in _contents(desk).items() if before.get(path) != content)
    is_to_encrypt = key is not None and desk.stream_json.exists() and not is_encrypted(desk)
    return Ready(settings, issued, certificate, key, is_to_encrypt, made)


def _with_names(settings: UpSettings, certificate: Certificate | None) -> UpSettings:
    """With the operator's own certificate and no names given, the names in it are the public ones."""
    if settings.tls_hosts or certificate is None:
        return settings
    names = (each for each in certificate.names if not each.startswith("*.") and not is_local(each))
    return replace(settings, tls_hosts=tuple(names) or certificate.names[:1])


def _contents(desk: Desk) -> dict[Path, bytes]:
    files = [
        desk.settings_json,
        *(desk.role_creds(role.value) for role in OWN_ROLES),
        *(desk.tls / name for name in ("ca.pem", "server.pem")),
        desk.store_key,
        *desk.accounts.glob("*.jwt"),
    ]
    found = {path: path.read_bytes() for path in files if path.is_file()}
    return found | ({desk.vault: b""} if desk.vault.is_dir() else {})
