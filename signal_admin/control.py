"""Sends halt, reduce, resume and notice into the stream, signed with the publisher's key, and again to who comes later.

What tightens is written down before it is sent, what loosens only after its receipt: after a crash in between, a friend
who comes later hears the stricter one.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from signal_admin.audit import record
from signal_admin.desk import Desk
from signal_admin.dial import dial
from signal_admin.registry import read_user
from signal_admin.rotation import rotation_state
from signal_admin.standing import Scopes, Standing, Word, read_standing, standing_held, write_standing
from signal_admin.vault import read_vault
from signal_contract.control import Control, Verb, control_bytes
from signal_contract.delivery import PubAck
from signal_contract.errors import (
    Conflict,
    Denied,
    InputError,
    LinkError,
    RequestTimedOut,
    ServerUnreachable,
    StorageFailed,
)
from signal_contract.link import Link
from signal_contract.permissions import RoleName
from signal_contract.signing import MESSAGE_ID_HEADER, SIGNATURE_HEADER, Signer
from signal_contract.topology import API_PREFIX, STREAM

MAX_REASON = 500
_ATTEMPT_S = 2.0
_PAUSE_S = 0.2
_OWN_HALT = "Tell your friends: each one's own `subscriber-agent halt` works without the server."


@dataclass(frozen=True, slots=True)
class Order:
    """What the operator wants said; `user` None: to everybody."""

    verb: Verb
    user: str | None = None
    reason: str = ""

    @property
    def scope(self) -> str:
        return f"user {self.user}" if self.user else "all users"


@dataclass(frozen=True, slots=True)
class Said:
    """A control message with its place in the stream (None in a dry run), and the word that stood before."""

    control: Control
    before: Word | None
    sequence: int | None
    is_dry_run: bool = False

    def as_dict(self) -> dict[str, Any]:
        return {
            **self.control.model_dump(mode="json"),
            "subject": self.control.subject,
            "sequence": self.sequence,
            "before": self.before.as_dict() if self.before else None,
            "dry_run": self.is_dry_run,
        }


def order_checked(desk: Desk, order: Order) -> Order:
    """Return an order that can be sent; raises InputError (reason), NotFound (user), StorageFailed."""
    if len(order.reason) > MAX_REASON or not order.reason.isprintable():
        raise InputError(f"a reason is one line of at most {MAX_REASON} characters")
    if order.verb is Verb.NOTICE and not order.reason.strip():
        raise InputError("a notice without text says nothing", hint='Add: --reason "back in an hour"')
    if order.user is not None:
        read_user(desk, order.user)
    return order


def _control_from(order: Order, now: datetime) -> Control:
    return Control(
        control_id=secrets.token_hex(16), verb=order.verb, user=order.user, reason=order.reason, issued_at=now
    )


def _signer(desk: Desk) -> Signer:
    vault = read_vault(desk.vault)
    if rotation_state(desk, vault).is_half_done:
        raise Conflict(
            "the change of the publisher's key is half done; until it is finished nothing can be signed",
            hint=f"Finish it: catalyst vault rotate-publisher-key. {_OWN_HALT}",
        )
    return vault.signer


async def issue(desk: Desk, order: Order, *, now: datetime, timeout_s: float = 10.0, dry_run: bool = False) -> Said:
    """Send a control message and keep it as the word that stands; tried for `timeout_s` seconds under one id.

    Raises InputError, NotFound, Conflict (a half-done change of the publisher's key), ServerUnreachable when nothing
    was sent, RequestTimedOut when it is not known whether it was stored, StorageFailed.
    """
    control = _control_from(order_checked(desk, order), now)
    read_vault(desk.vault)  # asks for its passphrase before anything is held
    if dry_run:
        _signer(desk)
        return Said(control, read_standing(desk).of(order.user), None, is_dry_run=True)
    deadline = asyncio.get_running_loop().time() + timeout_s
    try:
        async with dial(desk, RoleName.ADMIN, "catalyst-control", connect_timeout_s=timeout_s) as link:
            said = await _issued(link, desk, control, deadline)
            await _audited(link, desk, said)
    except ServerUnreachable as error:
        raise ServerUnreachable(
            f"NOTHING was sent and agents keep trading: {error.message}", hint=f"Start it: catalyst up. {_OWN_HALT}"
        ) from error
    return said


async def _issued(link: Link, desk: Desk, control: Control, deadline: float) -> Said:
    async with standing_held(desk):
        # Not before: a change of the key holds this lock too, and its announcement makes the old key's word worthless.
        signer = _signer(desk)
        before, trouble = _noted_before(desk, control)
        sequence = (await _stored(link, control, signer, deadline)).sequence
        try:
            if trouble is not None:
                raise trouble
            _note(desk, control, sequence)
        except StorageFailed as error:
            raise StorageFailed(
                f"{control.verb.value} WAS sent, sequence {sequence}, but who joins later will not hear it: "
                f"{error.message}",
                hint=error.hint,
            ) from error
        return Said(control, before, sequence)


def _noted_before(desk: Desk, control: Control) -> tuple[Word | None, StorageFailed | None]:
    """The word that stood, and what kept the new one from being written down, where that is to be done already now."""
    try:
        before = read_standing(desk).of(control.user)
        if control.verb is not Verb.NOTICE and _word(control, None).is_as_strict_as(before):
            _note(desk, control, None)
    except StorageFailed as error:
        if control.verb is Verb.RESUME:
            raise
        # What protects goes out all the same; that it could not be kept is told afterwards.
        return None, error
    return before, None


def _note(desk: Desk, control: Control, sequence: int | None) -> None:
    if control.verb is not Verb.NOTICE:
        write_standing(desk, read_standing(desk).with_word(control.user, _word(control, sequence)))


def _word(control: Control, sequence: int | None) -> Word:
    return Word(control.verb, control.reason, control.issued_at, sequence)


async def _stored(link: Link, control: Control, signer: Signer, deadline: float) -> PubAck:
    """Publish until there is a receipt; the same id every time, so that it is stored once."""
    payload = control_bytes(control)
    headers = {
        MESSAGE_ID_HEADER: control.message_id,
        SIGNATURE_HEADER: signer.sign(control.subject, payload),
    }
    clock = asyncio.get_running_loop().time
    while True:
        patience_s = max(0.1, min(_ATTEMPT_S, deadline - clock()))
        try:
            return await link.publish_stored(control.subject, payload, headers=headers, timeout_s=patience_s)
        except Denied:
            raise
        except LinkError as error:
            if clock() + _PAUSE_S >= deadline:
                raise _unknown(error, control) from error
        await asyncio.sleep(_PAUSE_S)


def _unknown(error: LinkError, control: Control) -> LinkError:
    return RequestTimedOut(
        f"no receipt for {control.verb.value}: it may have been stored or not ({error.message})",
        hint=f"Run it again; said twice it does no harm. {_OWN_HALT}",
    )


async def _audited(link: Link, desk: Desk, said: Said, *, action: str = "") -> None:
    control, before = said.control, said.before
    await record(
        link,
        desk,
        action=action or f"control {control.verb.value}",
        target=f"user {control.user}" if control.user else "all users",
        before={"verb": before.verb.value, "reason": before.reason, "sequence": before.sequence} if before else None,
        after={
            "verb": control.verb.value,
            "reason": control.reason,
            "control_id": control.control_id,
            "sequence": said.sequence,
        },
    )


def is_held_back(desk: Desk, names: tuple[str, ...]) -> bool:
    """Whether something stands that these friends would have to hear again and that cannot be signed just now."""
    if not read_standing(desk).in_force_for(names):
        return False
    return rotation_state(desk, read_vault(desk.vault)).is_half_done


async def repeat_for(link: Link, desk: Desk, names: tuple[str, ...], *, timeout_s: float = 10.0) -> tuple[Said, ...]:
    """Say again what stands for these friends: their durables begin behind where it was said.

    Call it before the durables are made and after their start was chosen: then no crash leaves one without it.
    Raises as `issue`.
    """
    if not names:
        return ()
    return await _repeat(link, desk, lambda standing: standing.in_force_for(names), timeout_s)


async def repeat_due(link: Link, desk: Desk, *, timeout_s: float = 10.0) -> tuple[Said, ...]:
    """Say again what stands and does not lie in the stream: too old for it, without a receipt, or of another stream.

    Raises as `issue`.
    """
    state = (await link.api(f"{API_PREFIX}.STREAM.INFO.{STREAM}"))["state"]
    kept = range(int(state["first_seq"]), int(state["last_seq"]) + 1)

    def due(standing: Standing) -> Scopes:
        in_force = standing.in_force_for(tuple(standing.users))
        return tuple((user, word) for user, word in in_force if word.sequence not in kept)

    return await _repeat(link, desk, due, timeout_s)


async def _repeat(link: Link, desk: Desk, chosen: Callable[[Standing], Scopes], timeout_s: float) -> tuple[Said, ...]:
    if not chosen(read_standing(desk)):
        return ()
    deadline = asyncio.get_running_loop().time() + timeout_s
    async with standing_held(desk):
        signer, standing = _signer(desk), read_standing(desk)
        done = []
        for user, word in chosen(standing):
            said, standing = await _repeated(link, desk, standing, user, word, signer, deadline)
            done.append(said)
    return tuple(done)


async def _repeated(
    link: Link, desk: Desk, standing: Standing, user: str | None, word: Word, signer: Signer, deadline: float
) -> tuple[Said, Standing]:
    control = _control_from(Order(word.verb, user, word.reason), datetime.now(UTC))
    sequence = (await _stored(link, control, signer, deadline)).sequence
    after = standing.with_word(user, Word(word.verb, word.reason, control.issued_at, sequence))
    write_standing(desk, after)
    said = Said(control, word, sequence)
    await _audited(link, desk, said, action="control repeat")
    return said, after
