"""`catalyst user invite | rotate | extend`: the commands that hand out one file."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from signal_admin.cli.options import DataOption, HistoryOption, JsonOption
from signal_admin.cli.report import (
    CatalystsOption,
    ConfirmOption,
    DryRunOption,
    FilterOption,
    NameArgument,
    OutOption,
    PassphraseOption,
    PublicKeyOption,
    confirm,
    finish_invited,
    listed,
    passphrase_for,
)

if TYPE_CHECKING:
    from signal_admin.invites import Handover

NEVER = "never"


def invite(
    name: Annotated[str, typer.Argument(help="2 to 32 characters: a-z, 0-9, _ and -.")],
    catalysts: CatalystsOption = "",
    filters: FilterOption = None,
    expires: Annotated[str, typer.Option(help="How long it is valid: 90d, 12h, 2w, or never.")] = "90d",
    cidr: Annotated[
        list[str] | None, typer.Option(help="Addresses he may come from, such as 203.0.113.0/24; may be repeated.")
    ] = None,
    hours: Annotated[
        list[str] | None, typer.Option(help="Hours he may connect in, such as 03:30-20:30; may be repeated.")
    ] = None,
    tz: Annotated[str | None, typer.Option(help="Time zone of the hours, such as America/New_York.")] = None,
    websocket_only: Annotated[bool, typer.Option("--websocket-only", help="Let him in over wss:// only.")] = False,
    history: HistoryOption = "now",
    public_key: PublicKeyOption = None,
    passphrase: PassphraseOption = False,
    out: OutOption = None,
    dry_run: DryRunOption = False,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let a friend in, with one file for him: address, CA, creds, entitlement and a config that works as it is.

    Example: catalyst user invite alice --catalysts fda,acquisition --expires 90d -o alice.invite
    """
    from signal_admin.constraints import constraints_from
    from signal_admin.desk import open_desk
    from signal_admin.history import history_from
    from signal_admin.invites import Invitation
    from signal_admin.invites import invite as let_in
    from signal_admin.users import entitlement_from, expiry_from

    now = datetime.now(UTC)
    wanted = Invitation(
        name=name,
        filters=entitlement_from(listed(catalysts), filters or []),
        expires_at=None if expires == NEVER else expiry_from(expires, now),
        constraints=constraints_from(cidr or [], hours or [], tz, websocket_only),
        public_key=public_key,
        history=history_from(history, now),
    )
    handover = _handover(name, out, passphrase=passphrase, dry_run=dry_run)
    finish_invited(asyncio.run(let_in(open_desk(data), wanted, handover, now=now, dry_run=dry_run)), as_json=as_json)


def _handover(name: str, out: Path | None, *, passphrase: bool, dry_run: bool, may_replace: bool = False) -> Handover:
    from signal_admin.invites import Handover
    from signal_contract.subject import user_name_checked

    path = out or Path(f"{user_name_checked(name)}.invite")
    return Handover(path.absolute(), passphrase_for(wanted=passphrase and not dry_run), may_replace)


def rotate(
    name: NameArgument,
    overlap: Annotated[str, typer.Option(help="How long the old key works on: 24h, 2d; 0h withdraws it now.")] = "24h",
    expires: Annotated[
        str | None, typer.Option(help="How long the new one is valid.", show_default="as long as the old one")
    ] = None,
    public_key: PublicKeyOption = None,
    passphrase: PassphraseOption = False,
    out: OutOption = None,
    confirmed: ConfirmOption = None,
    dry_run: DryRunOption = False,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Give a friend a new key. It is valid at once; the old one retires after the overlap, or now with --overlap 0h.

    A revoked friend is let in again by this. The new invite replaces the file of the old one.

    Example: catalyst user rotate alice --overlap 24h
    """
    from signal_admin.desk import open_desk
    from signal_admin.invites import rotate as give_new_key
    from signal_admin.users import expiry_from, overlap_from

    now, length = datetime.now(UTC), overlap_from(overlap)
    if not dry_run:
        confirm(name, confirmed, f"This replaces the key of {name}")
    made = asyncio.run(
        give_new_key(
            open_desk(data),
            name,
            _handover(name, out, passphrase=passphrase, dry_run=dry_run, may_replace=True),
            now=now,
            overlap=length,
            expires_at=expiry_from(expires, now) if expires else None,
            public_key=public_key,
            dry_run=dry_run,
        )
    )
    finish_invited(made, as_json=as_json)


def extend(
    name: NameArgument,
    expires: Annotated[str, typer.Option(help="How long it is valid from now on: 90d, 12h, 2w.")] = "90d",
    passphrase: PassphraseOption = False,
    out: OutOption = None,
    dry_run: DryRunOption = False,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Give a friend more time, with the key that he has. His running agent goes on; he joins with the new file.

    Example: catalyst user extend alice --expires 90d
    """
    from signal_admin.desk import open_desk
    from signal_admin.invites import extend as give_time
    from signal_admin.users import expiry_from

    now = datetime.now(UTC)
    handover = _handover(name, out, passphrase=passphrase, dry_run=dry_run, may_replace=True)
    made = asyncio.run(
        give_time(open_desk(data), name, handover, now=now, expires_at=expiry_from(expires, now), dry_run=dry_run)
    )
    finish_invited(made, as_json=as_json)
