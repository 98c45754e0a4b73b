"""Lets a friend in and keeps him in: new users, new keys, later ends. Each of them hands out one file, the invite.

Everything is validated before anything is signed; minting needs no server.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

from signal_admin.addresses import ca_pem, public_servers
from signal_admin.claims import signed_jwt, user_claims
from signal_admin.commit import Report, Session, opened_session
from signal_admin.constraints import UNCONSTRAINED, Constraints
from signal_admin.desk import Desk
from signal_admin.history import History, in_words, start_sequence
from signal_admin.lifecycle import Edit, extended, rotated
from signal_admin.registry import User, all_users, read_user, user_folder
from signal_admin.revocations import read_revocations
from signal_admin.starter import starter_yaml
from signal_admin.vault import Vault
from signal_contract.creds import creds_text, read_creds, read_secret, write_secret
from signal_contract.errors import Conflict, InputError, ServerUnreachable, StorageFailed
from signal_contract.invite import Invite, write_invite
from signal_contract.nkey import KeyKind, KeyPair, public_key_checked
from signal_contract.permissions import RoleName
from signal_contract.sealed import passphrase_checked
from signal_contract.subject import user_name_checked
from signal_contract.topology import Account, durable_name

# Their scopes ride in the account JWT, at about 1.4 KB each, beside the revocations.
MAX_CONSTRAINED_USERS = 56


@dataclass(frozen=True, slots=True)
class Handover:
    """The invite's file: where it goes and under which passphrase (None: plain). `may_replace` an older one."""

    path: Path
    passphrase: str | None = None
    may_replace: bool = False


@dataclass(frozen=True, slots=True)
class Invitation:
    """What a friend is to be given. `public_key`: he keeps the seed; `filters` as `entitlement_from` returns them.

    `history`: what he gets of the time before him; None: he begins now.
    """

    name: str
    filters: tuple[str, ...]
    expires_at: datetime | None
    constraints: Constraints = UNCONSTRAINED
    public_key: str | None = None
    history: History | None = None


@dataclass(frozen=True, slots=True)
class Invited:
    """The report, the user as he is now, and the invite's file (None in a dry run)."""

    report: Report
    user: User
    file: Path | None


async def invite(
    desk: Desk, wanted: Invitation, handover: Handover, *, now: datetime, dry_run: bool = False
) -> Invited:
    """Let a friend in: key, JWT, durable, and one file for him.

    Raises NameInvalid, Conflict (taken name or key, file that exists), InputError, CredsInvalid (vault, key),
    StorageFailed, ServerUnreachable (a history is read from the running server).
    """
    at = now.replace(microsecond=0)
    _name_is_free(desk, wanted.name)
    pair = None if wanted.public_key else KeyPair.generate(KeyKind.USER)
    scope = None if wanted.constraints.is_empty else KeyPair.generate(KeyKind.ACCOUNT)
    user = User(
        name=wanted.name,
        public_key=wanted.public_key or (pair.public if pair else ""),
        filters=wanted.filters,
        created_at=at,
        expires_at=_whole(wanted.expires_at),
        issued_at=at,
        constraints=wanted.constraints,
        scope_key=scope.public if scope else None,
        keeps_own_key=pair is None,
    )
    _key_is_free(desk, user)
    edit = Edit(None, user)
    if dry_run:
        return Invited(Report("user invite", user.name, edit.changes, is_dry_run=True), user, None)
    async with opened_session(desk, "catalyst-user-invite", now) as session:
        _name_is_free(desk, user.name)
        _scope_has_room(desk, user)
        if wanted.history is not None:
            user = replace(user, start_sequence=await _start_of(session, wanted.history))
        if scope is not None:
            _write(user_folder(desk, user.name) / "scope.seed", scope.seed + "\n")
        return await _handed_over(session, "user invite", Edit(None, user), pair, handover, wanted.history)


