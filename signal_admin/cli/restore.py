"""`catalyst restore`: a backup made into a new data directory."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from signal_admin.cli.options import JsonOption
from signal_admin.cli.serving import NatsServerOption

if TYPE_CHECKING:
    from signal_admin.backup.restoring import Restored
    from signal_contract.cli.answer import Render


def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A file that `catalyst backup` wrote.")],
    data: Annotated[Path, typer.Option("--data", help="The new data directory: absent, or empty.")],
    nats_server: NatsServerOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a new data directory from a backup. `catalyst up` there goes on where the backup was taken.

    Every friend's place comes with it, so agents go on where they were, at the same address or a new one. Refuses while
    the wire it comes from runs on this machine: there must be one of it. What was revoked, halted or published after
    the backup is not in it. Example: catalyst restore catalyst-20260102.backup --data ~/wire
    """
    import asyncio

    from signal_admin.backup.archive import is_sealed_backup
    from signal_admin.backup.passphrases import passphrase_of_file
    from signal_admin.backup.restoring import restore as restored
    from signal_contract.cli.answer import finish, say
    from signal_contract.envelope import Envelope

    passphrase = passphrase_of_file() if is_sealed_backup(file) else None
    target = data.expanduser().absolute()
    done = asyncio.run(restored(file, target, passphrase, say, binary=nats_server))
    facts = _facts(done)
    if not as_json:
        for each in done.manifest.outside:
            say(f"was not in the backup, bring it yourself: {each}")
        say("what you revoked, halted or published after the backup is not in it:")
        say(f"  catalyst user list --data {target}; say again what is to hold; publish the last signals again")
        say(f"next: catalyst up --data {target}")
    finish(Envelope("catalyst restore", facts), as_json=as_json, render=_render(facts))


def _facts(done: Restored) -> dict[str, Any]:
    return {
        "data": str(done.root),
        "taken_at": done.manifest.created_at.isoformat(),
        "taken_from": f"{done.manifest.host}:{done.manifest.source}",
        "sequences": {name: list(each) for name, each in done.sequences.items()},
        "left_for_their_age": done.aged,
        "ack_floors": done.floors,
        "outside": list(done.manifest.outside),
    }


def _render(facts: dict[str, Any]) -> Render:
    from signal_contract.cli.answer import table

    rows: list[tuple[str, Any]] = [
        ("data directory", facts["data"]),
        ("taken", f"{facts['taken_at'][:19]} UTC from {facts['taken_from']}"),
        *((f"stream {name}", f"sequences {first:,} to {last:,}") for name, (first, last) in facts["sequences"].items()),
        *((f"place of {name.removeprefix('sub_')}", f"{floor:,}") for name, floor in facts["ack_floors"].items()),
    ]
    if facts["left_for_their_age"]:
        rows.append(("left for their age", f"{facts['left_for_their_age']:,} messages"))
    return table("", "", rows=rows)
