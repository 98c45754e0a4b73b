"""Three nats-servers on loopback: operator JWTs, JetStream, R3. Nodes are killed and started by number."""

from __future__ import annotations

import asyncio
import json
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from chaos_load import BUSY
from chaos_process import SIGKILL, Crew, waited
from chaos_wire import Wire, free_ports
from processes import with_settings

from signal_admin.apply import provision
from signal_admin.desk import ServerRecord, make_desk
from signal_admin.issuing import IssuedAccounts, issue_accounts, issue_own_creds, write_publisher_settings
from signal_admin.registry import registry_locked
from signal_admin.server.binary import find_binary
from signal_admin.users import add_user, entitlement_from
from signal_admin.vault import make_vault, read_vault
from signal_contract.creds import read_creds, write_secret
from signal_contract.errors import CatalystError
from signal_contract.link import Link, opened
from signal_contract.topology import STREAM, Account, feedback_stream_config, stream_config

NODES = 3
_STREAMS, _STREAM_BYTES = (stream_config, feedback_stream_config), 64 << 20
# An election and the catch-up of a node on two busy cores.
HEALTHY_S = 90.0


class Cluster(Wire):
    """Stands in for `catalyst up`: the same accounts, stream and durables, on three servers."""

    def __init__(self, data: Path, crew: Crew) -> None:
        clients, self._routes = free_ports(NODES), free_ports(NODES)
        super().__init__(data, crew, port=clients[0])
        self.urls = [f"nats://127.0.0.1:{port}" for port in clients]
        self._clients = clients
        self._binary = str(find_binary(None))
        self.nodes: dict[int, subprocess.Popen[bytes]] = {}

    def bring_up(self, *, friend: str) -> Path:
        """Start all nodes and provision them for one friend; the path of his config."""
        desk = make_desk(self.data)
        make_vault(desk.vault)
        vault, now = read_vault(desk.vault), datetime.now(UTC)
        issued = issue_accounts(desk, vault, now)
        issue_own_creds(desk, vault, now)
        for node in range(NODES):
            (self.data / f"n{node}.conf").write_text(self._conf(issued, node))
            self.start_node(node)
        record = ServerRecord(self.urls[0], 1, self.nodes[0].pid, now.isoformat())
        desk.write_server_record(record)
        write_publisher_settings(desk, record)
        settings = json.loads((desk.publisher / "settings.json").read_text())
        write_secret(desk.publisher / "settings.json", json.dumps(settings | {"servers": self.urls}))
        waited(self._is_provisioned, what="stream and durables with three replicas", timeout_s=HEALTHY_S)
        entitlement = entitlement_from([], ["signals.*.*"])
        added = asyncio.run(add_user(desk, friend, entitlement, now=datetime.now(UTC)))
        self.wait_healthy()
        return with_settings(added.config, servers=self.urls, risk=BUSY)

    def _is_provisioned(self) -> bool:
        async def work(link: Link) -> None:
            desk = make_desk(self.data)
            with registry_locked(desk):
                await provision(link, desk, [make(max_bytes=_STREAM_BYTES, replicas=NODES) for make in _STREAMS])

        try:
            self.asked("admin", work)
        except CatalystError:
            return False  # no leader yet
        return True

    def _conf(self, issued: IssuedAccounts, node: int) -> str:
        preload = "\n".join(f"  {issued.keys[account]}: {jwt}" for account, jwt in issued.accounts.items())
        routes = ", ".join(f'"nats-route://127.0.0.1:{port}"' for port in self._routes)
        return f"""
listen: "127.0.0.1:{self._clients[node]}"
server_name: n{node}
max_control_line: 8KB
log_file: "{self.data}/n{node}.log"
jetstream {{ store_dir: "{self.data}/js{node}", sync_interval: always, max_file_store: 1GB, max_memory_store: 64MB }}
operator: {issued.operator_jwt}
system_account: {issued.keys[Account.SYS]}
resolver {{ type: full, dir: "{self.data}/jwt{node}", allow_delete: true, interval: "5s" }}
resolver_preload: {{
{preload}
}}
cluster {{ name: c, listen: "127.0.0.1:{self._routes[node]}", routes: [{routes}] }}
"""

    # Nodes --------------------------------------------------------------------------------------------------------

    def start_node(self, node: int) -> None:
        with (self.data / f"n{node}.stderr").open("ab") as stderr:
            command = [self._binary, "-c", str(self.data / f"n{node}.conf")]
            self.nodes[node] = subprocess.Popen(command, stdout=stderr, stderr=stderr)

    def end_node(self, node: int, number: int = SIGKILL) -> None:
        self.nodes[node].send_signal(number)
        self.nodes[node].wait(60)

    def leader(self) -> int:
        """The node that leads the stream; it must have a leader."""

        async def ask(link: Link) -> int:
            info = await link.api(f"$JS.API.STREAM.INFO.{STREAM}", timeout_s=2)
            return int(str(info["cluster"]["leader"]).removeprefix("n"))

        return int(self.asked("admin", ask))

    def is_healthy(self) -> bool:
        """Whether stream and durables have a leader and every replica is up to date."""

        async def ask(link: Link) -> bool:
            stream = await link.api(f"$JS.API.STREAM.INFO.{STREAM}", timeout_s=2)
            consumers = (await link.api(f"$JS.API.CONSUMER.LIST.{STREAM}", {"offset": 0}, timeout_s=2))["consumers"]
            return all(_is_whole(each.get("cluster") or {}) for each in (stream, *(consumers or [])))

        try:
            return bool(self.asked("admin", ask))
        except CatalystError:
            return False

    def wait_healthy(self) -> None:
        waited(self.is_healthy, what="every replica is up to date", timeout_s=HEALTHY_S)

    def is_let_in(self, creds: Path, node: int) -> bool:
        """Whether a node accepts these creds; a node that is not up yet counts as yes, it has not refused."""

        async def knock() -> bool:
            try:
                async with opened([self.urls[node]], read_creds(creds), label="chaos", connect_timeout_s=2):
                    return True
            except CatalystError as error:
                return error.code in ("SERVER_UNREACHABLE", "REQUEST_TIMED_OUT")

        return asyncio.run(knock())

    def end(self) -> None:
        for process in self.nodes.values():
            process.kill()
            process.wait(10)


def _is_whole(cluster: dict[str, Any]) -> bool:
    replicas = cluster.get("replicas") or []
    return (
        bool(cluster.get("leader"))
        and len(replicas) == NODES - 1
        and all(each.get("current") and not each.get("offline") for each in replicas)
    )
