"""Text under a passphrase, in the age format (age-encryption.org/v1, scrypt): the standard `age` tool opens it too.

pyrage is imported late: it is needed only where a passphrase is in play.
"""

from __future__ import annotations

from functools import lru_cache

from signal_contract.errors import CredsInvalid, InputError

MIN_PASSPHRASE_CHARACTERS = 8
_ARMOR = "-----BEGIN AGE ENCRYPTED FILE-----"
_BINARY = b"age-encryption.org/v1\n"


def is_sealed(content: bytes) -> bool:
    """Whether the bytes are an age file, in its text or binary form."""
    return content.startswith((_ARMOR.encode(), _BINARY))


def passphrase_checked(passphrase: str) -> str:
    """Return a passphrase that is worth using, or raise InputError: under 8 characters, or not printable."""
    if len(passphrase.strip()) < MIN_PASSPHRASE_CHARACTERS or not passphrase.isprintable():
        raise InputError(
            f"a passphrase needs at least {MIN_PASSPHRASE_CHARACTERS} printable characters",
            hint="Four random words do well.",
        )
    return passphrase


def sealed(plain: bytes, passphrase: str) -> str:
    """The armored age file; takes about a second (scrypt) on purpose. Raises InputError for a weak passphrase."""
    import pyrage

    return bytes(pyrage.passphrase.encrypt(plain, passphrase_checked(passphrase), armored=True)).decode()


# Cached, so that a process which opens the same file again does not pay for scrypt again.
@lru_cache(maxsize=4)
def unsealed(content: bytes, passphrase: str) -> bytes:
    """What an age file holds; raises CredsInvalid for a wrong passphrase and for a damaged file."""
    import pyrage

    try:
        return bytes(pyrage.passphrase.decrypt(content, passphrase))
    except (pyrage.DecryptError, UnicodeEncodeError) as error:
        raise CredsInvalid(
            "it does not open: the passphrase is wrong, or the file is damaged",
            hint="Type the passphrase again; mind upper case and blanks.",
        ) from error
