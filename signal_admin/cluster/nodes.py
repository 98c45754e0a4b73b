"""The nodes of a cluster as values, and their configuration as text. Pure: settings in, text out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Template

from signal_admin.server.config import RANDOM_PORT, ServerConfig, TlsFiles, quoted, rendered
from signal_admin.settings import host_port, is_local
from signal_contract.errors import ConfigInvalid, InputError

CLUSTER_NAME = "catalyst"
TEMPLATE_NAME = "nats/cluster.conf"
ROUTE_USER = "node"
ROUTE_PORT = 6222
SIZES = (3, 5)


@dataclass(frozen=True, slots=True)
class Node:
    """One nats-server of the cluster. `reach` is the host name or address that the other nodes dial.

    `host` is what it listens on; ports 1..65535. `folder` is its own: store, resolver, log and configuration.
    """

    name: str
    host: str
    reach: str
    port: int
    route_port: int
    folder: Path
    monitor_port: int = 0
    wss_port: int = 0

    @property
    def conf(self) -> Path:
        return self.folder / "server.conf"

    @property
    def log(self) -> Path:
        return self.folder / "server.log"

    @property
    def stderr(self) -> Path:
        return self.folder / "server.stderr"

    @property
    def pid_file(self) -> Path:
        return self.folder / "nats-server.pid"

    @property
    def ports(self) -> Path:
        return self.folder / "ports"

    @property
    def resolver(self) -> Path:
        return self.folder / "jwt"

    @property
    def folders(self) -> tuple[Path, ...]:
        return (self.folder, self.ports, self.resolver)


@dataclass(frozen=True, slots=True)
class RouteTls:
    """PEM files for the lines between nodes: each shows its certificate to the other, both from this CA."""

    cert: Path
    key: Path
    ca: Path


def size_checked(nodes: int) -> int:
    """Return a number of nodes that survives the loss of one; raises InputError."""
    if nodes not in SIZES:
        raise InputError(
            f"{nodes} nodes: 3 or 5",
            hint="Two need both of them to agree, so they are worse than one; four than three.",
        )
    return nodes


def nodes_checked(nodes: tuple[Node, ...], tls: RouteTls | None) -> tuple[Node, ...]:
    """Return nodes that can form a cluster, or raise ConfigInvalid with everything that is wrong."""
    wrong = [f"{each.name}: routes in clear text to {each.reach}" for each in nodes if not tls and not _is_near(each)]
    for what, values in (
        ("name", [each.name for each in nodes]),
        ("folder", [str(each.folder) for each in nodes]),
        ("address", [(each.reach, port) for each in nodes for port in (each.port, each.route_port) if port > 0]),
    ):
        if len(set(values)) < len(values):
            wrong.append(f"two nodes have the same {what}")
    if wrong:
        raise ConfigInvalid(
            "these nodes cannot form a cluster",
            violations=tuple(wrong),
            hint="Between machines the nodes speak TLS: catalyst cluster config --hosts a,b,c makes the files.",
        )
    return nodes


def _is_near(node: Node) -> bool:
    # Without TLS the routes listen on loopback, wherever friends come from.
    return is_local(node.reach)


def cluster_block(template: str, node: Node, nodes: tuple[Node, ...], password: str, tls: RouteTls | None) -> str:
    """The text that is appended to a node's configuration; raises ConfigInvalid. It holds the routes' password."""
    nodes_checked(nodes, tls)
    if not password.isalnum():
        raise ConfigInvalid("the password of the routes is letters and digits")
    lines = ",\n".join(f"    {quoted(_route(each, password))}" for each in nodes)
    host = "127.0.0.1" if tls is None else node.host
    return Template(template).substitute(
        cluster=quoted(CLUSTER_NAME),
        listen=quoted(host_port(host, node.route_port)),
        user=quoted(ROUTE_USER),
        password=quoted(password),
        tls=_route_tls(tls) if tls else "# no TLS: all nodes are on this machine, and listen on loopback only",
        routes=lines,
    )


def _route(node: Node, password: str) -> str:
    return f"nats-route://{ROUTE_USER}:{password}@{host_port(node.reach, node.route_port)}"


def _route_tls(tls: RouteTls) -> str:
    files = {"cert_file": tls.cert, "key_file": tls.key, "ca_file": tls.ca}
    lines = [f"    {key}: {quoted(str(path))}" for key, path in files.items()]
    return "\n".join(["tls {", *lines, "    verify: true", '    min_version: "1.3"', "    timeout: 5", "  }"])


@dataclass(frozen=True, slots=True)
class Common:
    """What all nodes have in common: who signs, what is preloaded, how much disk, TLS for clients, the cipher."""

    operator_jwt: str
    system_account: str
    accounts: Mapping[str, str]
    max_store_bytes: int
    tls: TlsFiles | None = None
    is_encrypted: bool = False


def server_config(node: Node, common: Common) -> ServerConfig:
    """The part of a node's configuration that a single server has too."""
    if RANDOM_PORT in (node.port, node.route_port):
        raise ConfigInvalid(f"{node.name}: a node needs fixed ports, its neighbours dial them")
    return ServerConfig(
        host=node.host,
        port=node.port,
        monitor_port=node.monitor_port,
        server_name=node.name,
        max_store_bytes=common.max_store_bytes,
        store_dir=node.folder,
        resolver_dir=node.resolver,
        ports_dir=node.ports,
        pid_file=node.pid_file,
        log_file=node.log,
        operator_jwt=common.operator_jwt,
        system_account=common.system_account,
        accounts=common.accounts,
        tls=common.tls,
        wss_port=node.wss_port,
        is_encrypted=common.is_encrypted,
    )


@dataclass(frozen=True, slots=True)
class Templates:
    """The two templates: a server's, and what makes it a node."""

    server: str
    cluster: str


def node_text(
    templates: Templates, node: Node, nodes: tuple[Node, ...], common: Common, password: str, tls: RouteTls | None
) -> str:
    """A node's whole server.conf; raises ConfigInvalid."""
    block = cluster_block(templates.cluster, node, nodes, password, tls)
    return rendered(templates.server, server_config(node, common)) + block
