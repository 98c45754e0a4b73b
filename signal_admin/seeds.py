"""Where the vault's seeds lie: one 0600 file each, or all of them in one age file under a passphrase.

Knows names and texts, not what a key is for. Whoever changes them holds `vault_held`.
"""

from __future__ import annotations

import getpass
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

import filelock
import orjson

from signal_contract.creds import read_secret, write_secret
from signal_contract.errors import Conflict, CredsInvalid, InputError, StorageFailed
from signal_contract.sealed import passphrase_checked, sealed, unsealed

PASSPHRASE_VARIABLE = "CATALYST_VAULT_PASSPHRASE"  # noqa: S105  # the name of a variable
NEW_PASSPHRASE_VARIABLE = "CATALYST_VAULT_NEW_PASSPHRASE"  # noqa: S105
_MAX_BUNDLE_BYTES = 256 * 1024
_LOCK_PATIENCE_S = 30.0


def seed_file(folder: Path, name: str) -> Path:
    """Where a seed lies while the vault has no passphrase."""
    return folder / f"{name}.seed"


def bundle_file(folder: Path) -> Path:
    """Where all seeds lie once it has one."""
    return folder / "vault.age"


def has_passphrase(folder: Path) -> bool:
    return bundle_file(folder).exists()


@contextmanager
def vault_held(folder: Path) -> Iterator[None]:
    """Let nobody else change the vault meanwhile; raises Conflict after 30 s of waiting."""
    try:
        with filelock.FileLock(folder.with_name(f".{folder.name}.lock"), timeout=_LOCK_PATIENCE_S, mode=0o600):
            yield
    except filelock.Timeout as error:
        raise Conflict("another command is changing the vault right now", hint="Try again in a moment.") from error


# The passphrase -------------------------------------------------------------------------------------------------


@lru_cache(maxsize=2)
def _typed(prompt: str) -> str:
    """What the operator types, unseen; asked once in the life of a process."""
    return getpass.getpass(prompt)


def passphrase_told(variable: str) -> str | None:
    """The passphrase from an environment variable, or from the 0600 file that `<variable>_FILE` names, or None."""
    if os.environ.get(variable):
        return os.environ[variable]
    named = os.environ.get(f"{variable}_FILE")
    return read_secret(Path(named), what="passphrase file").rstrip("\r\n") if named else None


def can_ask() -> bool:
    """Whether somebody sits at a terminal."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def vault_passphrase() -> str:
    """The passphrase as told or typed; raises CredsInvalid when there is neither and no terminal."""
    told = passphrase_told(PASSPHRASE_VARIABLE)
    if told is not None:
        return told
    if not can_ask():
        raise CredsInvalid(
            "the vault is under a passphrase, and there is no terminal to ask for it",
            hint=f"Put it into {PASSPHRASE_VARIABLE}, or name a 0600 file with it in {PASSPHRASE_VARIABLE}_FILE.",
        )
    return _typed("passphrase of the vault: ")


def new_passphrase() -> str:
    """A new passphrase: as told by the environment, else typed twice.

    For a vault that has none yet, the variable of the passphrase in force will do. Raises InputError for a weak one or
    two different ones, CredsInvalid when there is no terminal.
    """
    told = passphrase_told(NEW_PASSPHRASE_VARIABLE) or passphrase_told(PASSPHRASE_VARIABLE)
    if told is not None:
        return passphrase_checked(told)
    if not can_ask():
        raise CredsInvalid(
            "there is no terminal to ask for the new passphrase",
            hint=f"Put it into {NEW_PASSPHRASE_VARIABLE}, or name a 0600 file in {NEW_PASSPHRASE_VARIABLE}_FILE.",
        )
    first = passphrase_checked(getpass.getpass("new passphrase of the vault: "))
    if getpass.getpass("once more: ") != first:
        raise InputError("the two passphrases differ", hint="Nothing was changed. Try again.")
    return first


# Reading and changing -------------------------------------------------------------------------------------------


def read_seeds(folder: Path) -> dict[str, str]:
    """Every seed by its name. Raises CredsInvalid: readable by others, damaged, no or a wrong passphrase."""
    if has_passphrase(folder):
        return _opened(folder)
    return {
        path.stem: read_secret(path, what="vault file").strip()
        for path in sorted(folder.glob("*.seed"))
        if not path.name.startswith(".")
    }


def _opened(folder: Path) -> dict[str, str]:
    path = bundle_file(folder)
    content = read_secret(path, what="vault file", max_bytes=_MAX_BUNDLE_BYTES)
    try:
        plain = unsealed(content.encode(), vault_passphrase())
    except CredsInvalid as error:
        _typed.cache_clear()
        raise CredsInvalid(f"the vault {path}: {error.message}", hint=error.hint) from error
    return seeds_from(plain, path)


def seeds_from(plain: bytes, path: Path) -> dict[str, str]:
    """The seeds in a bundle's content, which came from `path`; raises CredsInvalid."""
    try:
        found = orjson.loads(plain)
    except orjson.JSONDecodeError:
        found = None
    if not isinstance(found, dict) or not all(isinstance(each, str) for each in found.values()):
        raise CredsInvalid(f"{path} does not hold seeds", hint="Restore it from your backup.")
    return found


