"""The friend's own key: made on his machine, never leaving it. Only its public half goes to the operator."""

from __future__ import annotations

from pathlib import Path

from signal_contract.creds import read_secret, write_secret
from signal_contract.errors import CredsInvalid, StorageFailed
from signal_contract.nkey import KeyKind, KeyPair

_FOLDER = "enrolled"


def enrolled_keys(home: Path) -> list[KeyPair]:
    """Every key that was made below `home`, the newest first; raises CredsInvalid for a damaged or exposed one."""
    files = [each for each in (home / _FOLDER).glob("U*.seed") if each.is_file()]
    return [_read(each) for each in sorted(files, key=lambda each: each.stat().st_mtime_ns, reverse=True)]


def enrol(home: Path, *, anew: bool) -> tuple[KeyPair, bool]:
    """The key to hand in, and whether it was made now: the newest one there is, unless another is wanted.

    Raises CredsInvalid or StorageFailed.
    """
    known = [] if anew else enrolled_keys(home)
    if known:
        return known[0], False
    pair = KeyPair.generate(KeyKind.USER)
    path = home / _FOLDER / f"{pair.public}.seed"
    try:
        write_secret(path, pair.seed + "\n")
    except OSError as error:
        raise StorageFailed(f"cannot write to {path.parent}: {error.strerror or error}") from error
    return pair, True


def enrolled_seed(home: Path, public_key: str) -> str:
    """The seed behind a public key; raises CredsInvalid when it was not made here."""
    found = next((each for each in enrolled_keys(home) if each.public == public_key), None)
    if found is None:
        raise CredsInvalid(
            f"the invite is for the key {public_key}, which was not made in {home}",
            hint="Join on the machine where `subscriber-agent enroll` ran, or enroll here and ask for a new invite.",
        )
    return found.seed


def _read(path: Path) -> KeyPair:
    pair = KeyPair.from_seed(read_secret(path, what="enrolled key"))
    if pair.kind is not KeyKind.USER or pair.public != path.stem:
        raise CredsInvalid(f"{path} does not hold the key that it is named after")
    return pair
