"""`subscriber-agent enroll` and `join`: how a friend comes in."""

from __future__ import annotations

import asyncio
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from signal_contract.cli.answer import finish, say
from signal_contract.envelope import Envelope, Problem
from signal_contract.errors import ExitCode, InputError
from subscriber_agent.cli.place import CONFIG_DIR_VARIABLE, JsonOption, config_home

if TYPE_CHECKING:
    from rich.console import Console

    from signal_contract.invite import Invite
    from subscriber_agent.identity.joining import Joined

PASSPHRASE_VARIABLE = "SUBSCRIBER_AGENT_PASSPHRASE"  # noqa: S105  # the name of a variable, not a secret

HomeOption = Annotated[
    Path | None,
    typer.Option(
        "--config-dir",
        help="Where config and creds go.",
        envvar=CONFIG_DIR_VARIABLE,
        show_default="the system's place for settings",
    ),
]


def enroll(
    config_dir: HomeOption = None,
    anew: Annotated[bool, typer.Option("--new", help="Make another key, though there is one already.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Make your key on this machine and print its public half, for the operator. The secret half stays here.

    Example: subscriber-agent enroll
    """
    from subscriber_agent.identity.enrolment import enrol

    home = config_home(config_dir)
    pair, is_new = enrol(home, anew=anew)
    if not as_json:
        say("made a key on this machine" if is_new else "this machine has a key already; --new makes another one")
        say("send your operator the public key below; he runs")
        say(f"  catalyst user invite NAME --catalysts … --public-key {pair.public} -o NAME.invite")
        say("and sends you the invite; then run here  subscriber-agent join NAME.invite")
    data = {"public_key": pair.public, "is_new": is_new, "config_dir": str(home)}
    finish(
        Envelope("subscriber-agent enroll", data),
        as_json=as_json,
        render=lambda out: out.print(pair.public, markup=False),
    )


def join(
    invite: Annotated[Path, typer.Argument(help="The invite that your operator sent you.")],
    config_dir: HomeOption = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the config of an identity that is there.")] = False,
    offline: Annotated[bool, typer.Option("--offline", help="Do not look whether the server lets you in.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Take up an invite: writes your config and creds, checks them, starts on paper money.

    An invite for who you are already renews your creds and keeps your config; a running agent takes them up by itself.

    Example: subscriber-agent join alice.invite
    """
    from signal_contract.invite import read_invite
    from subscriber_agent.identity.joining import join as join_with

    read = read_invite(invite, _ask_passphrase)
    home = config_home(config_dir)
    joined = asyncio.run(join_with(read, home, now=datetime.now(UTC), force=force, offline=offline))
    problem = joined.checked.problem
    envelope = Envelope(
        "subscriber-agent join",
        _joined_dict(joined, read),
        ExitCode.OK if problem is None else ExitCode.PARTIAL,
        () if problem is None else (Problem.from_error(problem),),
    )
    is_default = home == config_home(None)
    finish(envelope, as_json=as_json, render=lambda out: _render(out, joined, read, invite, is_default=is_default))


def _ask_passphrase() -> str:
    given = os.environ.get(PASSPHRASE_VARIABLE)
    if given:
        return given
    if not sys.stdin.isatty():
        raise InputError("the invite is under a passphrase", hint=f"Put it into {PASSPHRASE_VARIABLE}.")
    return str(typer.prompt("passphrase of the invite", hide_input=True, err=True))


def _joined_dict(joined: Joined, invite: Invite) -> dict[str, Any]:
    checked = joined.checked
    return {
        "user": joined.user,
        "config": str(joined.config_file),
        "creds": str(joined.creds.path),
        "is_renewal": joined.is_renewal,
        "replaced_config": str(joined.backup) if joined.backup else None,
        "servers": list(joined.config.servers),
        "mode": joined.config.mode.value,
        "entitlement": invite.entitlement_in_words,
        "filters": list(invite.filters if checked.filters is None else checked.filters),
        "expires_at": joined.creds.expires_at.isoformat() if joined.creds.expires_at else None,
        "server": {"reached": checked.is_reached, "waiting": checked.waiting},
        "notes": _notes(joined, invite),
    }


def _notes(joined: Joined, invite: Invite) -> list[str]:
    notes, checked = [], joined.checked
    if joined.is_renewal and joined.config.servers != invite.servers:
        notes.append(
            f"the invite names the servers {', '.join(invite.servers)}; your config was kept (--force takes it)"
        )
    if joined.is_renewal and joined.config.publisher_key != invite.publisher_key:
        notes.append("the invite names a newer publisher key; your agent follows it from the one in your config")
    if checked.filters is not None and checked.filters != invite.filters:
        notes.append(f"the server gives you by now: {', '.join(checked.filters)}")
    if not checked.is_reached:
        notes.append("the server was not asked, or is away; `subscriber-agent run` will tell")
    if joined.backup is not None:
        notes.append(f"the config that was there is kept as {joined.backup}")
    return notes


def _render(out: Console, joined: Joined, invite: Invite, file: Path, *, is_default: bool) -> None:
    end = joined.creds.expires_at
    waiting = joined.checked.waiting
    lines = [
        f"{'renewed' if joined.is_renewal else 'joined'} as {joined.user}",
        f"  {invite.entitlement_in_words}",
        f"  valid:       {f'until {end:%Y-%m-%d %H:%M} UTC' if end else 'without end'}",
        f"  config:      {joined.config_file}{' (kept)' if joined.is_renewal else ''}",
        f"  creds:       {joined.creds.path}   (a password: keep it to yourself)",
        f"  trading:     {joined.config.mode.value}",
    ]
    if waiting is not None:
        lines.append(f"  server:      lets you in; {waiting} signals wait")
    lines += [f"note: {each}" for each in _notes(joined, invite)]
    option = "" if is_default else f" --config {joined.config_file}"
    lines.append(f"next: subscriber-agent run{option}   ({file} may be deleted now)")
    for line in lines:
        out.print(line, markup=False)