def bundle_from(seeds: Mapping[str, str]) -> bytes:
    """The bundle's content for these seeds."""
    return orjson.dumps(dict(seeds), option=orjson.OPT_SORT_KEYS | orjson.OPT_INDENT_2) + b"\n"


def change_seeds(folder: Path, add: Mapping[str, str], remove: Iterable[str] = ()) -> None:
    """Add or replace seeds, then remove others; with a passphrase it is one step. The vault must be held."""
    gone = set(remove)
    if has_passphrase(folder):
        seeds = {name: seed for name, seed in {**_opened(folder), **add}.items() if name not in gone}
        _seal(folder, seeds, vault_passphrase())
        return
    try:
        for name, seed in add.items():
            write_secret(seed_file(folder, name), seed + "\n")
        for name in gone:
            seed_file(folder, name).unlink(missing_ok=True)
    except OSError as error:
        raise StorageFailed(f"cannot write the vault {folder}: {error.strerror or error}") from error


def _seal(folder: Path, seeds: Mapping[str, str], passphrase: str) -> None:
    plain = bundle_from(seeds)
    content = sealed(plain, passphrase)
    # What cannot be opened again must not take the place of what can.
    if unsealed(content.encode(), passphrase) != plain:
        raise StorageFailed("the encrypted vault does not open again; nothing was changed")
    path = bundle_file(folder)
    try:
        write_secret(path, content)
    except OSError as error:
        raise StorageFailed(f"cannot write {path}: {error.strerror or error}") from error
    if read_secret(path, what="vault file", max_bytes=_MAX_BUNDLE_BYTES) != content:
        raise StorageFailed(f"{path} does not hold what was written to it", hint="Check the disk.")


def set_passphrase(folder: Path, passphrase: str) -> None:
    """Put every seed under this passphrase, or under it instead of the one before; plain files go last.

    Raises InputError for a weak one. Running it again finishes what a crash left half done.
    """
    with vault_held(folder):
        _seal(folder, read_seeds(folder), passphrase)
        for path in folder.glob("*.seed"):
            path.unlink()


def remove_passphrase(folder: Path) -> None:
    """Write every seed to a 0600 file of its own again, check them, then remove the encrypted bundle."""
    with vault_held(folder):
        if not has_passphrase(folder):
            raise Conflict("the vault is under no passphrase", hint="`catalyst vault set-passphrase` sets one.")
        seeds = _opened(folder)
        for name, seed in seeds.items():
            path = seed_file(folder, name)
            write_secret(path, seed + "\n")
            if read_secret(path, what="vault file").strip() != seed:
                raise StorageFailed(f"{path} does not hold what was written to it", hint="Check the disk.")
        bundle_file(folder).unlink()
