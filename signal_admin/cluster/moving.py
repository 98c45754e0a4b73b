"""`catalyst cluster migrate` as a value: counts the nodes, moves the streams, writes it into the audit log."""

from __future__ import annotations

from signal_admin.audit import record
from signal_admin.cluster.replicas import Migration, Say, migrated, replicas_checked
from signal_admin.desk import Desk
from signal_admin.dial import dial
from signal_admin.system import all_servers
from signal_contract.permissions import RoleName


async def move(desk: Desk, replicas: int, say: Say, *, timeout_s: float, dry_run: bool = False) -> Migration:
    """Bring every stream to `replicas` copies. Raises InputError (too few nodes), or as `migrated`."""
    async with dial(desk, RoleName.SYSTEM, "catalyst-migrate") as system:
        servers = await all_servers(system)
    replicas_checked(replicas, sum(not each.is_silent for each in servers))
    async with dial(desk, RoleName.ADMIN, "catalyst-migrate") as link:
        done = await migrated(link, replicas, say, timeout_s=timeout_s, dry_run=dry_run)
        if not dry_run:
            await record(
                link,
                desk,
                action="cluster migrate",
                target=", ".join(each.stream for each in done.moved),
                before={each.stream: each.replicas_before for each in done.moved},
                after=done.as_dict(),
            )
    return done
