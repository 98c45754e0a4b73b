"""Changes the publisher's signing key: the next one is announced under the old one before it signs anything.

Nothing is sent from the outbox in between, so that no signal with an old signature lands behind the announcement.
Each step can be repeated: after a crash the same command goes on where it stopped, and until then nothing is sent.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import filelock

from signal_admin.audit import record
from signal_admin.desk import Desk
from signal_admin.dial import dial
from signal_admin.seeds import change_seeds, vault_held
from signal_admin.standing import standing_held
from signal_admin.stored import last_message
from signal_admin.vault import MESSAGE_SIGNING, MESSAGE_SIGNING_NEXT, Vault, read_vault
from signal_contract.announce import ANNOUNCE_SUBJECT, Announcement, announcement_bytes, read_announcement
from signal_contract.creds import write_secret
from signal_contract.errors import CatalystError, Conflict, InputError, StorageFailed
from signal_contract.link import Link
from signal_contract.permissions import RoleName
from signal_contract.signing import MESSAGE_ID_HEADER, SIGNATURE_HEADER, Signer
from signal_contract.topology import STREAM

_log = logging.getLogger("catalyst.admin")

ROTATING_MARK = "signing.rotating"
_PUBLISHER_PATIENCE_S = 30.0


@dataclass(frozen=True, slots=True)
class Rotation:
    """What was done: public keys before and after, and the announcement's place in the stream.

    `sequence` is None when an earlier, interrupted run had announced and promoted it already.
    """

    old_key: str | None
    new_key: str
    sequence: int | None
    was_resumed: bool


@dataclass(frozen=True, slots=True)
class RotationState:
    """Where the publisher's key stands; a half-done rotation holds all signals back until it is finished."""

    publisher_key: str
    next_key: str | None
    is_half_done: bool


def rotation_state(desk: Desk, vault: Vault) -> RotationState:
    """Where things stand, from the files alone."""
    next_key = vault.next_signer.public_key if vault.next_signer else None
    is_half_done = vault.next_signer is not None or (desk.publisher / ROTATING_MARK).exists()
    return RotationState(vault.signer.public_key, next_key, is_half_done)


async def rotate_publisher_key(desk: Desk, *, now: datetime) -> Rotation:
    """Make, announce and install the publisher's next key, or finish what an earlier run began.

    Raises ServerUnreachable when the server is not running, Conflict when a publisher keeps sending, StorageFailed.
    """
    async with dial(desk, RoleName.ADMIN, "catalyst-rotate-key") as link:
        with _sending_held(desk):
            # Nor is a control message signed by the old key sent behind the announcement.
            async with standing_held(desk):
                done = await _rotated(desk, link, now)
        await _sign_flags_anew(link, desk)
        await record(
            link,
            desk,
            action="vault rotate-publisher-key",
            target="publisher",
            before={"publisher_key": done.old_key},
            after={"publisher_key": done.new_key, "sequence": done.sequence},
            outcome="done after an interruption" if done.was_resumed else "done",
        )
    return done


async def _sign_flags_anew(link: Link, desk: Desk) -> None:
    from signal_admin.flags.bucket import publish_due  # which looks here whether a key may sign

    try:
        await publish_due(link, desk)
    except CatalystError as error:
        # The key has changed all the same; agents keep the flags that they have, and the next start sends them.
        _log.warning("the flags could not be signed anew: %s", error.message)


async def _rotated(desk: Desk, link: Link, now: datetime) -> Rotation:
    state = rotation_state(desk, read_vault(desk.vault))
    if state.is_half_done and state.next_key in (None, state.publisher_key):
        # Announced and promoted before the crash; the rest follows from the vault.
        _install(desk, read_vault(desk.vault))
        return Rotation(None, state.publisher_key, None, was_resumed=True)
    vault = _with_next_key(desk)
    assert vault.next_signer is not None  # noqa: S101  # `_with_next_key` has just stored it
    _write_mark(desk)
    sequence = await _announced(link, vault.signer, vault.next_signer.public_key, now)
    _promote(desk, vault.next_signer)
    _install(desk, read_vault(desk.vault))
    return Rotation(vault.signer.public_key, vault.next_signer.public_key, sequence, was_resumed=state.is_half_done)


def _with_next_key(desk: Desk) -> Vault:
    vault = read_vault(desk.vault)
    if vault.next_signer is None:
        with vault_held(desk.vault):
            change_seeds(desk.vault, {MESSAGE_SIGNING_NEXT: Signer.generate().secret_text})
        vault = read_vault(desk.vault)
    return vault


def _promote(desk: Desk, signer: Signer) -> None:
    with vault_held(desk.vault):
        change_seeds(desk.vault, {MESSAGE_SIGNING: signer.secret_text}, remove=[MESSAGE_SIGNING_NEXT])


def _mark(desk: Desk) -> Path:
    return desk.publisher / ROTATING_MARK


def _write_mark(desk: Desk) -> None:
    try:
        write_secret(_mark(desk), "The publisher's key is being changed; nothing is sent meanwhile.\n")
    except OSError as error:
        raise StorageFailed(f"cannot write {_mark(desk)}: {error.strerror or error}") from error


def _install(desk: Desk, vault: Vault) -> None:
    if vault.next_signer is not None:
        with vault_held(desk.vault):
            change_seeds(desk.vault, {}, remove=[MESSAGE_SIGNING_NEXT])
    try:
        write_secret(desk.publisher / "signing.seed", vault.signer.secret_text + "\n")
        _mark(desk).unlink(missing_ok=True)
    except OSError as error:
        raise StorageFailed(f"cannot write below {desk.publisher}: {error.strerror or error}") from error


@contextmanager
def _sending_held(desk: Desk) -> Iterator[None]:
    """Hold the lock that every publisher takes before it sends (see `publisher.relay`)."""
    lock = filelock.FileLock(_outbox(desk).with_name(_outbox(desk).name + ".relay.lock"), mode=0o600)
    try:
        lock.acquire(timeout=_PUBLISHER_PATIENCE_S)
    except filelock.Timeout as error:
        raise Conflict(
            "a publisher is sending without a pause", hint="Stop it, or try again when it has caught up."
        ) from error
    try:
        yield
    finally:
        lock.release()


def _outbox(desk: Desk) -> Path:
    return desk.publisher / "outbox.sqlite"


async def _announced(link: Link, old: Signer, next_key: str, now: datetime) -> int:
    """The sequence of the announcement, published now unless an earlier run has done it."""
    found = await _last_announcement(link, old)
    if found is not None and found[1].next_key == next_key:
        return found[0]
    announcement = Announcement(next_key=next_key, not_before=now, old_key=old.public_key)
    payload = announcement_bytes(announcement)
    headers = {
        MESSAGE_ID_HEADER: announcement.message_id,
        SIGNATURE_HEADER: old.sign(ANNOUNCE_SUBJECT, payload),
    }
    return (await link.publish_stored(ANNOUNCE_SUBJECT, payload, headers=headers)).sequence


async def _last_announcement(link: Link, old: Signer) -> tuple[int, Announcement] | None:
    found = await last_message(link, STREAM, ANNOUNCE_SUBJECT)
    if found is None:
        return None
    try:
        return found.sequence, read_announcement(found.data, old.verifier)
    except InputError:
        return None  # one of an earlier rotation
