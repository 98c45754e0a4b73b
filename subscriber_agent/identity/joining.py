"""Joining: an invite becomes a config and creds in the friend's own directory, checked before anything is placed.

Knows files and the link, no terminal.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from signal_contract.creds import Creds, creds_text, read_creds, write_secret
from signal_contract.errors import (
    CatalystError,
    Conflict,
    DurableMissing,
    InputError,
    RequestTimedOut,
    ServerUnreachable,
    StorageFailed,
    StreamMissing,
)
from signal_contract.invite import Invite
from signal_contract.link import opened
from signal_contract.subject import control_filters
from subscriber_agent.identity.enrolment import enrolled_seed
from subscriber_agent.receiving.feed import durable_info
from subscriber_agent.settings.config import AgentConfig, Mode, load_config

CONFIG_FILE = "agent.yaml"
_CONNECT_TIMEOUT_S = 3.0


@dataclass(frozen=True, slots=True)
class Checked:
    """What the server said. `waiting` and `filters` are None when it was not reached; `problem` is what it lacks."""

    is_reached: bool
    waiting: int | None = None
    filters: tuple[str, ...] | None = None
    problem: CatalystError | None = None


@dataclass(frozen=True, slots=True)
class Joined:
    """Where everything lies. A renewal keeps the config that was there; `backup` is where a replaced one went."""

    user: str
    config_file: Path
    config: AgentConfig
    creds: Creds
    is_renewal: bool
    backup: Path | None
    checked: Checked


@dataclass(frozen=True, slots=True)
class _Draft:
    """Files that are ready, and what will be read from them; `files` are (target, content)."""

    files: tuple[tuple[Path, str], ...]
    config: AgentConfig
    creds: Creds
    is_renewal: bool


async def join(invite: Invite, home: Path, *, now: datetime, force: bool, offline: bool) -> Joined:
    """Write config, creds and CA certificate of an invite to `home`, all 0600.

    An invite for the identity that lives there already renews its creds and keeps its config; another identity there is
    a Conflict, as is a config that cannot be read, unless `force`. Nothing is written when a check fails: CredsInvalid,
    CredsExpired, ConfigInvalid, InputError, Denied, StorageFailed.
    """
    creds = invite.creds_text or creds_text(invite.user_jwt, enrolled_seed(home, invite.public_key))
    present = None if force else _present(home)
    with _staging(home) as stage:
        if present is None:
            draft = _full(invite, creds, home, stage, now)
        else:
            draft = _renewal(invite, creds, present, stage, now)
        checked = Checked(is_reached=False) if offline else await _checked(draft)
    backup = _place(draft, home)
    return Joined(
        user=invite.name,
        config_file=home / CONFIG_FILE,
        # Read again: the draft's paths are those of the staging folder.
        config=load_config(home / CONFIG_FILE),
        creds=read_creds(next(path for path, _ in draft.files), role="subscriber", now=now),
        is_renewal=draft.is_renewal,
        backup=backup,
        checked=checked,
    )


def _present(home: Path) -> tuple[AgentConfig, Creds] | None:
    path = home / CONFIG_FILE
    if not path.exists():
        return None
    try:
        config = load_config(path)
        return config, read_creds(config.creds, role="subscriber")
    except CatalystError as error:
        raise Conflict(
            f"{path} is there already, and whose it is cannot be read: {error.message}",
            hint="Move it away, or use --force: the old config is kept as agent.yaml.old.",
        ) from error


@contextmanager
def _staging(home: Path) -> Iterator[Path]:
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        stage = Path(tempfile.mkdtemp(prefix=".join-", dir=home))
    except OSError as error:
        raise StorageFailed(f"cannot write to {home}: {error.strerror or error}") from error
    try:
        yield stage
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def _full(invite: Invite, creds: str, home: Path, stage: Path, now: datetime) -> _Draft:
    creds_name, ca_name = f"{invite.name}.creds", f"{invite.name}-ca.pem"
    files = {creds_name: creds}
    text = invite.starter_config
    if invite.ca_certificate is not None:
        files[ca_name] = invite.ca_certificate
    files[CONFIG_FILE] = text
    for name, content in files.items():
        write_secret(stage / name, content)
    config = load_config(stage / CONFIG_FILE)
    if invite.ca_certificate is not None and config.ca_file is None:
        files[CONFIG_FILE] = f"{text.rstrip()}\nca_file: {ca_name}\n"
        write_secret(stage / CONFIG_FILE, files[CONFIG_FILE])
        config = load_config(stage / CONFIG_FILE)
    _fits(invite, config, stage / creds_name, stage / ca_name if invite.ca_certificate is not None else None)
    read = read_creds(config.creds, role="subscriber", now=now)
    return _Draft(tuple((home / name, content) for name, content in files.items()), config, read, is_renewal=False)


def _fits(invite: Invite, config: AgentConfig, creds: Path, ca_file: Path | None) -> None:
    """The starter config must name the files and keys of its own invite, and nothing else on this machine.

    Live trading is the friend's own choice, written by himself: no invite brings it.
    """
    stage = creds.parent
    wrong = [
        name
        for name, is_right in (
            ("creds", config.creds == creds),
            ("ca_file", config.ca_file == ca_file),
            ("publisher_key", config.publisher_key == invite.publisher_key),
            ("servers", config.servers == invite.servers),
            ("data", config.data is None or config.data.resolve().is_relative_to(stage.resolve())),
        )
        if not is_right
    ]
    if wrong:
        raise InputError(
            f"the invite contradicts itself: its starter config names another {', '.join(wrong)}",
            hint="Do not use it. Tell your operator, in person.",
        )
    if config.mode is Mode.LIVE:
        raise InputError(
            "the invite's starter config would trade live",
            hint="Do not use it. Tell your operator, in person; `mode: live` is written by yourself only.",
        )
    # An engine may be a program on this machine, or money: whoever made the invite must not choose it.
    if config.engine.kind != "paper" or config.engine.paper.price_source != "signals":
        raise InputError(
            "the invite's starter config names an engine of its own",
            hint="Do not use it. Tell your operator, in person; another engine than paper is chosen by yourself only.",
        )


def _renewal(invite: Invite, creds: str, present: tuple[AgentConfig, Creds], stage: Path, now: datetime) -> _Draft:
    config, old = present
    write_secret(stage / old.path.name, creds)
    new = read_creds(stage / old.path.name, role="subscriber", now=now)
    if (new.user, new.account) != (old.user, old.account):
        raise Conflict(
            f"{old.path.parent} is the place of {old.user}, the invite is for {invite.name}",
            hint="Give the new identity a place of its own with --config-dir, or use --force to replace the config.",
        )
    files = [(old.path, creds)]
    if invite.ca_certificate is not None and config.ca_file is not None:
        write_secret(stage / config.ca_file.name, invite.ca_certificate)
        files.append((config.ca_file, invite.ca_certificate))
        config = config.model_copy(update={"ca_file": stage / config.ca_file.name})
    return _Draft(tuple(files), config, new, is_renewal=True)


async def _checked(draft: _Draft) -> Checked:
    """Log in with the new creds from where they are staged. A refusal is raised; a server that is away is not one."""
    label = f"subscriber-agent {draft.creds.user} (join)"
    try:
        async with opened(
            draft.config.servers,
            draft.creds,
            label=label,
            connect_timeout_s=_CONNECT_TIMEOUT_S,
            ca_file=draft.config.ca_file,
        ) as link:
            info = await durable_info(link, draft.creds.user)
    except (DurableMissing, StreamMissing) as error:
        return Checked(is_reached=True, problem=error)
    except (ServerUnreachable, RequestTimedOut):
        return Checked(is_reached=False)
    settings, waiting = info.get("config"), info.get("num_pending")
    filters = settings.get("filter_subjects") if isinstance(settings, dict) else None
    own = [each for each in filters or () if each not in control_filters(draft.creds.user)]
    return Checked(is_reached=True, waiting=waiting if isinstance(waiting, int) else None, filters=tuple(sorted(own)))


def _place(draft: _Draft, home: Path) -> Path | None:
    config, backup = home / CONFIG_FILE, None
    try:
        if not draft.is_renewal and config.exists():
            backup = config.with_suffix(".yaml.old")
            config.replace(backup)
        for path, content in draft.files:
            write_secret(path, content)
    except OSError as error:
        raise StorageFailed(f"cannot write to {home}: {error.strerror or error}") from error
    return backup
