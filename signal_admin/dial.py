"""The operator's way to his running server: the one place that knows its address, its CA and each role's creds."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from signal_admin.desk import Desk, ServerRecord
from signal_admin.issuing import own_creds
from signal_contract.errors import ServerUnreachable
from signal_contract.link import Link, opened
from signal_contract.permissions import RoleName


def tls_options(record: ServerRecord) -> dict[str, Any]:
    """What `Link.open` must be told to check this server's certificate."""
    return {"ca_file": Path(record.ca_file) if record.ca_file else None, "tls_name": record.tls_name}


@asynccontextmanager
async def dial(desk: Desk, role: RoleName, label: str, *, connect_timeout_s: float = 5.0) -> AsyncIterator[Link]:
    """Connect to the server of this data directory as `role`; `label` is the connection's name in its monitoring.

    Raises ServerUnreachable when no server is recorded or it does not answer within `connect_timeout_s` seconds.
    """
    record = desk.server_record()
    if record is None:
        raise ServerUnreachable(f"no server runs on {desk.root}", hint="Start it with `catalyst up`.")
    async with dialled(record, desk, role, label, connect_timeout_s=connect_timeout_s) as link:
        yield link


@asynccontextmanager
async def dialled(
    record: ServerRecord, desk: Desk, role: RoleName, label: str, *, connect_timeout_s: float = 5.0
) -> AsyncIterator[Link]:
    """As `dial`, for a server that is not recorded yet."""
    creds = own_creds(desk, role)
    options = tls_options(record)
    async with opened([record.url], creds, label=label, connect_timeout_s=connect_timeout_s, **options) as link:
        yield link
