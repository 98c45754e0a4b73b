"""A nats-server of our own on a copy of the store: on loopback, a random port, and one login that nobody else has.

Streams are put back through it and read through it, so that neither the running server nor the original files are
touched. It runs under a throw-away operator; only the account's name is the real one, because the store lies under it.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

from signal_admin.claims import account_claims, operator_claims, signed_jwt, user_claims
from signal_admin.server.binary import find_binary, version_checked
from signal_admin.server.config import STORE_KEY_VARIABLE, quoted
from signal_admin.server.orphan import orphan_of, stop_orphan
from signal_admin.server.process import NatsProcess
from signal_contract.creds import Creds, write_secret
from signal_contract.link import Link, opened
from signal_contract.nkey import KeyKind, KeyPair
from signal_contract.permissions import RoleName

_HOST = "127.0.0.1"
_USER = "backup"
_CONF, _PID = "server.conf", "nats-server.pid"
# Opening a store reads all of it when its index is not there: 1 GB takes seconds, a slow disk has its time.
_START_TIMEOUT_S = 120.0
# Larger than any message and any chunk of a snapshot.
_MAX_PAYLOAD = "8MB"
# The store was within its limits where it comes from; here only the disk counts.
_MAX_STORE_BYTES = 1 << 40


def stop_left_over(folder: Path) -> None:
    """End every such server below a folder whose command was killed; blocks for up to 10 s each."""
    for conf in folder.rglob(_CONF):
        pid = orphan_of(conf.with_name(_PID), conf)
        if pid is not None:
            stop_orphan(pid, conf.with_name(_PID), conf)


def _identity(account_key: str, system_key: str) -> tuple[str, dict[str, str], Creds]:
    """Operator JWT, account JWTs by key, and the creds of the one user, all made for this run."""
    now = datetime.now(UTC)
    operator, operator_signing = KeyPair.generate(KeyKind.OPERATOR), KeyPair.generate(KeyKind.OPERATOR)
    signing, user = KeyPair.generate(KeyKind.ACCOUNT), KeyPair.generate(KeyKind.USER)
    operator_body = operator_claims(
        operator.public,
        name="backup",
        signing_keys=(operator_signing.public,),
        system_account=system_key,
        issued_at=now,
    )
    accounts = {
        account_key: account_claims(account_key, name="copy", issued_at=now, jetstream=True),
        system_key: account_claims(system_key, name="system", issued_at=now),
    }
    accounts[account_key]["nats"]["signing_keys"] = [signing.public]
    claims = user_claims(user.public, name=_USER, role=RoleName.ADMIN, account=account_key, issued_at=now)
    unlimited = {"subs": -1, "data": -1, "payload": -1}
    user_jwt = signed_jwt({**claims, "nats": {**claims["nats"], **unlimited}}, signing)
    creds = Creds(Path(_USER), _USER, RoleName.ADMIN.value, user.public, account_key, None, user_jwt, user)
    jwts = {key: signed_jwt(each, operator_signing) for key, each in accounts.items()}
    return signed_jwt(operator_body, operator), jwts, creds


def _config(store: Path, scratch: Path, operator_jwt: str, accounts: dict[str, str], system: str, *, key: bool) -> str:
    preload = "\n".join(f"  {quoted(name)}: {quoted(jwt)}" for name, jwt in accounts.items())
    cipher = f"cipher: chachapoly\n  key: ${STORE_KEY_VARIABLE}" if key else ""
    return f"""\
listen: "{_HOST}:-1"
server_name: "copy-{secrets.token_hex(4)}"
max_payload: {_MAX_PAYLOAD}
ports_file_dir: {quoted(str(scratch))}
log_file: {quoted(str(scratch / "server.log"))}
pid_file: {quoted(str(scratch / _PID))}
jetstream {{
  store_dir: {quoted(str(store))}
  max_file_store: {_MAX_STORE_BYTES}
  {cipher}
}}
operator: {operator_jwt}
system_account: {system}
resolver: MEMORY
resolver_preload: {{
{preload}
}}
"""


@asynccontextmanager
async def private_server(
    store: Path, scratch: Path, account_key: str, *, store_key: str | None = None, binary: Path | None = None
) -> AsyncIterator[Link]:
    """Run it on `<store>/jetstream` and connect with all rights in the account of this public key.

    `scratch` is a private folder for its log. Raises a kind of ServerStartFailed; it is stopped in any case.
    """
    chosen = find_binary(binary)
    version_checked(chosen)
    system = KeyPair.generate(KeyKind.ACCOUNT).public
    operator_jwt, accounts, creds = _identity(account_key, system)
    conf = scratch / _CONF
    write_secret(conf, _config(store, scratch, operator_jwt, accounts, system, key=store_key is not None))
    process = await NatsProcess.start(
        chosen,
        conf,
        host=_HOST,
        ports_dir=scratch,
        log_file=scratch / "server.log",
        stderr_file=scratch / "server.stderr",
        secrets={STORE_KEY_VARIABLE: quoted(store_key)} if store_key else None,
    )
    try:
        address = await process.ready(_START_TIMEOUT_S)
        async with opened([f"nats://{_HOST}:{address.port}"], creds, label="catalyst-backup") as link:
            yield link
    finally:
        await process.stop()
