"""Takes the identity keys (operator, accounts) off this machine and brings them back.

Daily work needs signing keys only: account JWTs are signed by the operator's signing key, users by their role's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from signal_admin.desk import Desk
from signal_admin.issuing import issue_accounts
from signal_admin.registry import registry_locked
from signal_admin.seeds import (
    bundle_from,
    change_seeds,
    has_passphrase,
    read_seeds,
    seeds_from,
    vault_held,
    vault_passphrase,
)
from signal_admin.vault import first_identity_names, identity_names, read_public, read_vault
from signal_contract.creds import read_secret, write_secret
from signal_contract.errors import Conflict, CredsInvalid, InputError, NotFound, StorageFailed
from signal_contract.nkey import KeyPair
from signal_contract.sealed import is_sealed, sealed, unsealed

_PLAIN, _SEALED = "catalyst-identity.json", "catalyst-identity.age"
_MAX_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Moved:
    """Which file holds the identity keys outside the vault, and their public halves by name."""

    file: Path
    public_keys: Mapping[str, str]


def export_offline(desk: Desk, folder: Path, *, now: datetime) -> Moved:
    """Copy the identity keys to `folder` (a stick, another disk), check the copy, then remove them from the vault.

    The copy is under the vault's passphrase when there is one. Raises InputError for a folder inside the data
    directory, Conflict when the keys are away already or the folder holds others, StorageFailed.
    """
    place = folder.expanduser().absolute()
    if place.resolve().is_relative_to(desk.root.resolve()):
        raise InputError(f"{place} lies in the data directory", hint="Name a folder on a stick or on another machine.")
    vault = read_vault(desk.vault)
    if not vault.has_identity:
        raise Conflict(
            "the identity keys are offline already", hint="`catalyst vault import-offline` brings them back."
        )
    with registry_locked(desk):
        # All that they have to sign is signed while they are still here.
        issue_accounts(desk, vault, now)
    with vault_held(desk.vault):
        found = read_seeds(desk.vault)
        seeds = {name: found[name] for name in identity_names()}
        file = _copied(place, seeds, vault_passphrase() if has_passphrase(desk.vault) else None)
        change_seeds(desk.vault, {}, remove=seeds)
    return Moved(file, _publics(seeds))


def import_offline(desk: Desk, folder: Path) -> Moved:
    """Bring the identity keys back into the vault; the copy in `folder` stays.

    Raises NotFound, CredsInvalid when they are damaged, readable by others or of another operator.
    """
    place = folder.expanduser().absolute()
    file = next((place / name for name in (_SEALED, _PLAIN) if (place / name).exists()), None)
    if file is None:
        raise NotFound(f"{place} holds no identity keys", hint=f"There should be a file {_PLAIN} or {_SEALED} in it.")
    seeds = _read_copy(file)
    public = read_public(desk.vault) or {}
    if _publics(seeds) != {name: public.get(name) for name in seeds}:
        raise CredsInvalid(f"{file} holds the identity of another operator", hint="Name the right folder.")
    with vault_held(desk.vault):
        # A copy from before the newest account lacks its key; then it has to be here already.
        absent = (set(identity_names()) & set(public)) - set(seeds) - set(read_seeds(desk.vault))
        if absent:
            raise CredsInvalid(f"{file} lacks {', '.join(sorted(absent))}", hint="Use a newer copy of it.")
        change_seeds(desk.vault, seeds)
    read_vault(desk.vault)
    return Moved(file, _publics(seeds))


def _publics(seeds: Mapping[str, str]) -> dict[str, str]:
    return {name: KeyPair.from_seed(seed).public for name, seed in seeds.items()}


def _copied(place: Path, seeds: Mapping[str, str], passphrase: str | None) -> Path:
    file = place / (_PLAIN if passphrase is None else _SEALED)
    if file.exists():
        # An export that was cut short is finished, one from before the newest account is completed; keys of another
        # operator are not overwritten.
        found = _read_copy(file)
        if not found.items() <= seeds.items():
            raise Conflict(f"{file} holds other keys", hint="Name another folder.")
        if found == dict(seeds):
            return file
    content = bundle_from(seeds)
    try:
        write_secret(file, content.decode() if passphrase is None else sealed(content, passphrase))
    except OSError as error:
        raise StorageFailed(f"cannot write {file}: {error.strerror or error}", hint="Nothing was removed.") from error
    if _read_copy(file) != dict(seeds):
        raise StorageFailed(f"{file} does not hold what was written to it", hint="Nothing was removed. Check the disk.")
    return file


def _read_copy(file: Path) -> dict[str, str]:
    content = read_secret(file, what="identity file", max_bytes=_MAX_BYTES).encode()
    plain = unsealed(content, vault_passphrase()) if is_sealed(content) else content
    seeds = seeds_from(plain, file)
    if not set(first_identity_names()) <= set(seeds) <= set(identity_names()):
        raise CredsInvalid(f"{file} does not hold the identity keys", hint="Use another copy of it.")
    return seeds
