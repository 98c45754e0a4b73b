"""NATS JWTs: operator, account and user claims, minted in pure Python.

The specification is the Go library nats-io/jwt v2 (its struct files). No package on the index writes scoped signing
keys, hence this module. It knows keys and claims; which permissions they carry is decided elsewhere.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import orjson

from signal_contract.creds import ROLE_TAG
from signal_contract.nkey import KeyPair
from signal_contract.permissions import NAME, Role, RoleName
from signal_contract.subject import user_name_checked

_HEADER = {"typ": "JWT", "alg": "ed25519-nkey"}
_UNLIMITED = -1
_JWT_VERSION = 2


def _b64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _jti(claims: Mapping[str, Any]) -> str:
    digest = hashlib.new("sha512_256", orjson.dumps(dict(claims), option=orjson.OPT_SORT_KEYS)).digest()
    return base64.b32encode(digest).decode().rstrip("=")


def signed_jwt(claims: Mapping[str, Any], signer: KeyPair) -> str:
    """The signed text form of claims. `iss` and `jti` (a hash of all the rest) are filled in here."""
    issued = {**claims, "iss": signer.public}
    body = {**issued, "jti": _jti(issued)}
    signing_input = f"{_b64url(orjson.dumps(_HEADER))}.{_b64url(orjson.dumps(body))}"
    return f"{signing_input}.{_b64url(signer.sign(signing_input.encode()))}"


def _claims(subject: str, name: str, issued_at: datetime, kind: str, details: Mapping[str, Any]) -> dict[str, Any]:
    if issued_at.tzinfo is None:
        raise ValueError("an issue time must be aware")
    return {
        "iat": int(issued_at.timestamp()),
        "sub": subject,
        "name": name,
        "nats": {**details, "type": kind, "version": _JWT_VERSION},
    }


def operator_claims(
    public_key: str, *, name: str, signing_keys: tuple[str, ...], system_account: str, issued_at: datetime
) -> dict[str, Any]:
    """Claims of the operator. With strict usage its identity key signs nothing but this: it can stay offline."""
    details = {
        "signing_keys": list(signing_keys),
        "system_account": system_account,
        "strict_signing_key_usage": True,
    }
    return _claims(public_key, name, issued_at, "operator", details)


def account_limits(*, jetstream: bool, connections: int = _UNLIMITED) -> dict[str, Any]:
    """Limits of an account; `connections` over all servers, -1 for as many as come.

    JetStream is on where storage is not 0; the server's own max_file_store bounds it.
    """
    limits: dict[str, Any] = {
        "subs": _UNLIMITED,
        "data": _UNLIMITED,
        "payload": _UNLIMITED,
        "imports": _UNLIMITED,
        "exports": _UNLIMITED,
        "wildcards": True,
        "conn": connections,
        "leaf": 0,
    }
    if jetstream:
        limits |= {"mem_storage": _UNLIMITED, "disk_storage": _UNLIMITED, "streams": 8, "consumer": 10_000}
    return limits


def role_scope(public_key: str, role: Role) -> dict[str, Any]:
    """A scoped signing key: whoever it signs has exactly this role's permissions, with his own name filled in."""
    return {
        "kind": "user_scope",
        "key": public_key,
        "role": role.name.value,
        "template": {
            "pub": {"allow": list(role.publish)},
            "sub": {"allow": list(role.subscribe)},
            "subs": role.max_subscriptions,
            "data": _UNLIMITED,
            "payload": role.max_payload_bytes,
            "allowed_connection_types": list(role.connection_types),
        },
    }


def own_scope(public_key: str, role: Role, name: str, limits: Mapping[str, Any]) -> dict[str, Any]:
    """A scoped signing key for one user alone: his role's permissions plus limits such as addresses and hours.

    A user JWT cannot carry them: one signed by a scoped key must have an empty permission block, and `src`, `times`
    and connection types count as part of it (nats-server 2.15 refuses such a JWT). The name is written out, so the
    key can sign for nobody else. Raises NameInvalid.
    """
    scope = role_scope(public_key, role)
    written = user_name_checked(name)
    for direction in ("pub", "sub"):
        allowed = scope["template"][direction]["allow"]
        scope["template"][direction] = {"allow": [subject.replace(NAME, written) for subject in allowed]}
    return {**scope, "description": written, "template": {**scope["template"], **limits}}


def account_claims(
    public_key: str,
    *,
    name: str,
    issued_at: datetime,
    jetstream: bool = False,
    connections: int = _UNLIMITED,
    exports: tuple[Mapping[str, Any], ...] = (),
    imports: tuple[Mapping[str, Any], ...] = (),
    scopes: tuple[Mapping[str, Any], ...] = (),
    revocations: Mapping[str, int] | None = None,
) -> dict[str, Any]:
    """Claims of an account. It has no plain signing keys: every user is bound to a role's scope.

    `revocations` maps user keys to Unix seconds: JWTs of that key issued until then are refused.
    """
    details = {
        "imports": [dict(each) for each in imports],
        "exports": [dict(each) for each in exports],
        "limits": account_limits(jetstream=jetstream, connections=connections),
        "signing_keys": [dict(each) for each in scopes],
        "default_permissions": {"pub": {}, "sub": {}},
        "authorization": {},
        **({"revocations": dict(revocations)} if revocations else {}),
    }
    return _claims(public_key, name, issued_at, "account", details)


def user_claims(
    public_key: str,
    *,
    name: str,
    role: RoleName,
    account: str,
    issued_at: datetime,
    expires_at: datetime | None = None,
) -> dict[str, Any]:
    """Claims of a user signed by a scoped key: the permission block is empty, the scope's template decides.

    `account` is the public key of the issuing account. Raises NameInvalid: the server would accept a name such as `>`
    and fill it into the template.
    """
    if expires_at is not None and expires_at <= issued_at:
        raise ValueError("an expiry must lie after the issue time")
    details = {"pub": {}, "sub": {}, "issuer_account": account, "tags": [f"{ROLE_TAG}{role.value}"]}
    claims = _claims(public_key, user_name_checked(name), issued_at, "user", details)
    return claims if expires_at is None else {**claims, "exp": int(expires_at.timestamp())}
