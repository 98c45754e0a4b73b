"""Where the publisher's server, credentials, signing key and outbox are: `<data>/publisher/settings.json`.

The operator's `catalyst up` writes it. It names files; it holds no secrets.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson
import platformdirs

from signal_contract.addresses import servers_checked
from signal_contract.creds import Creds, read_creds, read_secret
from signal_contract.errors import ConfigInvalid, Conflict, CredsInvalid, InputError, NotFound
from signal_contract.signing import Signer

_MAX_BYTES = 64 * 1024
_TEXT_KEYS = ("creds", "signing_seed", "outbox")
# The operator's side leaves this file beside the seed while it changes the key.
_ROTATING_MARK = "signing.rotating"
_OPTIONAL_KEYS = ("ca_file", "tls_name")


@dataclass(frozen=True, slots=True)
class PublisherSettings:
    """Everything a SignalPublisher needs; the secrets inside show their public halves only.

    `data` is the directory that they were read from, see `read_again`.
    `ca_file` is the authority that the server's certificate must come from (None: the system's), `tls_name` the name
    that it must hold when that is not the address's host. `signer` is the key of the moment when they were read, see
    `current_signer`.
    """

    data: Path
    servers: tuple[str, ...]
    creds: Creds
    signer: Signer
    outbox: Path
    signing_seed: Path
    ca_file: Path | None = None
    tls_name: str | None = None


def default_data_dir() -> Path:
    """The operator's data directory when neither `--data` nor CATALYST_DATA names one."""
    return Path(platformdirs.user_data_dir("catalyst-signals"))


def read_settings(data: Path, *, now: datetime) -> PublisherSettings:
    """Read the settings below a data directory, and the secrets they point to (their mode is checked).

    Raises NotFound when `catalyst up` was never run there, ConfigInvalid, CredsInvalid or CredsExpired.
    """
    home = data / "publisher"
    document = _document(home / "settings.json")
    seed_path = home / document["signing_seed"]
    return PublisherSettings(
        data=data,
        servers=tuple(servers_checked(document["servers"])),
        creds=read_creds(home / document["creds"], role="publisher", now=now),
        signer=_signer(seed_path),
        outbox=home / document["outbox"],
        signing_seed=seed_path,
        ca_file=home / document["ca_file"] if "ca_file" in document else None,
        tls_name=document.get("tls_name"),
    )


def outbox_path(data: Path) -> Path:
    """Where the outbox of a data directory is, without reading any secret. Raises NotFound or ConfigInvalid."""
    home = data / "publisher"
    return home / str(_document(home / "settings.json")["outbox"])


def read_again(settings: PublisherSettings, *, now: datetime) -> PublisherSettings:
    """The settings as they are on disk by now, on the same outbox: the operator may have replaced creds or address.

    Raises what `read_settings` raises.
    """
    return replace(read_settings(settings.data, now=now), outbox=settings.outbox)


def current_signer(settings: PublisherSettings) -> Signer:
    """The key to sign with now; the operator may have changed it since the settings were read.

    Raises Conflict while a change of the key is half done: what is signed by the old key would be refused then.
    """
    if settings.signing_seed.with_name(_ROTATING_MARK).exists():
        raise Conflict(
            "the publisher's key is being changed; signals wait in the outbox",
            hint="Finish it with: catalyst vault rotate-publisher-key",
        )
    return _signer(settings.signing_seed)


def _signer(path: Path) -> Signer:
    try:
        return Signer.from_secret_text(read_secret(path, what="signing seed"))
    except InputError as error:
        raise CredsInvalid(
            f"{path} does not hold a signing seed", hint="Restore it from a backup of the data directory."
        ) from error


def _document(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise ConfigInvalid(f"{path} is too large to be a settings file")
        document = orjson.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise NotFound(
            f"there are no publisher settings in {path.parent}",
            hint="Run `catalyst up` first, or name its directory with --data or CATALYST_DATA.",
        ) from error
    except (OSError, orjson.JSONDecodeError) as error:
        raise ConfigInvalid(f"{path} cannot be read: {error}") from error
    violations = _violations(document)
    if violations:
        raise ConfigInvalid(f"{path} has mistakes", violations=violations, hint="`catalyst up` writes it anew.")
    return dict(document)


def _violations(document: Any) -> tuple[str, ...]:
    if not isinstance(document, dict):
        return ("it is not a JSON object",)
    servers = document.get("servers")
    is_list = isinstance(servers, list) and servers and all(isinstance(each, str) for each in servers)
    texts = [f"{key}: a file name" for key in _TEXT_KEYS if not (isinstance(document.get(key), str) and document[key])]
    options = [
        f"{key}: a text, or leave it out"
        for key in _OPTIONAL_KEYS
        if key in document and not (isinstance(document[key], str) and document[key])
    ]
    unknown = [f"{key}: not a setting" for key in document if key not in ("servers", *_TEXT_KEYS, *_OPTIONAL_KEYS)]
    return tuple([*([] if is_list else ["servers: a list of addresses"]), *texts, *options, *unknown])