async def _start_of(session: Session, history: History) -> int:
    if session.admin is None:
        raise ServerUnreachable(
            f"no server runs on {session.desk.root}; a history is found in its stream", hint="Start it: catalyst up"
        )
    return await start_sequence(session.admin, history)


async def rotate(
    desk: Desk,
    name: str,
    handover: Handover,
    *,
    now: datetime,
    overlap: timedelta,
    expires_at: datetime | None = None,
    public_key: str | None = None,
    dry_run: bool = False,
) -> Invited:
    """Give a user a new key; the old one works on for `overlap`. Without `expires_at` his end stays as it is.

    Raises NotFound, Conflict, InputError. A user who keeps his own key has to bring the new `public_key`.
    """
    at = now.replace(microsecond=0)

    def edit_of(user: User) -> tuple[Edit, KeyPair | None]:
        if user.keeps_own_key and public_key is None:
            raise InputError(
                f"{name} keeps his key himself", hint="He runs `subscriber-agent enroll`; then give --public-key U…"
            )
        pair = None if public_key else KeyPair.generate(KeyKind.USER)
        key = public_key or (pair.public if pair else "")
        _key_is_free(desk, replace(user, public_key=key))
        edit = rotated(user, key, _whole(expires_at) or user.expires_at, overlap, at)
        return Edit(edit.before, replace(edit.after, keeps_own_key=pair is None), edit.revoked), pair

    return await _renewed(desk, name, "user rotate", edit_of, handover, at, dry_run=dry_run)


async def extend(
    desk: Desk, name: str, handover: Handover, *, now: datetime, expires_at: datetime, dry_run: bool = False
) -> Invited:
    """Give a user more time: a fresh JWT for the same key. Raises NotFound, Conflict (revoked), InputError."""
    at = now.replace(microsecond=0)

    def edit_of(user: User) -> tuple[Edit, KeyPair | None]:
        edit = extended(user, expires_at.replace(microsecond=0), at)
        if user.keeps_own_key:
            return edit, None
        return edit, read_creds(user_folder(desk, name) / f"{name}.creds", role=RoleName.SUBSCRIBER.value).key

    return await _renewed(desk, name, "user extend", edit_of, handover, at, dry_run=dry_run)


async def _renewed(
    desk: Desk,
    name: str,
    action: str,
    edit_of: Callable[[User], tuple[Edit, KeyPair | None]],
    handover: Handover,
    now: datetime,
    *,
    dry_run: bool,
) -> Invited:
    if dry_run:
        edit, _ = edit_of(read_user(desk, name))
        return Invited(Report(action, name, edit.changes, is_dry_run=True), edit.after, None)
    async with opened_session(desk, f"catalyst-{action.replace(' ', '-')}", now) as session:
        edit, pair = edit_of(read_user(desk, name))
        return await _handed_over(session, action, edit, pair, handover)


async def _handed_over(
    session: Session,
    action: str,
    edit: Edit,
    pair: KeyPair | None,
    handover: Handover,
    history: History | None = None,
) -> Invited:
    # The file comes before the registry entry: a crash in between leaves a file without a durable, which opens nothing.
    if handover.path.exists() and not handover.may_replace:
        raise Conflict(f"{handover.path} is there already", hint="Name another file with -o.")
    if handover.passphrase is not None:
        passphrase_checked(handover.passphrase)
    jwt = signed_for(session, edit.after)
    made = _invite_for(session, edit.after, jwt, pair, history)
    folder = user_folder(session.desk, edit.after.name)
    if pair is not None:
        _write(folder / f"{edit.after.name}.creds", creds_text(jwt, pair.seed))
    try:
        write_invite(handover.path, made, handover.passphrase)
    except OSError as error:
        raise StorageFailed(f"cannot write {handover.path}: {error.strerror or error}") from error
    report = await session.carry_out(action, edit)
    return Invited(report, read_user(session.desk, edit.after.name), handover.path)


