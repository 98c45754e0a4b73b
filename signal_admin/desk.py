"""The operator's data directory: where everything lies, made private at first start. Knows paths, not contents."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import orjson
import platformdirs

from signal_contract.creds import write_secret
from signal_contract.errors import NotFound, StorageFailed

APP_NAME = "catalyst-signals"
DATA_VARIABLE = "CATALYST_DATA"


@dataclass(frozen=True, slots=True)
class ServerRecord:
    """What `server.json` says about a running server; present while it is ready.

    `ca_file` is the CA of its certificate (None: the system's), `tls_name` the name in it when that is not the host
    of `url`.
    """

    url: str
    pid: int
    nats_pid: int
    started_at: str
    monitor_url: str | None = None
    wss_url: str | None = None
    ca_file: str | None = None
    tls_name: str | None = None


@dataclass(frozen=True, slots=True)
class Desk:
    """Paths below one data directory."""

    root: Path

    @property
    def vault(self) -> Path:
        return self.root / "vault"

    @property
    def accounts(self) -> Path:
        return self.root / "accounts"

    @property
    def users(self) -> Path:
        return self.root / "users"

    @property
    def publisher(self) -> Path:
        return self.root / "publisher"

    def role_creds(self, role: str) -> Path:
        """The creds of one of the operator's own programs: publisher, admin, monitor, auditor or system."""
        return self.root / role / f"{role}.creds"

    @property
    def jetstream(self) -> Path:
        return self.root / "jetstream"

    @property
    def resolver(self) -> Path:
        return self.root / "jwt"

    @property
    def ports(self) -> Path:
        return self.root / "ports"

    @property
    def server_conf(self) -> Path:
        return self.root / "server.conf"

    @property
    def server_log(self) -> Path:
        return self.root / "server.log"

    @property
    def server_stderr(self) -> Path:
        return self.root / "server.stderr"

    @property
    def nats_pid(self) -> Path:
        return self.root / "nats-server.pid"

    @property
    def server_json(self) -> Path:
        return self.root / "server.json"

    @property
    def stream_json(self) -> Path:
        return self.root / "stream.json"

    @property
    def control_json(self) -> Path:
        return self.root / "control.json"

    @property
    def control_lock(self) -> Path:
        return self.root / "control.lock"

    @property
    def settings_json(self) -> Path:
        return self.root / "settings.json"

    @property
    def tls(self) -> Path:
        return self.root / "tls"

    @property
    def store_key(self) -> Path:
        return self.vault / "store.key"

    @property
    def store_check(self) -> Path:
        return self.root / "store-key.check"

    @property
    def lock(self) -> Path:
        return self.root / "lock"

    @property
    def users_lock(self) -> Path:
        return self.root / "users.lock"

    def write_server_record(self, record: ServerRecord) -> None:
        """Tell other commands where the server is."""
        fields = {
            "url": record.url,
            "pid": record.pid,
            "nats_pid": record.nats_pid,
            "started_at": record.started_at,
            "monitor_url": record.monitor_url,
            "wss_url": record.wss_url,
            "ca_file": record.ca_file,
            "tls_name": record.tls_name,
        }
        write_secret(self.server_json, orjson.dumps(fields, option=orjson.OPT_INDENT_2).decode() + "\n")

    def server_record(self) -> ServerRecord | None:
        """The running server, or None. After a kill -9 of `catalyst up` a stale record can remain."""
        try:
            found = orjson.loads(self.server_json.read_bytes())
            return ServerRecord(
                url=str(found["url"]),
                pid=int(found["pid"]),
                nats_pid=int(found["nats_pid"]),
                started_at=str(found["started_at"]),
                monitor_url=found.get("monitor_url"),
                wss_url=found.get("wss_url"),
                ca_file=found.get("ca_file"),
                tls_name=found.get("tls_name"),
            )
        except (OSError, ValueError, KeyError, TypeError):
            return None


def data_directory(chosen: Path | None) -> Path:
    """The data directory: as chosen, else from CATALYST_DATA, else the system's place for user data. Absolute."""
    named = os.environ.get(DATA_VARIABLE)
    root = chosen or (Path(named) if named else Path(platformdirs.user_data_dir(APP_NAME, appauthor=False)))
    return root.expanduser().absolute()


def open_desk(chosen: Path | None) -> Desk:
    """The desk in an existing data directory; raises NotFound before the first `catalyst up`."""
    desk = Desk(data_directory(chosen))
    if not desk.vault.is_dir():
        raise NotFound(
            f"{desk.root} is not the data directory of an operator",
            hint="Run `catalyst up` first (it makes one), or name the right directory with --data.",
        )
    return desk


def make_desk(chosen: Path | None) -> Desk:
    """The desk, its directories made where they are missing (0700); raises StorageFailed."""
    desk = Desk(data_directory(chosen))
    folders = (desk.root, desk.accounts, desk.users, desk.publisher, desk.jetstream, desk.resolver, desk.ports)
    try:
        for folder in folders:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        desk.root.chmod(0o700)
    except OSError as error:
        raise StorageFailed(
            f"cannot use {desk.root} as data directory: {error.filename}: {error.strerror or error}",
            hint="Name a directory of your own with --data.",
        ) from error
    return desk
