"""A copy of SIGNALS at another site, as data: the hub's account for sites, a site's creds, its server and its mirror.

A site reads: nothing that it sends can enter the stream. But whoever may create a consumer says where its messages go,
and the server does not check that; so a site is a machine of the operator, trusted like him, and never a friend's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from string import Template
from typing import Any

from signal_admin.claims import account_claims, signed_jwt
from signal_admin.cluster.nodes import RouteTls
from signal_admin.server.config import quoted
from signal_admin.settings import host_port, is_local
from signal_contract.errors import ConfigInvalid
from signal_contract.nkey import KeyPair
from signal_contract.subject import user_name_checked
from signal_contract.topology import API_PREFIX, RESPONSE_THRESHOLD_NS, STREAM

ACCOUNT_NAME = "SITES"
DOMAIN_PREFIX = "site-"
HUB_PREFIX = "HUB.API"
LEAF_TEMPLATE, HUB_TEMPLATE = "nats/leaf.conf", "nats/leaf-hub.conf"
MAX_SITES = 16
_DELIVERY = "sites.*.>"
# A mirror asks for one consumer, hears its messages, and tells the hub how fast it can take them.
_CREATE = f"{API_PREFIX}.CONSUMER.CREATE.{STREAM}"
_FLOW = f"$JS.FC.{STREAM}.>"


def hub_exports() -> tuple[dict[str, Any], ...]:
    """What SIGNALS has to offer for sites, beside what it offers to friends and observers."""
    services = [
        {
            "name": name,
            "subject": subject,
            "type": "service",
            "response_type": "Singleton",
            "response_threshold": RESPONSE_THRESHOLD_NS,
        }
        for name, subject in (("site-consumer", _CREATE), ("site-flow", _FLOW))
    ]
    return (*services, {"name": "site-delivery", "subject": _DELIVERY, "type": "stream"})


def hub_imports(signals_account: str) -> tuple[dict[str, Any], ...]:
    """What SITES takes from SIGNALS (its public key). Not under `$JS.API`: every account answers that by itself."""
    renamed = _CREATE.replace(API_PREFIX, HUB_PREFIX)
    common = {"account": signals_account}
    return (
        {**common, "name": "site-consumer", "subject": _CREATE, "local_subject": renamed, "type": "service"},
        {**common, "name": "site-flow", "subject": _FLOW, "type": "service"},
        {**common, "name": "site-delivery", "subject": _DELIVERY, "type": "stream"},
    )


def sites_account(public_key: str, signing_key: str, signals_account: str, issued_at: datetime) -> dict[str, Any]:
    """Claims of account SITES: no JetStream of its own, room for `MAX_SITES` leaf nodes, one plain signing key."""
    claims = account_claims(public_key, name=ACCOUNT_NAME, issued_at=issued_at, imports=hub_imports(signals_account))
    details = claims["nats"]
    limits = {**details["limits"], "leaf": MAX_SITES}
    return {**claims, "nats": {**details, "limits": limits, "signing_keys": [signing_key]}}


def site_jwt(user_key: str, name: str, sites_key: str, signer: KeyPair, issued_at: datetime) -> str:
    """The JWT with which a site's server logs in: as a leaf node only, with a mirror's subjects only.

    Raises NameInvalid.
    """
    site = user_name_checked(name)
    create = _CREATE.replace(API_PREFIX, HUB_PREFIX)
    details: Mapping[str, Any] = {
        "pub": {"allow": [create, _FLOW]},
        "sub": {"allow": [f"sites.{site}.>", *_ANSWERS]},
        "subs": -1,
        "data": -1,
        "payload": -1,
        "issuer_account": sites_key,
        "allowed_connection_types": ["LEAFNODE"],
        "tags": ["role:site"],
        "type": "user",
        "version": 2,
    }
    return signed_jwt({"iat": int(issued_at.timestamp()), "sub": user_key, "name": site, "nats": details}, signer)


# Where the hub's answer to a mirror's request goes.
_ANSWERS = ("$JSC.R.*",)


def mirror_config(name: str, *, max_bytes: int = 1 << 30) -> dict[str, Any]:
    """The copy's stream, made at the site: the same messages under the same sequences; it takes no other."""
    return {
        "name": STREAM,
        "description": "Copy of the hub's stream; read only",
        "storage": "file",
        "retention": "limits",
        "discard": "old",
        "max_bytes": max_bytes,
        "max_msg_size": 96 * 1024,
        "num_replicas": 1,
        "allow_direct": False,
        "mirror": {
            "name": STREAM,
            "external": {"api": HUB_PREFIX, "deliver": f"sites.{user_name_checked(name)}"},
        },
    }


@dataclass(frozen=True, slots=True)
class Site:
    """A site's server. `hubs` are host and leaf port of each node; `folder` is the site's own and holds its creds."""

    name: str
    hubs: tuple[tuple[str, int], ...]
    folder: Path
    port: int = 4222
    max_store_bytes: int = 4 << 30
    tls: RouteTls | None = None
    keeper_password: str = field(default="", repr=False)
    reader_password: str = field(default="", repr=False)
    system_password: str = field(default="", repr=False)

    @property
    def creds(self) -> Path:
        return self.folder / "site.creds"


def hub_block(template: str, host: str, port: int, tls: RouteTls | None) -> str:
    """The text that is appended to the hub's configuration; raises ConfigInvalid for clear text off loopback."""
    if tls is None and not is_local(host):
        raise ConfigInvalid(f"sites would reach {host} in clear text", hint="Give the listener certificates.")
    return Template(template).substitute(listen=quoted(host_port(host, port)), tls=_tls(tls) if tls else "# loopback")


def leaf_text(template: str, site: Site) -> str:
    """A site's whole server.conf; raises ConfigInvalid, NameInvalid. It holds passwords: 0600."""
    passwords = (site.keeper_password, site.reader_password, site.system_password)
    if not all(each.isalnum() for each in passwords) or len(set(passwords)) < len(passwords):
        raise ConfigInvalid("the passwords of a site are three different ones of letters and digits")
    near = all(is_local(host) for host, _ in site.hubs)
    if not site.hubs or (site.tls is None and not near):
        raise ConfigInvalid("a site reaches its hub over TLS", hint="Clear text is for this machine alone.")
    scheme = "tls" if site.tls else "nats-leaf"
    return Template(template).substitute(
        listen=quoted(host_port("127.0.0.1", site.port)),
        server_name=quoted(f"{DOMAIN_PREFIX}{user_name_checked(site.name)}"),
        log_file=quoted(str(site.folder / "server.log")),
        ports_dir=quoted(str(site.folder / "ports")),
        store_dir=quoted(str(site.folder)),
        domain=quoted(f"{DOMAIN_PREFIX}{site.name}"),
        max_file_store=str(site.max_store_bytes),
        system_password=quoted(site.system_password),
        keeper_password=quoted(site.keeper_password),
        reader_password=quoted(site.reader_password),
        stream=STREAM,
        hub=", ".join(quoted(f"{scheme}://{host_port(host, port)}") for host, port in site.hubs),
        creds=quoted(str(site.creds)),
        tls=_tls(site.tls) if site.tls else "",
    )


def _tls(tls: RouteTls) -> str:
    files = {"cert_file": tls.cert, "key_file": tls.key, "ca_file": tls.ca}
    lines = "".join(f"    {key}: {quoted(str(path))}\n" for key, path in files.items())
    return "tls {\n" + lines + '    verify: true\n    min_version: "1.3"\n    timeout: 5\n  }'
