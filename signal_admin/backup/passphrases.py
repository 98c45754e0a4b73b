"""The passphrase of a backup: from the environment, from a 0600 file that it names, or typed. Never from an option."""

from __future__ import annotations

import getpass

from signal_admin.seeds import can_ask, passphrase_told
from signal_contract.errors import CredsInvalid, InputError
from signal_contract.sealed import passphrase_checked

VARIABLE = "CATALYST_BACKUP_PASSPHRASE"
_HINT = f"Put it into {VARIABLE}, or name a 0600 file with it in {VARIABLE}_FILE."


def new_passphrase() -> str:
    """The passphrase for a new backup, typed twice where it is not told. Raises InputError, CredsInvalid."""
    told = passphrase_told(VARIABLE)
    if told is not None:
        return passphrase_checked(told)
    if not can_ask():
        raise CredsInvalid(
            "a backup holds every key, and there is no terminal to ask for its passphrase",
            hint=f"{_HINT} Or say --plain, and keep the file as you keep the vault.",
        )
    first = passphrase_checked(getpass.getpass("passphrase for this backup: "))
    if getpass.getpass("once more: ") != first:
        raise InputError("the two passphrases differ", hint="Nothing was written. Try again.")
    return first


def passphrase_of_file() -> str:
    """The passphrase that opens a backup; raises CredsInvalid when it is not told and there is no terminal."""
    told = passphrase_told(VARIABLE)
    if told is not None:
        return told
    if not can_ask():
        raise CredsInvalid("the backup is under a passphrase, and there is no terminal to ask for it", hint=_HINT)
    return getpass.getpass("passphrase of the backup: ")
