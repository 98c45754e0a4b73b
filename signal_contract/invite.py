"""The invite: one file that lets a friend in. The operator's side writes it, `subscriber-agent join` reads it.

It is a password: mode 0600, and under a passphrase (age format) when one is given. What comes in is not trusted:
the size is bounded, and every field must fit the others before anything of it is used.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import orjson
from pydantic import AfterValidator, Field, ValidationError, model_validator

from signal_contract.codec import violations_text
from signal_contract.creds import claims_of, creds_text, read_secret, write_secret
from signal_contract.errors import CatalystError, CredsInvalid, InputError
from signal_contract.model import Instant, Url, Wire
from signal_contract.nkey import KeyKind, KeyPair, public_key_checked
from signal_contract.sealed import is_sealed, sealed, unsealed
from signal_contract.signing import Verifier
from signal_contract.subject import entitlement, user_name_checked
from signal_contract.topology import durable_name

INVITE_VERSION = 1
MAX_INVITE_BYTES = 128 * 1024

_SCHEMES = ("tls://", "wss://", "nats://", "ws://")
_PEM_HEAD = "-----BEGIN CERTIFICATE-----"


def _server(value: str) -> str:
    if not value.startswith(_SCHEMES):
        raise ValueError("a server address starts with tls:// or wss://")
    return value


def _document(value: str) -> str:
    if any(not line.isprintable() for line in value.replace("\t", " ").splitlines()):
        raise ValueError("text holds control characters")
    return value


def _certificate(value: str) -> str:
    if not value.lstrip().startswith(_PEM_HEAD):
        raise ValueError("a CA certificate is in PEM form")
    return _document(value)


_Text = Annotated[str, Field(min_length=1, max_length=32 * 1024), AfterValidator(_document)]
_Line = Annotated[str, Field(min_length=1, max_length=200)]


class Invite(Wire):
    """Everything a friend's agent needs, schema version 1. Its repr shows no secret.

    `servers` and `filters` may be given as lists or tuples. `seed` is None when the friend keeps his own key and gave
    only its public half; `ca_certificate` is None where the system's certificates are enough.
    """

    schema_version: Literal[1] = 1
    name: _Line
    servers: Annotated[
        tuple[Annotated[Url, AfterValidator(_server)], ...], Field(min_length=1, max_length=16, strict=False)
    ]
    ca_certificate: Annotated[_Text, AfterValidator(_certificate)] | None = Field(default=None, repr=False)
    user_jwt: Annotated[str, Field(min_length=1, max_length=4096, repr=False)]
    seed: Annotated[str, Field(max_length=80)] | None = Field(default=None, repr=False)
    public_key: _Line
    durable: _Line
    publisher_key: _Line
    filters: Annotated[tuple[_Line, ...], Field(min_length=1, max_length=64, strict=False)]
    entitlement_in_words: Annotated[str, Field(min_length=1, max_length=4000), AfterValidator(_document)]
    expires_at: Instant | None
    issued_at: Instant
    starter_config: Annotated[_Text, Field(repr=False)]

    @model_validator(mode="after")
    def _holds_together(self) -> Self:
        try:
            user_name_checked(self.name)
            public_key_checked(self.public_key, KeyKind.USER)
            Verifier.from_text(self.publisher_key)
            if entitlement(list(self.filters)) != self.filters:
                raise ValueError("filters are not in their normal form")
            _keys_fit(self)
        except CatalystError as error:
            raise ValueError(error.message) from None
        if self.durable != durable_name(self.name):
            raise ValueError("the durable is another user's")
        if self.expires_at is not None and self.expires_at <= self.issued_at:
            raise ValueError("expires_at must lie after issued_at")
        return self

    @property
    def creds_text(self) -> str | None:
        """Content of the creds file, or None when the seed is on the friend's own machine."""
        return None if self.seed is None else creds_text(self.user_jwt, self.seed)


def _keys_fit(invite: Invite) -> None:
    claims = claims_of(invite.user_jwt)
    if claims.get("name") != invite.name or claims.get("sub") != invite.public_key:
        raise ValueError("the JWT is another user's")
    if invite.seed is None:
        return
    pair = KeyPair.from_seed(invite.seed)
    if pair.kind is not KeyKind.USER or pair.public != invite.public_key:
        raise ValueError("the seed does not belong to the JWT")


def write_invite(path: Path, invite: Invite, passphrase: str | None) -> None:
    """Write the file, mode 0600: JSON, or an age file when a passphrase is given (8 characters at least)."""
    content = orjson.dumps(invite.model_dump(mode="json"), option=orjson.OPT_INDENT_2) + b"\n"
    write_secret(path, content.decode() if passphrase is None else sealed(content, passphrase))


def invite_from(content: bytes) -> Invite:
    """An invite from its JSON bytes; raises InputError with every violation, values never shown."""
    try:
        return Invite.model_validate_json(content)
    except ValidationError as error:
        if _version_in(content) > INVITE_VERSION:
            raise InputError(
                "the invite was written by a newer version", hint="Upgrade catalyst-signals on this machine."
            ) from None
        raise InputError(
            f"this is not a usable invite: {violations_text(error)}", hint="Ask your operator to send it again."
        ) from None


def _version_in(content: bytes) -> int:
    try:
        document: Any = orjson.loads(content)
    except orjson.JSONDecodeError:
        return 0
    version = document.get("schema_version") if isinstance(document, dict) else None
    return version if isinstance(version, int) else 0


def read_invite(path: Path, ask_passphrase: Callable[[], str]) -> Invite:
    """Read an invite; `ask_passphrase` is called only when it is under one.

    Raises CredsInvalid (missing, too large, a plain one that others can read, wrong passphrase) or InputError.
    """
    content = _content(path)
    if not is_sealed(content):
        # A plain one is as good as the creds themselves; under a passphrase the mode does not matter.
        read_secret(path, what="invite", max_bytes=MAX_INVITE_BYTES)
        return invite_from(content)
    try:
        return invite_from(unsealed(content, ask_passphrase()))
    except CredsInvalid as error:
        raise CredsInvalid(f"invite {path}: {error.message}", hint=error.hint) from error


def _content(path: Path) -> bytes:
    try:
        if not path.is_file():
            raise CredsInvalid(f"there is no invite {path}", hint="Check the path.")
        with path.open("rb") as file:
            content = file.read(MAX_INVITE_BYTES + 1)
    except (OSError, ValueError) as error:
        raise CredsInvalid(
            f"invite {path} cannot be read: {error.__class__.__name__}", hint="Check the path and its mode."
        ) from error
    if len(content) > MAX_INVITE_BYTES:
        raise CredsInvalid(f"{path} is too large to be an invite", hint="Check the path.")
    return content