def signed_for(session: Session, user: User) -> str:
    """The JWT of a user as the registry describes him, signed by his own scope's key or by the role's."""
    claims = user_claims(
        user.public_key,
        name=user.name,
        role=RoleName.SUBSCRIBER,
        account=session.vault.account_keys[Account.FRIENDS],
        issued_at=user.issued_at or user.created_at,
        expires_at=user.expires_at,
    )
    return signed_jwt(claims, _signer(session.desk, session.vault, user))


def _signer(desk: Desk, vault: Vault, user: User) -> KeyPair:
    if user.scope_key is None:
        return vault.roles[RoleName.SUBSCRIBER]
    path = user_folder(desk, user.name) / "scope.seed"
    pair = KeyPair.from_seed(read_secret(path, what="signing key"))
    if pair.public != user.scope_key:
        raise StorageFailed(f"{path} is not the key of {user.name}'s entry", hint="Restore it from a backup.")
    return pair


def _invite_for(session: Session, user: User, jwt: str, pair: KeyPair | None, history: History | None) -> Invite:
    desk, publisher_key, pem = session.desk, session.vault.signer.public_key, ca_pem(session.desk)
    servers = public_servers(desk, websocket=user.constraints.websocket_only)
    config = starter_yaml(user.name, servers, publisher_key, ca_file=f"{user.name}-ca.pem" if pem else None)
    return Invite(
        name=user.name,
        servers=tuple(servers),
        ca_certificate=pem,
        user_jwt=jwt,
        seed=pair.seed if pair else None,
        public_key=user.public_key,
        durable=durable_name(user.name),
        publisher_key=publisher_key,
        filters=user.filters,
        entitlement_in_words=" ".join(filter(None, (entitlement_in_words(user.filters), in_words(history)))),
        expires_at=user.expires_at,
        issued_at=user.issued_at or user.created_at,
        starter_config=config,
    )


def entitlement_in_words(filters: tuple[str, ...]) -> str:
    """What an entitlement means, as a sentence: `signals.fda.*` is "fda for every ticker"."""
    by_ticker: dict[str, list[str]] = {}
    for each in filters:
        _, catalyst, ticker = each.split(".")
        kinds = by_ticker.setdefault("every ticker" if ticker == "*" else ticker.replace("_", "."), [])
        kinds.append("every catalyst" if catalyst == "*" else catalyst)
    parts = [f"{', '.join(kinds)} for {ticker}" for ticker, kinds in by_ticker.items()]
    return f"You receive {'; '.join(parts)}; and the operator's control messages."


def _whole(instant: datetime | None) -> datetime | None:
    # A JWT counts whole seconds; the registry must not promise more.
    return instant.replace(microsecond=0) if instant else None


def _name_is_free(desk: Desk, name: str) -> None:
    if (user_folder(desk, user_name_checked(name)) / "user.json").exists():
        raise Conflict(
            f"there is a user {name} already",
            hint=f"A new file for him: catalyst user extend {name} or catalyst user rotate {name}",
        )


def _key_is_free(desk: Desk, wanted: User) -> None:
    public_key_checked(wanted.public_key, KeyKind.USER)
    for user in all_users(desk):
        if wanted.public_key in (user.public_key, *(each.public_key for each in user.retiring)):
            raise Conflict(f"this key belongs to {user.name} already", hint="Every identity has a key of its own.")
    if any(each.public_key == wanted.public_key for each in read_revocations(desk)):
        raise Conflict("this key was revoked and stays so", hint="`subscriber-agent enroll` makes a new one.")


def _scope_has_room(desk: Desk, wanted: User) -> None:
    others = sum(user.scope_key is not None for user in all_users(desk))
    if wanted.scope_key is not None and others >= MAX_CONSTRAINED_USERS:
        raise InputError(
            f"{others} users have addresses or hours of their own; more do not fit into the account's JWT",
            hint="Let this one in without such limits, or offboard others.",
        )


def _write(path: Path, content: str) -> None:
    try:
        write_secret(path, content)
    except OSError as error:
        raise StorageFailed(f"cannot write {path}: {error.strerror or error}") from error
