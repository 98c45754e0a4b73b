"""The `.creds` file: a user JWT and its NKey seed. Read with suspicion, written 0600."""

from __future__ import annotations

import base64
import os
import re
import stat
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from signal_contract.errors import CredsExpired, CredsInvalid, NameInvalid
from signal_contract.nkey import KeyKind, KeyPair
from signal_contract.subject import user_name_checked

ROLE_TAG = "role:"
_MAX_BYTES = 16 * 1024
_BLOCK = re.compile(r"-----BEGIN ([A-Z ]+)-----\s+(\S+)\s+-+END \1-+")


@dataclass(frozen=True, slots=True)
class Creds:
    """What a creds file says. The JWT's signature is the server's to check; the seed must fit the JWT's subject."""

    path: Path
    user: str
    role: str
    public_key: str
    account: str
    expires_at: datetime | None
    jwt: str = field(repr=False)
    key: KeyPair = field(repr=False)

    @property
    def inbox_prefix(self) -> str:
        return f"_INBOX_{self.user}"


def creds_text(jwt: str, seed: str) -> str:
    """The file's content, in the form that every NATS client reads."""
    return (
        f"-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n"
        "************************* IMPORTANT *************************\n"
        "This file is a password. Keep it at mode 0600 and send it to nobody.\n\n"
        f"-----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
    )


def write_secret(path: Path, content: str) -> None:
    """Write a file that nobody else can ever read: created 0600 beside its place, synced, then moved there."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_name(f".{path.name}.{os.getpid()}.new")
    draft.unlink(missing_ok=True)
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def read_secret(path: Path, *, what: str, max_bytes: int = _MAX_BYTES) -> str:
    """Read a secret file; raises CredsInvalid when it is missing, readable by others, too large or not text."""
    try:
        status = path.stat()
        if os.name == "posix" and stat.S_IMODE(status.st_mode) & 0o077:
            raise CredsInvalid(
                f"{what} {path} can be read by others (mode {stat.S_IMODE(status.st_mode):04o})",
                hint=f"Run: chmod 600 {path}",
            )
        if not stat.S_ISREG(status.st_mode) or status.st_size > max_bytes:
            raise CredsInvalid(f"{what} {path} is not a file of a plausible size")
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise CredsInvalid(
            f"{what} {path} does not exist", hint="Check the path, or ask the operator for it."
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise CredsInvalid(f"{what} {path} cannot be read: {error.__class__.__name__}") from error


def claims_of(jwt: str) -> dict[str, Any]:
    """The claims of a NATS JWT, its signature not checked; raises CredsInvalid."""
    parts = jwt.split(".")
    try:
        if len(parts) != 3:
            raise ValueError("a JWT has three parts")
        body = orjson.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, UnicodeError) as error:
        raise CredsInvalid("the JWT in the creds file is damaged") from error
    if not isinstance(body, dict):
        raise CredsInvalid("the JWT in the creds file is damaged")
    return body


def read_creds(path: Path, *, role: str | None = None, now: datetime | None = None) -> Creds:
    """Read and check a creds file before anything is sent.

    `role` refuses a file made for another role; `now` (aware) refuses an expired one with CredsExpired.
    """
    creds = _creds_from(path, read_secret(path, what="creds file"))
    if role is not None and creds.role != role:
        raise CredsInvalid(
            f"{path} holds {creds.role or 'unknown'} credentials, {role} credentials are needed",
            hint="Use the creds file that was made for this role.",
        )
    if now is not None and creds.expires_at is not None and now >= creds.expires_at:
        raise CredsExpired(f"the credentials of {creds.user} expired at {creds.expires_at:%Y-%m-%d %H:%M} UTC")
    return creds


def _creds_from(path: Path, text: str) -> Creds:
    blocks = {kind: body for kind, body in _BLOCK.findall(text)}
    jwt, seed = blocks.get("NATS USER JWT"), blocks.get("USER NKEY SEED")
    if jwt is None or seed is None:
        raise CredsInvalid(f"{path} is not a creds file: it needs a JWT block and a seed block")
    claims = claims_of(jwt)
    pair = KeyPair.from_seed(seed)
    details = claims.get("nats")
    if not isinstance(details, dict) or details.get("type") != "user" or pair.kind is not KeyKind.USER:
        raise CredsInvalid(f"{path} does not hold user credentials")
    if claims.get("sub") != pair.public:
        raise CredsInvalid(f"{path}: the seed does not belong to the JWT (a mix of two files)")
    try:
        user = user_name_checked(str(claims.get("name")))
    except NameInvalid as error:
        raise CredsInvalid(f"{path}: the JWT names no valid user") from error
    tags = details.get("tags") or []
    roles = [str(tag).removeprefix(ROLE_TAG) for tag in tags if str(tag).startswith(ROLE_TAG)]
    return Creds(
        path=path,
        user=user,
        role=roles[0] if roles else "",
        public_key=pair.public,
        account=str(details.get("issuer_account") or claims.get("iss")),
        expires_at=_expiry(path, claims.get("exp")),
        jwt=jwt,
        key=pair,
    )


def _expiry(path: Path, exp: Any) -> datetime | None:
    if exp is None:
        return None
    try:
        return datetime.fromtimestamp(exp, UTC)
    except (TypeError, ValueError, OverflowError, OSError) as error:
        raise CredsInvalid(f"{path}: the JWT has no valid expiry") from error
