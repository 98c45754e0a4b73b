"""The key of JetStream's encryption at rest: from the environment, else from a 0600 file in the vault.

It reaches nats-server through its environment, never through the configuration file or the arguments. A salted check
value tells a wrong key before the server starts: nats-server itself would come up without the streams it cannot read.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets

import orjson

from signal_admin.desk import Desk
from signal_admin.server.config import STORE_KEY_VARIABLE
from signal_contract.creds import read_secret, write_secret
from signal_contract.errors import ConfigInvalid, StoreKeyMissing

_MIN_CHARACTERS = 20
# About 50 ms and 16 MB: the check value must not make a weak key easier to guess.
_SCRYPT = {"n": 1 << 14, "r": 8, "p": 1}


def is_encrypted(desk: Desk) -> bool:
    """Whether the store on disk was written with a key (nats-server puts a `meta.key` beside each stream)."""
    return next(desk.jetstream.glob("**/meta.key"), None) is not None


def store_key(desk: Desk, *, wanted: bool) -> str | None:
    """The key to run with, made on first use; None when the store is to be plain and is.

    Raises StoreKeyMissing when the store is encrypted and its key is absent or another one, ConfigInvalid for a key
    under 20 characters.
    """
    if not (wanted or desk.store_check.exists() or is_encrypted(desk)):
        return None
    key = _found(desk)
    if key is None:
        if desk.store_check.exists() or is_encrypted(desk):
            raise StoreKeyMissing(f"the store in {desk.jetstream} is encrypted, and its key is missing")
        key = secrets.token_hex(32)
        write_secret(desk.store_key, key + "\n")
    _check(desk, key)
    return key


def _found(desk: Desk) -> str | None:
    named = os.environ.get(STORE_KEY_VARIABLE)
    if named:
        if len(named) < _MIN_CHARACTERS or not named.isprintable():
            raise ConfigInvalid(
                f"{STORE_KEY_VARIABLE} is too weak: {_MIN_CHARACTERS} printable characters are the least",
                hint="Such as the output of: openssl rand -hex 32",
            )
        return named
    if desk.store_key.exists():
        return read_secret(desk.store_key, what="store key").strip()
    return None


def _check(desk: Desk, key: str) -> None:
    if not desk.store_check.exists():
        salt = secrets.token_bytes(16)
        document = {"salt": salt.hex(), "check": _digest(key, salt).hex()}
        write_secret(desk.store_check, orjson.dumps(document).decode() + "\n")
        return
    try:
        document = orjson.loads(desk.store_check.read_bytes())
        salt, expected = bytes.fromhex(document["salt"]), bytes.fromhex(document["check"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreKeyMissing(f"{desk.store_check} is damaged", hint="Restore it from a backup.") from error
    if not hmac.compare_digest(_digest(key, salt), expected):
        raise StoreKeyMissing(f"the key for the encrypted store in {desk.jetstream} is another one than before")


def _digest(key: str, salt: bytes) -> bytes:
    return hashlib.scrypt(key.encode(), salt=salt, maxmem=64 << 20, dklen=32, **_SCRYPT)
