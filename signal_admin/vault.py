"""The vault: every secret seed of the operator, one 0600 file each. Made once, never overwritten."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from signal_contract.creds import read_secret, write_secret
from signal_contract.errors import CredsInvalid, StorageFailed
from signal_contract.nkey import KeyKind, KeyPair
from signal_contract.permissions import RoleName
from signal_contract.signing import Signer
from signal_contract.topology import Account

_OPERATOR, _OPERATOR_SIGNING, _MESSAGE_SIGNING = "operator", "operator-signing", "message-signing"


@dataclass(frozen=True, slots=True)
class Vault:
    """All keys of the operator, open. Its repr shows public halves only."""

    operator: KeyPair
    operator_signing: KeyPair
    accounts: Mapping[Account, KeyPair]
    roles: Mapping[RoleName, KeyPair]
    signer: Signer = field(repr=False)

    @property
    def account_keys(self) -> dict[Account, str]:
        return {account: pair.public for account, pair in self.accounts.items()}

    @property
    def role_keys(self) -> dict[RoleName, str]:
        return {role: pair.public for role, pair in self.roles.items()}


def _file(folder: Path, name: str) -> Path:
    return folder / f"{name}.seed"


def _account_file(account: Account) -> str:
    return f"account-{account.value.lower()}"


def _role_file(role: RoleName) -> str:
    return f"role-{role.value}"


def make_vault(folder: Path) -> None:
    """Make every key, unless the vault is there. All or nothing: a half-made vault would be taken for a damaged one."""
    if folder.exists():
        return
    draft = folder.with_name(f".{folder.name}.new")
    try:
        if draft.exists():
            shutil.rmtree(draft)
        draft.mkdir(mode=0o700, parents=True)
        for name in (_OPERATOR, _OPERATOR_SIGNING):
            write_secret(_file(draft, name), KeyPair.generate(KeyKind.OPERATOR).seed + "\n")
        for name in (*map(_account_file, Account), *map(_role_file, RoleName)):
            write_secret(_file(draft, name), KeyPair.generate(KeyKind.ACCOUNT).seed + "\n")
        write_secret(_file(draft, _MESSAGE_SIGNING), Signer.generate().secret_text + "\n")
        draft.rename(folder)
    except OSError as error:
        raise StorageFailed(f"cannot make the vault {folder}: {error.strerror or error}") from error


def read_vault(folder: Path) -> Vault:
    """Read every key; raises CredsInvalid when one is missing, damaged, of another kind or readable by others.

    A missing key is not made again: everyone whom it signed would be refused without a word.
    """
    return Vault(
        operator=_pair(folder, _OPERATOR, KeyKind.OPERATOR),
        operator_signing=_pair(folder, _OPERATOR_SIGNING, KeyKind.OPERATOR),
        accounts={account: _pair(folder, _account_file(account), KeyKind.ACCOUNT) for account in Account},
        roles={role: _pair(folder, _role_file(role), KeyKind.ACCOUNT) for role in RoleName},
        signer=Signer.from_secret_text(_secret(folder, _MESSAGE_SIGNING)),
    )


def _secret(folder: Path, name: str) -> str:
    path = _file(folder, name)
    if not path.exists():
        raise CredsInvalid(f"the vault lacks {path}", hint="Restore the whole vault folder from your backup.")
    return read_secret(path, what="vault file").strip()


def _pair(folder: Path, name: str, kind: KeyKind) -> KeyPair:
    try:
        pair = KeyPair.from_seed(_secret(folder, name))
    except CredsInvalid as error:
        raise CredsInvalid(f"vault key {name}: {error.message}", hint=error.hint) from error
    if pair.kind is not kind:
        raise CredsInvalid(f"vault key {name} is of another kind", hint="Restore the vault folder from your backup.")
    return pair
