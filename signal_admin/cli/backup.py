"""`catalyst backup`: the whole wire in one file, taken while it runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from signal_admin.cli.options import DataOption, JsonOption
from signal_admin.cli.serving import NatsServerOption

if TYPE_CHECKING:
    from signal_admin.backup.taking import Taken

_NAME = "catalyst-%Y%m%d-%H%M%SZ.backup"


def backup(
    to: Annotated[
        Path | None,
        typer.Option("--to", help="The file to write; a folder gets one named by the time.", show_default="here"),
    ] = None,
    plain: Annotated[bool, typer.Option("--plain", help="Without a passphrase: whoever has the file is you.")] = False,
    check: Annotated[bool, typer.Option(help="Open the file again, put the streams back and check it all.")] = True,
    data: DataOption = None,
    nats_server: NatsServerOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write everything into one file: streams, every friend's place, keys, users, settings, the publisher's outbox.

    The server may run; nothing waits for it. The file is encrypted under a passphrase, which is asked for, or read from
    CATALYST_BACKUP_PASSPHRASE or the 0600 file that CATALYST_BACKUP_PASSPHRASE_FILE names. It is then checked.
    Examples: catalyst backup --to /media/stick/; catalyst verify --backup FILE
    """
    import asyncio

    from signal_admin.backup.passphrases import new_passphrase
    from signal_admin.backup.taking import take_backup
    from signal_admin.cli.verify import answered
    from signal_admin.desk import open_desk
    from signal_contract.cli.answer import say

    desk, target = open_desk(data), _target(to)
    passphrase = None if plain else new_passphrase()
    if plain:
        say("warning: this file holds every key in clear text; keep it as you keep the vault")
    work = take_backup(desk, target, passphrase, say, is_checked=check, binary=nats_server)
    taken = asyncio.run(work)
    if not as_json:
        for each in taken.manifest.outside:
            say(f"not in the backup: {each}")
        say(f"next: keep it on another machine. To look at it: catalyst verify --backup {taken.file}")
    answered("catalyst backup", _facts(taken), taken.verdict, as_json=as_json)


def _target(to: Path | None) -> Path:
    from datetime import UTC, datetime

    named = datetime.now(UTC).strftime(_NAME)
    if to is None:
        return Path.cwd() / named
    chosen = to.expanduser().absolute()
    return chosen / named if chosen.is_dir() else chosen


def _facts(taken: Taken) -> dict[str, Any]:
    manifest = taken.manifest
    return {
        "file": str(taken.file),
        "bytes": taken.bytes,
        "created_at": manifest.created_at.isoformat(),
        "server": manifest.server,
        "streams": {
            each.name: {
                "messages": each.messages,
                "first_sequence": each.first_sequence,
                "last_sequence": each.last_sequence,
            }
            for each in manifest.streams
        },
        "durables": len(manifest.durables),
        "files": len(manifest.parts) - len(manifest.streams),
        "waiting_in_outbox": taken.waiting,
        "outside": list(manifest.outside),
        "checked": taken.verdict is not None,
    }
