"""Writes what three machines need to run a node each: a folder for each, with configuration, certificates, README.

The operator's keys are not in them: a node needs the accounts' JWTs, which are public, and can mint nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path, PurePosixPath

from signal_admin.cluster.nodes import (
    ROUTE_PORT,
    Common,
    Node,
    RouteTls,
    node_text,
    nodes_checked,
    size_checked,
)
from signal_admin.cluster.route_certificates import authority, node_certificate, pem_of
from signal_admin.cluster.running import cluster_folder, common_of, read_templates, route_password
from signal_admin.desk import Desk
from signal_admin.prepare import Ready, held, make_ready
from signal_admin.server.config import TlsFiles
from signal_admin.settings import DEFAULT_PORT, UpSettings, host_port, hosts_from, is_local
from signal_contract.creds import read_secret, write_secret
from signal_contract.errors import ConfigInvalid, Conflict, StorageFailed

REMOTE_FOLDER = PurePosixPath("/var/lib/catalyst-node")
_EVERYWHERE = "0.0.0.0"  # noqa: S104  # behind TLS on both ports


@dataclass(frozen=True, slots=True)
class Written:
    """What was written: one folder a host, and the addresses that friends are told."""

    folders: tuple[Path, ...]
    hosts: tuple[str, ...]
    public: tuple[str, ...]


def remote_nodes(hosts: tuple[str, ...], *, port: int, route_port: int, at: PurePosixPath) -> tuple[Node, ...]:
    """A node for each host, as it will run there; raises InputError (how many), ConfigInvalid (the same one twice)."""
    size_checked(len(hosts))
    return tuple(
        Node(f"n{number + 1}", _EVERYWHERE, host, port, route_port, Path(at)) for number, host in enumerate(hosts)
    )


def written(
    desk: Desk,
    settings: UpSettings,
    hosts_text: str,
    out: Path,
    *,
    now: datetime,
    at: PurePosixPath = REMOTE_FOLDER,
    route_port: int = ROUTE_PORT,
) -> Written:
    """Write `out/<host>/` for each host of `a,b,c`. `at` is where the folder will lie on the machine.

    The directory must not be running. Raises AlreadyRunning, InputError, ConfigInvalid, Conflict (something is there),
    CredsInvalid, StorageFailed.
    """
    hosts = hosts_from(hosts_text)
    near = [host for host in hosts if is_local(host)]
    if near:
        raise ConfigInvalid(
            f"{near[0]} means another machine on each of them", hint="Name them as they see each other."
        )
    nodes = remote_nodes(hosts, port=settings.port or DEFAULT_PORT, route_port=route_port, at=at)
    taken = [out / host for host in hosts if (out / host).exists()]
    if taken:
        raise Conflict(f"{taken[0]} is there already", hint="Name another folder with --out.")
    public = settings.public or tuple(f"tls://{host_port(host, nodes[0].port)}" for host in hosts)
    with held(desk):
        # Every node shows the same certificate, which names them all: a client may reach any of them.
        names = tuple(dict.fromkeys([*settings.tls_hosts, *hosts])) if settings.cert is None else settings.tls_hosts
        ready = make_ready(desk, replace(settings, tls_hosts=names, public=public), now)
        return _all_written(desk, ready, nodes, out, at, now)


def _all_written(
    desk: Desk, ready: Ready, nodes: tuple[Node, ...], out: Path, at: PurePosixPath, now: datetime
) -> Written:
    tls = RouteTls(Path(at / "route.pem"), Path(at / "route.key"), Path(at / "routes-ca.pem"))
    # The folder is the same on each machine; what tells the nodes apart is the host.
    nodes_checked(tuple(replace(each, folder=each.folder / each.name) for each in nodes), tls)
    if ready.certificate is None:
        raise ConfigInvalid("nodes on several machines need TLS", hint="Give the names: catalyst init --tls a,b,c")
    common = replace(common_of(ready), tls=TlsFiles(Path(at / "server.pem"), Path(at / "server.key")))
    password, folders = route_password(desk), []
    ca, ca_key = authority(cluster_folder(desk), now)
    shared = {
        "server.pem": ready.certificate.cert.read_text(encoding="ascii"),
        "server.key": read_secret(ready.certificate.key, what="TLS key"),
        "routes-ca.pem": pem_of(ca),
    }
    for node in nodes:
        key, certificate = node_certificate(ca, ca_key, node.reach, now)
        own = {"route.key": key, "route.pem": certificate, "server.conf": _conf(node, nodes, common, password, tls)}
        folders.append(_one_written(out / node.reach, {**shared, **own, "README.md": _readme(node, nodes, ready, at)}))
    return Written(tuple(folders), tuple(each.reach for each in nodes), ready.settings.public)


def _conf(node: Node, nodes: tuple[Node, ...], common: Common, password: str, tls: RouteTls) -> str:
    apart = tuple(replace(each, folder=each.folder / each.name) for each in nodes)
    return node_text(read_templates(), node, apart, common, password, tls)


def _one_written(folder: Path, texts: dict[str, str]) -> Path:
    try:
        for part in (folder, folder / "ports", folder / "jwt"):
            part.mkdir(mode=0o700, parents=True)
        for name, text in texts.items():
            write_secret(folder / name, text)
    except OSError as error:
        raise StorageFailed(f"cannot write {folder}: {error.strerror or error}") from error
    return folder


def _readme(node: Node, nodes: tuple[Node, ...], ready: Ready, at: PurePosixPath) -> str:
    others = ", ".join(each.reach for each in nodes if each is not node)
    key = (
        "\nThe store is encrypted: put the store key into the service's environment as CATALYST_STORE_KEY (in double\n"
        "quotes), from `<data>/vault/store.key` of the operator. It is not in this folder.\n"
        if ready.store_key
        else ""
    )
    return f"""# Node {node.name} on {node.reach}

One of {len(nodes)} nodes; the others are {others}. Keep this folder private: it holds the keys of the server's
certificate and of its lines to the other nodes. The keys that let friends in are not here.

1. Copy this folder to `{at}` on {node.reach}, owned by the user that runs the server, mode 0700.
2. Let in: TCP {node.port} from your friends; TCP {node.route_port} from the other nodes only.
3. Install nats-server 2.12 or newer, the same version on every node.
4. Run it, and have the system start it again when it ends: `nats-server -c {at}/server.conf`
{key}
Do the same on every machine. Never copy the `jetstream` folder of a single server or of another node to here: a node
deletes what its cluster does not know.

A new certificate is written by `catalyst cluster config` into a new folder: copy `server.pem` and `server.key` over the
old ones and send the server a SIGHUP; connections stay.
"""
