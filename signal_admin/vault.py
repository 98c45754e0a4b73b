"""The vault: every secret key of the operator. Made once, never overwritten; checked as a whole whenever it is opened.

Identity keys (operator, accounts) say who the operator is and can be kept off this machine; signing keys do the daily
work. `public.json` holds the public halves, so that a missing or exchanged key is noticed.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import orjson

from signal_admin.seeds import change_seeds, read_seeds, seed_file, vault_held
from signal_contract.creds import read_secret, write_secret
from signal_contract.errors import CredsInvalid, IdentityOffline, InputError, StorageFailed
from signal_contract.nkey import KeyKind, KeyPair
from signal_contract.permissions import RoleName
from signal_contract.signing import Signer
from signal_contract.topology import Account

OPERATOR, OPERATOR_SIGNING = "operator", "operator-signing"
MESSAGE_SIGNING, MESSAGE_SIGNING_NEXT = "message-signing", "message-signing-next"
# A vault of the first version has these only; the keys of later accounts and roles are made when it is opened.
_FIRST_ACCOUNTS = frozenset({Account.SYS, Account.SIGNALS, Account.FRIENDS})
_FIRST_ROLES = frozenset({RoleName.PUBLISHER, RoleName.SUBSCRIBER, RoleName.MONITOR, RoleName.ADMIN})
_BACKUP = "Restore the whole vault folder from your backup."


@dataclass(frozen=True, slots=True)
class Vault:
    """The operator's keys, open. Its repr shows public halves only.

    `identity` lacks the operator's key while those keys are away; that of a later account can be there all the same.
    """

    operator_key: str
    account_keys: Mapping[Account, str]
    operator_signing: KeyPair
    roles: Mapping[RoleName, KeyPair]
    signer: Signer
    next_signer: Signer | None = None
    identity: Mapping[str, KeyPair] = field(default_factory=dict, repr=False)

    @property
    def role_keys(self) -> dict[RoleName, str]:
        return {role: pair.public for role, pair in self.roles.items()}

    @property
    def has_identity(self) -> bool:
        return OPERATOR in self.identity

    @property
    def operator(self) -> KeyPair:
        """The operator's identity key, which signs the operator JWT only; raises IdentityOffline."""
        return self._identity(OPERATOR)

    @property
    def accounts(self) -> dict[Account, KeyPair]:
        """The accounts' identity keys; raises IdentityOffline."""
        return {account: self._identity(account_file(account)) for account in Account}

    def _identity(self, name: str) -> KeyPair:
        if name not in self.identity:
            raise IdentityOffline(f"this needs the identity key {name!r}, which is kept offline")
        return self.identity[name]


def account_file(account: Account) -> str:
    """The name of an account's identity key."""
    return f"account-{account.value.lower()}"


def role_file(role: RoleName) -> str:
    """The name of a role's signing key."""
    return f"role-{role.value}"


def identity_names() -> tuple[str, ...]:
    """The keys that can be kept offline."""
    return (OPERATOR, *map(account_file, Account))


def first_identity_names() -> tuple[str, ...]:
    """Those that a copy of the first version holds: keys of later accounts may be missing in it."""
    return (OPERATOR, *map(account_file, sorted(_FIRST_ACCOUNTS)))


def public_file(folder: Path) -> Path:
    """Where the public halves are listed."""
    return folder / "public.json"


def make_vault(folder: Path) -> None:
    """Make every key, unless the vault is there. All or nothing: a half-made vault would be taken for a damaged one."""
    if folder.exists():
        return
    draft = folder.with_name(f".{folder.name}.new")
    seeds = {name: KeyPair.generate(KeyKind.OPERATOR).seed for name in (OPERATOR, OPERATOR_SIGNING)}
    seeds |= {name: KeyPair.generate(KeyKind.ACCOUNT).seed for name in _account_and_role_names()}
    seeds[MESSAGE_SIGNING] = Signer.generate().secret_text
    try:
        if draft.exists():
            shutil.rmtree(draft)
        draft.mkdir(mode=0o700, parents=True)
        for name, seed in seeds.items():
            write_secret(seed_file(draft, name), seed + "\n")
        _write_public(draft, _publics_of(seeds))
        draft.rename(folder)
    except OSError as error:
        raise StorageFailed(f"cannot make the vault {folder}: {error.strerror or error}") from error


