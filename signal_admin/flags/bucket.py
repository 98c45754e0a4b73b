"""Sets a flag: kept first, then signed with the publisher's key and put under the one key of bucket FLAGS.

Whatever the server has not got is sent by the next `flag set` or `catalyst up`, and signed again after the publisher's
key has changed: an agent believes nothing that a retired key signed.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from signal_admin.audit import record
from signal_admin.desk import Desk
from signal_admin.dial import dial
from signal_admin.flags.kept import read_kept, with_flag, write_kept
from signal_admin.rotation import rotation_state
from signal_admin.standing import standing_held
from signal_admin.vault import read_vault
from signal_contract.errors import Conflict, LinkError, NotFound, SignatureInvalid
from signal_contract.flags import Flag, FlagSet, flag_checked, flags_bytes, loosens
from signal_contract.link import Link
from signal_contract.permissions import RoleName
from signal_contract.receipts import raise_api_error
from signal_contract.signing import SIGNATURE_HEADER, Signer, Verifier
from signal_contract.topology import API_PREFIX, FLAGS_STREAM, FLAGS_SUBJECT

_NO_MESSAGE = 10037  # JetStream's err_code: no message found


@dataclass(frozen=True, slots=True)
class Change:
    """One flag before and after; None: not set. `is_loosening`: some friend may be allowed more by it."""

    name: str
    before: Flag | None
    after: Flag | None

    @property
    def is_loosening(self) -> bool:
        return loosens(self.name, self.before, self.after)

    def as_dict(self) -> dict[str, Any]:
        return {
            "flag": self.name,
            "before": _document(self.before),
            "after": _document(self.after),
            "loosens": self.is_loosening,
        }


def _document(flag: Flag | None) -> dict[str, Any] | None:
    return flag.model_dump(mode="json") if flag is not None else None


def change_from(desk: Desk, name: str, value: str | None, percent: int = 100) -> Change:
    """What setting a flag would change; `value` None takes it away. Raises InputError, NotFound, StorageFailed."""
    kept = read_kept(desk)
    before = kept.flags.get(name) if kept else None
    if value is None:
        if before is None:
            raise NotFound(f"the flag {name[:40]} is not set", hint="`catalyst flag list` shows those that are.")
        return Change(name, before, None)
    return Change(name, before, flag_checked(name, value, percent))


async def apply(desk: Desk, change: Change, *, now: datetime) -> FlagSet:
    """Keep a change and publish it. Raises ServerUnreachable when nothing was done, Conflict when the publisher's key
    is being changed or another command was faster, a LinkError when it is kept and could not be sent.
    """
    read_vault(desk.vault)  # asks for its passphrase before anything is held
    async with dial(desk, RoleName.ADMIN, "catalyst-flag") as link:
        async with standing_held(desk):
            signer, kept = _signer(desk), read_kept(desk)
            if (kept.flags.get(change.name) if kept else None) != change.before:
                raise Conflict(f"{change.name} was changed by another command meanwhile", hint="Look, and try again.")
            flags = with_flag(kept, change.name, change.after, now)
            write_kept(desk, flags)
            await _published(link, flags, signer)
        before, after = _document(change.before), _document(change.after)
        await record(link, desk, action="flag set", target=f"flag {change.name}", before=before, after=after)
    return flags


async def publish_due(link: Link, desk: Desk) -> bool:
    """Publish what is kept when the server has it not, or signed by an earlier key; whether it was sent.

    `link` is an admin's. Raises Conflict, StorageFailed, a LinkError.
    """
    if read_kept(desk) is None:
        return False
    async with standing_held(desk):
        signer, flags = _signer(desk), read_kept(desk)
        if flags is None or await is_published(link, flags, signer.verifier):
            return False
        await _published(link, flags, signer)
    return True


async def is_published(link: Link, flags: FlagSet, verifier: Verifier) -> bool:
    """Whether the bucket holds just these flags, signed by this key. Raises a LinkError."""
    reply = await link.request(f"{API_PREFIX}.STREAM.MSG.GET.{FLAGS_STREAM}", _LAST)
    answer: Any = orjson.loads(reply.data)
    if (answer.get("error") or {}).get("err_code") == _NO_MESSAGE:
        return False
    raise_api_error(answer)
    try:
        data, headers = _parts(answer["message"])
        verifier.check(FLAGS_SUBJECT, data, headers.get(SIGNATURE_HEADER))
    except (KeyError, ValueError, binascii.Error, SignatureInvalid):
        return False
    return data == flags_bytes(flags)


_LAST = orjson.dumps({"last_by_subj": FLAGS_SUBJECT})


def _parts(message: Mapping[str, Any]) -> tuple[bytes, dict[str, str]]:
    """Payload and headers of a stored message."""
    lines = base64.b64decode(message.get("hdrs", ""), validate=True).decode().split("\r\n")[1:]
    pairs = (line.partition(":") for line in lines if ":" in line)
    return base64.b64decode(message.get("data", ""), validate=True), {name: text.strip() for name, _, text in pairs}


async def _published(link: Link, flags: FlagSet, signer: Signer) -> None:
    payload = flags_bytes(flags)
    try:
        headers = {SIGNATURE_HEADER: signer.sign(FLAGS_SUBJECT, payload)}
        await link.publish_stored(FLAGS_SUBJECT, payload, headers=headers)
    except LinkError as error:
        raise type(error)(
            f"the flags are kept here, but it is not known whether the server has them: {error.message}",
            hint="The next `catalyst up` sends them; or set the flag again.",
        ) from error


def _signer(desk: Desk) -> Signer:
    vault = read_vault(desk.vault)
    if rotation_state(desk, vault).is_half_done:
        raise Conflict(
            "the change of the publisher's key is half done; until it is finished nothing can be signed",
            hint="Finish it: catalyst vault rotate-publisher-key",
        )
    return vault.signer
