"""`catalyst vault …`: the operator's keys, where they are and how they are kept."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from signal_admin.cli.options import DataOption, JsonOption

if TYPE_CHECKING:
    from signal_admin.desk import Desk
    from signal_contract.cli.answer import Render

vault_app = typer.Typer(
    help="The operator's keys: where they are, the passphrase over them, the publisher's next key.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
FolderArgument = Annotated[Path, typer.Argument(metavar="DIR", help="A folder on a stick or another disk.")]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Show what would change; change nothing.")]


@vault_app.command("status")
def status(data: DataOption = None, as_json: JsonOption = False) -> None:
    """Open the vault, check every key, and show the public halves.

    Example: catalyst vault status
    """
    from signal_admin.desk import open_desk
    from signal_admin.rotation import rotation_state
    from signal_admin.seeds import has_passphrase
    from signal_admin.vault import read_vault
    from signal_contract.topology import Account

    desk = open_desk(data)
    vault = read_vault(desk.vault)
    state = rotation_state(desk, vault)
    facts: dict[str, Any] = {
        "vault": str(desk.vault),
        "passphrase": has_passphrase(desk.vault),
        "identity_keys": "here" if vault.has_identity else "offline",
        "publisher_key": state.publisher_key,
        "publisher_key_change": "half done" if state.is_half_done else "none",
        "operator": vault.operator_key,
        **{f"account {each.value}": vault.account_keys[each] for each in Account},
        "operator signing": vault.operator_signing.public,
        **{f"role {role.value}": pair.public for role, pair in vault.roles.items()},
    }
    _answer("status", facts, as_json=as_json)


@vault_app.command("export-offline")
def export_offline(
    folder: FolderArgument,
    data: DataOption = None,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Take the identity keys off this machine: a checked copy in DIR first, then they are removed here.

    Daily work goes on without them. Keep two copies of DIR: without these keys a lost signing key cannot be replaced.
    Example: catalyst vault export-offline /media/stick/catalyst
    """
    from datetime import UTC, datetime

    from signal_admin import offline
    from signal_admin.desk import open_desk
    from signal_admin.vault import identity_names

    desk = open_desk(data)
    if dry_run:
        _answer("export-offline", {"dry_run": True, "would_move": list(identity_names())}, as_json=as_json)
    _agree(f"Move the keys {', '.join(identity_names())} to {folder}?", is_agreed=yes)
    moved = offline.export_offline(desk, folder, now=datetime.now(UTC))
    _note(desk, "vault export-offline", before={"identity_keys": "here"}, after={"identity_keys": "offline"})
    facts = {"file": str(moved.file), "removed_here": list(moved.public_keys), "public_keys": dict(moved.public_keys)}
    _answer("export-offline", facts, as_json=as_json, after="next: make a second copy, and put both away from here")


@vault_app.command("import-offline")
def import_offline(folder: FolderArgument, data: DataOption = None, as_json: JsonOption = False) -> None:
    """Bring the identity keys back for a change that needs them; the copy in DIR stays.

    Example: catalyst vault import-offline /media/stick/catalyst
    """
    from signal_admin import offline
    from signal_admin.desk import open_desk

    desk = open_desk(data)
    moved = offline.import_offline(desk, folder)
    _note(desk, "vault import-offline", before={"identity_keys": "offline"}, after={"identity_keys": "here"})
    facts = {"file": str(moved.file), "public_keys": dict(moved.public_keys)}
    _answer("import-offline", facts, as_json=as_json, after="next: catalyst vault export-offline DIR when you are done")


@vault_app.command("set-passphrase")
def set_passphrase(data: DataOption = None, as_json: JsonOption = False) -> None:
    """Put the vault under a passphrase, or change it. It is asked for on the terminal.

    Without a terminal: CATALYST_VAULT_NEW_PASSPHRASE, or CATALYST_VAULT_NEW_PASSPHRASE_FILE (a 0600 file). The one in
    force is read from CATALYST_VAULT_PASSPHRASE or CATALYST_VAULT_PASSPHRASE_FILE.
    Example: catalyst vault set-passphrase
    """
    from signal_admin import seeds
    from signal_admin.desk import open_desk
    from signal_admin.vault import read_vault

    desk = open_desk(data)
    read_vault(desk.vault)  # a damaged vault is not put under lock
    had_one = seeds.has_passphrase(desk.vault)
    seeds.set_passphrase(desk.vault, seeds.new_passphrase())
    _note(desk, "vault set-passphrase", before={"passphrase": had_one}, after={"passphrase": True})
    after = "next: `catalyst up` asks for it, or reads CATALYST_VAULT_PASSPHRASE_FILE. Nobody can recover it for you."
    _answer("set-passphrase", {"vault": str(desk.vault), "passphrase": True}, as_json=as_json, after=after)