def read_vault(folder: Path) -> Vault:
    """Open the vault; raises CredsInvalid when a key is missing, damaged, exchanged or readable by others.

    A missing key is not made again: everyone whom it signed would be refused without a word. Only the keys of
    accounts and roles that are newer than the vault are made here, once.
    """
    seeds, public = read_seeds(folder), read_public(folder)
    if public is None or not set(public) >= set(_account_and_role_names()):
        seeds, public = _completed(folder)
    identity = {name: _pair(seeds, name, public[name]) for name in identity_names() if name in seeds}
    # The key of an account that was added while the others were away is here alone.
    if identity.keys() & set(first_identity_names()) and len(identity) < len(identity_names()):
        absent = ", ".join(name for name in identity_names() if name not in identity)
        raise CredsInvalid(f"the vault {folder} lacks {absent}", hint=_BACKUP)
    return Vault(
        operator_key=public[OPERATOR],
        account_keys={account: public[account_file(account)] for account in Account},
        operator_signing=_pair(seeds, OPERATOR_SIGNING, public[OPERATOR_SIGNING]),
        roles={role: _pair(seeds, role_file(role), public[role_file(role)]) for role in RoleName},
        signer=_signer(seeds, MESSAGE_SIGNING),
        next_signer=_signer(seeds, MESSAGE_SIGNING_NEXT) if MESSAGE_SIGNING_NEXT in seeds else None,
        identity=identity,
    )


def read_public(folder: Path) -> dict[str, str] | None:
    """The public half of every key by its name, or None in a vault of the first version; raises CredsInvalid."""
    path = public_file(folder)
    if not path.exists():
        return None
    try:
        found = orjson.loads(read_secret(path, what="vault file"))
    except orjson.JSONDecodeError:
        found = None
    needed = {OPERATOR_SIGNING, *first_identity_names()}
    if not isinstance(found, dict) or not needed <= set(found) or not all(isinstance(v, str) for v in found.values()):
        raise CredsInvalid(f"{path} is damaged", hint=_BACKUP)
    return found


def _write_public(folder: Path, public: Mapping[str, str]) -> None:
    write_secret(public_file(folder), orjson.dumps(dict(public), option=orjson.OPT_INDENT_2).decode() + "\n")


def _publics_of(seeds: Mapping[str, str]) -> dict[str, str]:
    return {name: _pair(seeds, name).public for name in seeds if not name.startswith(MESSAGE_SIGNING)}


def _account_and_role_names() -> tuple[str, ...]:
    return (*map(account_file, Account), *map(role_file, RoleName))


def _completed(folder: Path) -> tuple[dict[str, str], dict[str, str]]:
    """Make the keys of accounts and roles that this vault has never had, and list all public halves."""
    with vault_held(folder):
        seeds, public = read_seeds(folder), read_public(folder)
        if public is None:
            known = (OPERATOR_SIGNING, *first_identity_names(), *map(role_file, sorted(_FIRST_ROLES)))
            public = {name: _pair(seeds, name).public for name in known}
        # A seed without its public half is one that a crash left here; nobody was signed with it yet.
        fresh = {
            name: seeds.get(name) or KeyPair.generate(KeyKind.ACCOUNT).seed
            for name in _account_and_role_names()
            if name not in public
        }
        change_seeds(folder, fresh)
        seeds, public = {**seeds, **fresh}, {**public, **_publics_of(fresh)}
        _write_public(folder, public)
        return seeds, public


def _kind_of(name: str) -> KeyKind:
    return KeyKind.OPERATOR if name in (OPERATOR, OPERATOR_SIGNING) else KeyKind.ACCOUNT


def _pair(seeds: Mapping[str, str], name: str, public: str | None = None) -> KeyPair:
    if name not in seeds:
        raise CredsInvalid(f"the vault lacks {name}", hint=_BACKUP)
    try:
        pair = KeyPair.from_seed(seeds[name])
    except CredsInvalid as error:
        raise CredsInvalid(f"vault key {name}: {error.message}", hint=_BACKUP) from error
    if pair.kind is not _kind_of(name):
        raise CredsInvalid(f"vault key {name} is of another kind", hint=_BACKUP)
    if public is not None and pair.public != public:
        raise CredsInvalid(f"vault key {name} is another one than before (a mix of two vaults)", hint=_BACKUP)
    return pair


def _signer(seeds: Mapping[str, str], name: str) -> Signer:
    if name not in seeds:
        raise CredsInvalid(f"the vault lacks {name}", hint=_BACKUP)
    try:
        return Signer.from_secret_text(seeds[name])
    except InputError as error:
        raise CredsInvalid(f"vault key {name}: {error.message}", hint=_BACKUP) from error
