"""Nodes as on three machines: TLS between them, certificates shown on both ends, and the operator's side elsewhere."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from test_cluster_migrate import Publishing, three_ports

from signal_admin.cluster.attending import attended
from signal_admin.cluster.node_process import NodeProcess
from signal_admin.cluster.nodes import Node, RouteTls, node_text
from signal_admin.cluster.route_certificates import authority, node_certificate, pem_of
from signal_admin.cluster.running import common_of, read_templates
from signal_admin.desk import make_desk
from signal_admin.dial import dial
from signal_admin.prepare import make_ready
from signal_admin.server.binary import find_binary
from signal_admin.settings import UpSettings
from signal_admin.users import add_user
from signal_contract.creds import write_secret
from signal_contract.errors import CatalystError, LinkError
from signal_contract.permissions import RoleName
from signal_contract.topology import STREAM

TLS = UpSettings(tls_hosts=("127.0.0.1",))


def route_tls(folder, authority_folder, now):
    """A node's files for its lines, as `catalyst cluster config` makes them."""
    folder.mkdir(parents=True, exist_ok=True)
    ca, ca_key = authority(authority_folder, now)
    key, certificate = node_certificate(ca, ca_key, "127.0.0.1", now)
    for name, text in (("route.key", key), ("route.pem", certificate), ("ca.pem", pem_of(ca))):
        write_secret(folder / name, text)
    return RouteTls(folder / "route.pem", folder / "route.key", folder / "ca.pem")


class Machines:
    """Three nodes with TLS for friends and between each other; `authorities` may give one another authority."""

    def __init__(self, root, authorities=("a", "a", "a")) -> None:
        self.desk, now, first = make_desk(root / "desk"), datetime.now(UTC), three_ports()
        ready = make_ready(self.desk, TLS, now)
        self.nodes = tuple(
            Node(f"n{each + 1}", "127.0.0.1", "127.0.0.1", first + each, first + 3 + each, root / f"n{each + 1}")
            for each in range(3)
        )
        self.urls = [f"tls://127.0.0.1:{node.port}" for node in self.nodes]
        self.processes = []
        for node, name in zip(self.nodes, authorities, strict=True):
            tls = route_tls(node.folder, root / name, now)
            text = node_text(read_templates(), node, self.nodes, common_of(ready), "secret", tls)
            self.processes.append(NodeProcess(node, find_binary(None), text, True, [].append))

    @asynccontextmanager
    async def running(self):
        async with AsyncExitStack() as stack:
            for each in self.processes:
                stack.push_async_callback(each.stop)
                await each.start()
            yield


async def test_the_operator_looks_after_nodes_elsewhere_and_follows_the_ones_that_live(tmp_path, until):
    machines = Machines(tmp_path)
    async with machines.running(), attended(machines.desk.root, TLS, machines.urls, [].append) as up:
        record = up.desk.server_record()
        assert record.url == machines.urls[0]
        added = await add_user(up.desk, "alice", ("signals.*.*",), now=datetime.now(UTC))
        assert added.has_durable
        assert all(url in added.config.read_text() for url in machines.urls)
        async with dial(up.desk, RoleName.ADMIN, "test") as link:
            info = await link.api(f"$JS.API.STREAM.INFO.{STREAM}")
            assert len(info["cluster"]["replicas"]) == 2
        async with dial(up.desk, RoleName.PUBLISHER, "test") as link:
            await Publishing(link).one(1)
        machines.processes[0].kill()
        await until(lambda: up.desk.server_record().url != machines.urls[0], what="another node is told", timeout_s=20)
        async with dial(up.desk, RoleName.ADMIN, "test") as link:
            async with asyncio.timeout(30):
                while await last_sequence(link) != 1:
                    pass
    assert machines.desk.server_record() is None


async def last_sequence(link):
    """None while there is no leader; then it does not answer."""
    try:
        return (await link.api(f"$JS.API.STREAM.INFO.{STREAM}", timeout_s=1))["state"]["last_seq"]
    except LinkError:
        return None


async def test_a_machine_with_a_certificate_of_another_authority_cannot_join(tmp_path, until):
    machines = Machines(tmp_path, authorities=("a", "a", "stranger"))
    async with machines.running():
        refused = "tls: failed to verify certificate"
        await until(lambda: refused in machines.nodes[2].log.read_text(), what="the line is refused")
        one, two, stranger = (node.log for node in machines.nodes)
        # Two of three vote while the third knocks at the door: it has taken 23 to 37 s here.
        await until(
            lambda: "metadata leader" in one.read_text() + two.read_text(), what="the others elect one", timeout_s=90
        )
        assert "metadata leader" not in stranger.read_text()


@pytest.mark.parametrize("servers", [[], ["tls://a.example.org:4222"]], ids=["none", "one"])
async def test_fewer_than_two_addresses_are_refused(tmp_path, servers):
    with pytest.raises(CatalystError):
        async with attended(tmp_path / "data", replace(TLS, port=4222), servers, [].append):
            pass