@vault_app.command("remove-passphrase")
def remove_passphrase(data: DataOption = None, yes: YesOption = False, as_json: JsonOption = False) -> None:
    """Keep the seeds as plain 0600 files again.

    Example: catalyst vault remove-passphrase
    """
    from signal_admin import seeds
    from signal_admin.desk import open_desk

    desk = open_desk(data)
    _agree("Keep the keys unencrypted on this disk?", is_agreed=yes)
    seeds.remove_passphrase(desk.vault)
    _note(desk, "vault remove-passphrase", before={"passphrase": True}, after={"passphrase": False})
    _answer("remove-passphrase", {"vault": str(desk.vault), "passphrase": False}, as_json=as_json)


@vault_app.command("rotate-publisher-key")
def rotate_publisher_key(
    data: DataOption = None, dry_run: DryRunOption = False, yes: YesOption = False, as_json: JsonOption = False
) -> None:
    """Change the key that signs signals: the old one announces the next one in the stream, and agents follow.

    The server must be running. Publishers may go on: what waits in the outbox goes out under the new key. When it was
    interrupted, run it again: until then nothing is sent and nothing is lost.
    Example: catalyst vault rotate-publisher-key
    """
    import asyncio
    from datetime import UTC, datetime

    from signal_admin import rotation
    from signal_admin.desk import open_desk
    from signal_admin.vault import read_vault

    desk = open_desk(data)
    state = rotation.rotation_state(desk, read_vault(desk.vault))
    if dry_run:
        facts = {
            "dry_run": True,
            "publisher_key": state.publisher_key,
            "would_finish_an_interrupted_change": state.is_half_done,
            "next_key": state.next_key or "a new one",
            "announced_on": "control.all.key",
        }
        _answer("rotate-publisher-key", facts, as_json=as_json)
    _agree(f"Replace the publisher's key {state.publisher_key}? It is not used again.", is_agreed=yes)
    done = asyncio.run(rotation.rotate_publisher_key(desk, now=datetime.now(UTC)))
    facts = {
        "old_key": done.old_key,
        "publisher_key": done.new_key,
        "sequence": done.sequence,
        "finished_an_interrupted_change": done.was_resumed,
    }
    after = "agents follow by themselves; invites made from now on carry the new key. Back up the vault."
    _answer("rotate-publisher-key", facts, as_json=as_json, after=after)


def _agree(question: str, *, is_agreed: bool) -> None:
    """Ask before a change; without a terminal only --yes will do."""
    from signal_admin.seeds import can_ask
    from signal_contract.errors import InputError

    if is_agreed:
        return
    if not can_ask():
        raise InputError("this changes keys and there is no terminal to ask", hint="Add --yes, or --dry-run to look.")
    if not typer.confirm(question, err=True):
        raise InputError("you said no; nothing was changed", hint="Run it again when you are sure.")


def _note(desk: Desk, action: str, *, before: object, after: object) -> None:
    """Write it into the audit log, through the server when one is running."""
    import asyncio

    from signal_admin.audit import record
    from signal_admin.dial import dial
    from signal_contract.errors import CredsInvalid, LinkError
    from signal_contract.permissions import RoleName

    async def note() -> None:
        try:
            async with dial(desk, RoleName.ADMIN, "catalyst-vault", connect_timeout_s=2.0) as link:
                await record(link, desk, action=action, target="vault", before=before, after=after)
        except (LinkError, CredsInvalid):
            await record(None, desk, action=action, target="vault", before=before, after=after)

    asyncio.run(note())


def _answer(command: str, facts: dict[str, Any], *, as_json: bool, after: str = "") -> NoReturn:
    from signal_contract.cli.answer import finish, say
    from signal_contract.envelope import Envelope

    if after and not as_json:
        say(after)
    finish(Envelope(f"catalyst vault {command}", facts), as_json=as_json, render=_facts(facts))


def _facts(facts: dict[str, Any]) -> Render:
    from signal_contract.cli.answer import table

    return table("", "", rows=[(key.replace("_", " "), _words(value)) for key, value in facts.items()])


def _words(value: Any) -> Any:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(value)
    if isinstance(value, dict):
        return "\n".join(f"{key} {each}" for key, each in value.items())
    return value
