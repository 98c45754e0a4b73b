"""One signed message through the whole way, to nobody who could trade it.

    vault signs a notice ─▶ stream SIGNALS ─▶ durable of canary-… ─▶ account FRIENDS ─▶ pulled, checked, confirmed

The user exists for a minute and is in no registry. His name is new each time, so that no friend's durable matches
`control.user.<name>.*`; a notice orders nothing, and it is no signal. Not a drill: paper engines trade those.
"""

from __future__ import annotations

import asyncio
import secrets
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson

from signal_admin.apply import delete_durable
from signal_admin.desk import Desk, ServerRecord
from signal_admin.dial import tls_options
from signal_admin.issuing import mint_user
from signal_admin.vault import Vault, read_vault
from signal_contract.control import Control, Verb, control_bytes, read_control
from signal_contract.creds import read_creds, write_secret
from signal_contract.delivery import Delivery
from signal_contract.doctor.finding import Verdict, fail, ok, warn
from signal_contract.link import Link, opened
from signal_contract.permissions import RoleName
from signal_contract.signing import MESSAGE_ID_HEADER, SIGNATURE_HEADER
from signal_contract.subject import CONTROL_USER
from signal_contract.topology import (
    API_PREFIX,
    SECOND_NS,
    STREAM,
    durable_config,
    durable_name,
    is_own_ack,
    pull_subject,
)

_LIFE_S = 60
_ARRIVAL_S, _SLOW_S = 3.0, 2.0


@dataclass(frozen=True, slots=True)
class Flight:
    """What became of a canary: seconds to the stream's receipt, and to its arrival (None: it did not arrive)."""

    sequence: int
    stored_s: float
    arrived_s: float | None


def judged_flight(flight: Flight) -> Verdict:
    """D29. Pure."""
    text = f"stored at {flight.sequence} after {flight.stored_s * 1000:.0f} ms"
    if flight.arrived_s is None:
        return fail(f"{text}, and did not arrive within {_ARRIVAL_S:g} s")
    text = f"{text}, checked and confirmed after {flight.arrived_s * 1000:.0f} ms"
    return warn(text) if flight.arrived_s > _SLOW_S else ok(text)


async def flown(desk: Desk, record: ServerRecord, admin: Link) -> Flight:
    """Send one canary. Asks for the vault's passphrase where it has one; raises CredsInvalid, a LinkError."""
    vault, name = read_vault(desk.vault), f"canary-{secrets.token_hex(4)}"
    await _make_durable(admin, name)
    try:
        async with _logged_in(vault, record, name) as link:
            return await _sent(vault, admin, link, name)
    finally:
        await delete_durable(admin, name)


async def _make_durable(admin: Link, name: str) -> None:
    own = f"{CONTROL_USER}.{name}.*"
    info = await admin.api(f"{API_PREFIX}.STREAM.INFO.{STREAM}")
    start = int(info["state"]["last_seq"]) + 1
    config = durable_config(name, (own,), start_sequence=start) | {
        # Its own word only; and should we be killed here, the server removes it.
        "filter_subjects": [own],
        "inactive_threshold": _LIFE_S * SECOND_NS,
        "mem_storage": True,
    }
    subject = f"{API_PREFIX}.CONSUMER.CREATE.{STREAM}.{durable_name(name)}"
    await admin.api(subject, {"stream_name": STREAM, "config": config, "action": "create"})


@asynccontextmanager
async def _logged_in(vault: Vault, record: ServerRecord, name: str) -> AsyncIterator[Link]:
    now = datetime.now(UTC)
    _, content = mint_user(
        vault, name=name, role=RoleName.SUBSCRIBER, issued_at=now, expires_at=now + timedelta(seconds=_LIFE_S)
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "canary.creds"
        write_secret(path, content)
        creds = read_creds(path, role=RoleName.SUBSCRIBER.value)
    async with opened([record.url], creds, label="catalyst-doctor-canary", **tls_options(record)) as link:
        yield link


async def _sent(vault: Vault, admin: Link, link: Link, name: str) -> Flight:
    clock = asyncio.get_running_loop().time
    arrived: asyncio.Future[Delivery] = asyncio.get_running_loop().create_future()

    async def take(message: Delivery) -> None:
        if is_own_ack(message.reply, name) and not arrived.done():
            arrived.set_result(message)

    inbox = link.new_inbox()
    await link.subscribe(inbox, take)
    body = orjson.dumps({"batch": 1, "expires": int(_ARRIVAL_S * SECOND_NS)})
    await link.publish(pull_subject(name), body, reply=inbox)
    await link.flush()
    control, started = _notice(name), clock()
    payload = control_bytes(control)
    signature = vault.signer.sign(control.subject, payload)
    headers = {MESSAGE_ID_HEADER: control.message_id, SIGNATURE_HEADER: signature}
    receipt = await admin.publish_stored(control.subject, payload, headers=headers)
    stored_s = clock() - started
    try:
        async with asyncio.timeout(_ARRIVAL_S):
            message = await arrived
    except TimeoutError:
        return Flight(receipt.sequence, stored_s, None)
    vault.signer.verifier.check(message.subject, message.data, message.headers.get(SIGNATURE_HEADER))
    read_control(message.subject, message.data)
    await link.publish(message.reply, b"+ACK")
    await link.flush()
    return Flight(receipt.sequence, stored_s, clock() - started)


def _notice(name: str) -> Control:
    return Control(
        control_id=secrets.token_hex(16),
        verb=Verb.NOTICE,
        user=name,
        reason="canary of `catalyst doctor`: nothing to do",
        issued_at=datetime.now(UTC),
    )
