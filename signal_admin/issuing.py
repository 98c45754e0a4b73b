"""Issues what the vault signs: operator and account JWTs for the server, creds for the operator's own programs.

Account JWTs follow the code: one whose content changed is minted anew, one that did not is used byte for byte.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from signal_admin.accounts import all_account_claims, friends_extras, has_same_content, next_issue_time
from signal_admin.claims import operator_claims, signed_jwt, user_claims
from signal_admin.desk import Desk, ServerRecord
from signal_admin.registry import all_users
from signal_admin.revocations import read_revocations
from signal_admin.vault import Vault
from signal_contract.creds import Creds, claims_of, creds_text, read_creds, write_secret
from signal_contract.errors import CredsExpired, CredsInvalid
from signal_contract.nkey import KeyKind, KeyPair
from signal_contract.permissions import ROLES, RoleName
from signal_contract.topology import Account

# Friends get theirs one by one; these are made by `catalyst up` and `catalyst init`.
OWN_ROLES = tuple(role for role in RoleName if role is not RoleName.SUBSCRIBER)


@dataclass(frozen=True, slots=True)
class IssuedAccounts:
    """The JWTs that the server is started with; `changed` names those minted anew."""

    operator_jwt: str
    accounts: Mapping[Account, str]
    keys: Mapping[Account, str]
    changed: tuple[str, ...]


def issue_accounts(desk: Desk, vault: Vault, now: datetime) -> IssuedAccounts:
    """Bring `<data>/accounts` up to date with code, users and revocations, and return its JWTs.

    The registry must be held, or a revocation that is written at the same time could be left out.
    """
    extras = friends_extras(all_users(desk), read_revocations(desk), now)
    wanted = all_account_claims(vault.account_keys, vault.role_keys, now, extras)
    operator = operator_claims(
        vault.operator_key,
        name="catalyst",
        signing_keys=(vault.operator_signing.public,),
        system_account=vault.account_keys[Account.SYS],
        issued_at=now,
    )
    operator_jwt, _ = _kept_or_minted(
        desk.accounts / "operator.jwt", operator, vault.operator_key, lambda: vault.operator, now
    )
    jwts: dict[Account, str] = {}
    changed: list[str] = []
    for account, claims in wanted.items():
        path = desk.accounts / f"{account.value}.jwt"
        jwts[account], is_new = _kept_or_minted(
            path, claims, vault.operator_signing.public, lambda: vault.operator_signing, now
        )
        if is_new:
            changed.append(account.value)
    return IssuedAccounts(operator_jwt, jwts, vault.account_keys, tuple(changed))


def _kept_or_minted(
    path: Path, wanted: dict[str, Any], issuer: str, signer: Callable[[], KeyPair], now: datetime
) -> tuple[str, bool]:
    # The key is asked for only when it is needed: the operator's may be kept offline.
    issued: dict[str, Any] = {}
    if path.exists():
        kept = path.read_text(encoding="utf-8").strip()
        issued = _claims_or_nothing(kept)
        if issued.get("iss") == issuer and has_same_content(issued, wanted):
            return kept, False
    fresh = signed_jwt({**wanted, "iat": int(next_issue_time(issued, now).timestamp())}, signer())
    write_secret(path, fresh + "\n")
    return fresh, True


def _claims_or_nothing(jwt: str) -> dict[str, Any]:
    # A damaged copy is no loss: the JWT follows from the code and the vault.
    try:
        return claims_of(jwt)
    except CredsInvalid:
        return {}


def mint_user(
    vault: Vault, *, name: str, role: RoleName, issued_at: datetime, expires_at: datetime | None = None
) -> tuple[str, str]:
    """A new user of a role: (public key, content of his creds file). The seed is in the content and nowhere else."""
    pair = KeyPair.generate(KeyKind.USER)
    account = vault.account_keys[ROLES[role].account]
    claims = user_claims(pair.public, name=name, role=role, account=account, issued_at=issued_at, expires_at=expires_at)
    return pair.public, creds_text(signed_jwt(claims, vault.roles[role]), pair.seed)


def issue_own_creds(desk: Desk, vault: Vault, now: datetime) -> None:
    """Write the creds of the operator's own programs, where they are missing or unusable; and the signing seed."""
    for role in OWN_ROLES:
        path = desk.role_creds(role.value)
        if not _is_valid(path, role, vault, now):
            _, content = mint_user(vault, name=role.value, role=role, issued_at=now)
            write_secret(path, content)
    # The vault is the truth: agents pin its public key, and would refuse all that another one signs.
    write_secret(desk.publisher / "signing.seed", vault.signer.secret_text + "\n")


def _is_valid(path: Path, role: RoleName, vault: Vault, now: datetime) -> bool:
    try:
        creds = read_creds(path, role=role.value, now=now)
    except (CredsInvalid, CredsExpired):
        return False
    claims = claims_of(creds.jwt)
    issuer = (claims.get("iss"), claims.get("nats", {}).get("issuer_account"))
    # A role can have moved to another account since they were made.
    return issuer == (vault.roles[role].public, vault.account_keys[ROLES[role].account])


def write_publisher_settings(desk: Desk, record: ServerRecord) -> None:
    """Tell the publisher's programs where the server is; the paths of its own files are relative to the settings."""
    settings = {
        "servers": [record.url],
        "creds": "publisher.creds",
        "signing_seed": "signing.seed",
        "outbox": "outbox.sqlite",
    }
    if record.ca_file:
        settings["ca_file"] = os.path.relpath(record.ca_file, desk.publisher)
    if record.tls_name:
        settings["tls_name"] = record.tls_name
    write_secret(desk.publisher / "settings.json", orjson.dumps(settings, option=orjson.OPT_INDENT_2).decode() + "\n")


def own_creds(desk: Desk, role: RoleName) -> Creds:
    """The creds of one of the operator's own roles; raises CredsInvalid."""
    return read_creds(desk.role_creds(role.value), role=role.value, now=datetime.now(UTC))
