"""Inviting without a server: what is made, what is private, and what is refused before anything is signed."""

import os
from datetime import UTC, datetime, timedelta

import orjson
import pytest

from signal_admin.actions import offboard, revoke, set_filters, sync
from signal_admin.commit import Outcome
from signal_admin.constraints import constraints_from
from signal_admin.desk import make_desk
from signal_admin.invites import (
    MAX_CONSTRAINED_USERS,
    Handover,
    Invitation,
    entitlement_in_words,
    extend,
    invite,
    rotate,
)
from signal_admin.issuing import issue_accounts
from signal_admin.registry import User, all_users, read_user, write_user
from signal_admin.resolver import MAX_JWT_BYTES
from signal_admin.revocations import Revocation, add_revocations, read_revocations
from signal_admin.users import overlap_from
from signal_admin.vault import make_vault, read_vault
from signal_contract.creds import claims_of, read_creds
from signal_contract.errors import Conflict, CredsInvalid, InputError, NameInvalid, NotFound, StorageFailed
from signal_contract.invite import read_invite
from signal_contract.nkey import KeyKind, KeyPair
from signal_contract.permissions import RoleName
from signal_contract.topology import Account

NOW = datetime(2026, 3, 2, 14, 30, tzinfo=UTC)
FDA = ("signals.fda.*",)
DAY = timedelta(days=1)


@pytest.fixture
def desk(tmp_path):
    made = make_desk(tmp_path / "data")
    make_vault(made.vault)
    issue_accounts(made, read_vault(made.vault), NOW)
    return made


def invitation(name="alice", **more) -> Invitation:
    return Invitation(name, FDA, NOW + 90 * DAY, **more)


def no_passphrase() -> str:
    raise AssertionError("nobody should be asked")


def friends_claims(desk) -> dict:
    return claims_of((desk.accounts / "FRIENDS.jwt").read_text().strip())["nats"]


async def test_an_invite_holds_all_that_a_friend_needs(desk, tmp_path):
    made = await invite(desk, invitation(), Handover(tmp_path / "a.invite"), now=NOW)
    got = read_invite(made.file, no_passphrase)
    assert (got.name, got.durable, got.filters, got.expires_at) == ("alice", "sub_alice", FDA, NOW + 90 * DAY)
    assert got.publisher_key == read_vault(desk.vault).signer.public_key
    assert claims_of(got.user_jwt)["exp"] == int((NOW + 90 * DAY).timestamp())
    assert KeyPair.from_seed(got.seed).public == got.public_key == made.user.public_key
    assert "fda for every ticker" in got.entitlement_in_words
    assert [(step.what, step.outcome) for step in made.report.steps] == [
        ("registry", Outcome.DONE),
        ("durable", Outcome.LATER),
        ("audit", Outcome.DONE),
    ]


@pytest.mark.skipif(os.name != "posix", reason="modes exist on POSIX only")
async def test_every_file_of_an_invite_is_private(desk, tmp_path):
    limits = constraints_from(["10.0.0.0/8"], [], None)
    made = await invite(desk, invitation(constraints=limits), Handover(tmp_path / "a.invite"), now=NOW)
    files = [made.file, *(desk.users / "alice").iterdir(), desk.root / "audit-pending.jsonl"]
    assert len(files) == 5
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}


async def test_an_invite_under_a_passphrase_opens_with_it_only(desk, tmp_path):
    made = await invite(desk, invitation(), Handover(tmp_path / "a.invite", "correct horse battery"), now=NOW)
    assert read_invite(made.file, lambda: "correct horse battery").name == "alice"
    with pytest.raises(CredsInvalid):
        read_invite(made.file, lambda: "wrong horse battery")


async def test_with_a_public_key_the_seed_is_nowhere(desk, tmp_path):
    key = KeyPair.generate(KeyKind.USER)
    made = await invite(desk, invitation(public_key=key.public), Handover(tmp_path / "a.invite"), now=NOW)
    got = read_invite(made.file, no_passphrase)
    assert (got.seed, got.public_key) == (None, key.public)
    assert not (desk.users / "alice" / "alice.creds").exists()
    assert made.user.keeps_own_key


@pytest.mark.parametrize(
    "key", ["", "UXXX", KeyPair.generate(KeyKind.ACCOUNT).public], ids=["empty", "short", "of an account"]
)
async def test_a_public_key_that_is_none_is_refused_and_nothing_is_made(desk, tmp_path, key):
    with pytest.raises(CredsInvalid):
        await invite(desk, invitation(public_key=key or "U"), Handover(tmp_path / "a.invite"), now=NOW)
    assert all_users(desk) == ()
    assert not (tmp_path / "a.invite").exists()


async def test_a_key_serves_one_user_only(desk, tmp_path):
    key = KeyPair.generate(KeyKind.USER).public
    await invite(desk, invitation(public_key=key), Handover(tmp_path / "a.invite"), now=NOW)
    with pytest.raises(Conflict, match="alice"):
        await invite(desk, invitation("bob", public_key=key), Handover(tmp_path / "b.invite"), now=NOW)
    await offboard(desk, "alice", now=NOW)
    with pytest.raises(Conflict):
        await invite(desk, invitation("bob", public_key=key), Handover(tmp_path / "b.invite"), now=NOW)


async def test_limits_of_ones_own_ride_in_the_account_and_not_in_the_users_jwt(desk, tmp_path):
    limits = constraints_from(["203.0.113.0/24"], ["03:30-20:30"], "America/New_York")
    made = await invite(desk, invitation(constraints=limits), Handover(tmp_path / "a.invite"), now=NOW)
    claims = claims_of(read_invite(made.file, no_passphrase).user_jwt)
    assert set(claims["nats"]) == {"pub", "sub", "issuer_account", "tags", "type", "version"}
    (scope,) = [each for each in friends_claims(desk)["signing_keys"] if each["key"] == made.user.scope_key]
    assert claims["iss"] == scope["key"]
    assert scope["template"]["src"] == ["203.0.113.0/24"]
    assert len(read_invite(made.file, no_passphrase).user_jwt) < 1024


async def test_a_dry_run_makes_nothing(desk, tmp_path):
    made = await invite(desk, invitation(), Handover(tmp_path / "a.invite"), now=NOW, dry_run=True)
    assert made.file is None
    assert made.report.is_dry_run
    assert {each.what for each in made.report.changes} >= {"user: name", "user: sub", "user: exp"}
    assert all_users(desk) == ()
    assert list(desk.users.iterdir()) == []
    assert not (desk.root / "audit-pending.jsonl").exists()


@pytest.mark.parametrize("name", ["..", "a/b", ">", "Alice", ""])
async def test_a_name_outside_the_grammar_makes_nothing(desk, tmp_path, name):
    with pytest.raises(NameInvalid):
        await invite(desk, invitation(name), Handover(tmp_path / "a.invite"), now=NOW)
    assert list(desk.users.iterdir()) == []


async def test_a_taken_name_and_a_file_that_exists_are_refused(desk, tmp_path):
    (tmp_path / "a.invite").write_text("precious")
    with pytest.raises(Conflict, match="there already"):
        await invite(desk, invitation(), Handover(tmp_path / "a.invite"), now=NOW)
    assert (tmp_path / "a.invite").read_text() == "precious"
    await invite(desk, invitation(), Handover(tmp_path / "b.invite"), now=NOW)
    with pytest.raises(Conflict, match="alice"):
        await invite(desk, invitation(), Handover(tmp_path / "c.invite"), now=NOW)


async def test_a_place_that_cannot_be_written_leaves_no_user(desk, tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(StorageFailed):
        await invite(desk, invitation(), Handover(tmp_path / "file" / "a.invite"), now=NOW)
    assert all_users(desk) == ()


async def test_an_extension_signs_the_same_key_again(desk, tmp_path):
    first = await invite(desk, invitation(), Handover(tmp_path / "a.invite"), now=NOW)
    late = NOW + 200 * DAY
    second = await extend(desk, "alice", Handover(tmp_path / "b.invite"), now=NOW + DAY, expires_at=late)
    assert second.user.public_key == first.user.public_key
    got = read_invite(second.file, no_passphrase)
    assert (got.expires_at, KeyPair.from_seed(got.seed).public) == (late, first.user.public_key)
    assert read_creds(desk.users / "alice" / "alice.creds").expires_at == late


async def test_a_rotation_makes_another_key_and_keeps_the_end(desk, tmp_path):
    first = await invite(desk, invitation(), Handover(tmp_path / "a.invite"), now=NOW)
    second = await rotate(desk, "alice", Handover(tmp_path / "b.invite"), now=NOW + DAY, overlap=DAY)
    assert second.user.public_key != first.user.public_key
    assert second.user.expires_at == first.user.expires_at
    assert [each.public_key for each in second.user.retiring] == [first.user.public_key]
    assert read_revocations(desk) == ()


async def test_who_keeps_his_own_key_brings_the_next_one(desk, tmp_path):
    one, two = (KeyPair.generate(KeyKind.USER).public for _ in range(2))
    await invite(desk, invitation(public_key=one), Handover(tmp_path / "a.invite"), now=NOW)
    with pytest.raises(InputError, match="keeps his key"):
        await rotate(desk, "alice", Handover(tmp_path / "b.invite"), now=NOW, overlap=DAY)
    done = await rotate(desk, "alice", Handover(tmp_path / "b.invite"), now=NOW, overlap=DAY, public_key=two)
    assert (done.user.public_key, read_invite(done.file, no_passphrase).seed) == (two, None)


async def test_revocations_are_in_the_account_at_once_and_in_every_later_one(desk, tmp_path):
    made = await invite(desk, invitation(), Handover(tmp_path / "a.invite"), now=NOW)
    report = await revoke(desk, "alice", now=NOW)
    key = made.user.public_key
    assert list(friends_claims(desk)["revocations"]) == [key]
    outcomes = {step.what: step.outcome for step in report.steps}
    assert outcomes["account JWT"] is Outcome.LATER
    issue_accounts(desk, read_vault(desk.vault), NOW + DAY)
    assert list(friends_claims(desk)["revocations"]) == [key]


async def test_a_damaged_list_of_revocations_never_counts_as_nobody(desk, tmp_path):
    await invite(desk, invitation(), Handover(tmp_path / "a.invite"), now=NOW)
    await revoke(desk, "alice", now=NOW)
    for damage in (b"", b"{}", b"[{}]", b"\xff", b'[{"public_key": "U"}]'):
        (desk.accounts / "revocations.json").write_bytes(damage)
        with pytest.raises(StorageFailed):
            issue_accounts(desk, read_vault(desk.vault), NOW)


async def test_an_offboarded_user_waits_for_the_server_without_a_way_back(desk, tmp_path):
    await invite(desk, invitation(), Handover(tmp_path / "a.invite"), now=NOW)
    await offboard(desk, "alice", now=NOW)
    assert read_user(desk, "alice").status(NOW) == "leaving"
    with pytest.raises(Conflict, match="offboarded"):
        await set_filters(desk, "alice", ("signals.*.*",), now=NOW)
    reports = await sync(desk, now=NOW)
    assert [report.action for report in reports] == ["user offboard", "user sync"]
    assert read_user(desk, "alice").is_leaving


async def test_every_action_is_audited_without_secrets(desk, tmp_path):
    made = await invite(desk, invitation(), Handover(tmp_path / "a.invite"), now=NOW)
    await set_filters(desk, "alice", ("signals.*.*",), now=NOW)
    await revoke(desk, "alice", now=NOW)
    text = (desk.root / "audit-pending.jsonl").read_text()
    entries = [orjson.loads(line) for line in text.splitlines() if line]
    assert [each["action"] for each in entries] == ["user invite", "user set-filters", "user revoke"]
    assert entries[1]["before"] == {"durable sub_alice on SIGNALS: filter_subjects": ["signals.fda.*"]}
    assert read_invite(made.file, no_passphrase).seed not in text


async def test_an_unknown_user_is_not_found(desk, tmp_path):
    for action in (
        revoke(desk, "nobody", now=NOW),
        offboard(desk, "nobody", now=NOW),
        set_filters(desk, "nobody", FDA, now=NOW),
        extend(desk, "nobody", Handover(tmp_path / "x"), now=NOW, expires_at=NOW + DAY),
    ):
        with pytest.raises(NotFound):
            await action


async def test_the_five_hundredth_user_is_minted_without_a_server(desk, tmp_path):
    for number in range(499):
        write_user(desk, User(f"friend-{number:03}", f"U{number}", FDA, NOW))
    made = await invite(desk, invitation("friend-499"), Handover(tmp_path / "a.invite"), now=NOW)
    assert len(all_users(desk)) == 500
    jwt, vault = read_invite(made.file, no_passphrase).user_jwt, read_vault(desk.vault)
    assert len(jwt) < 1024
    assert claims_of(jwt)["iss"] == vault.role_keys[RoleName.SUBSCRIBER]
    assert claims_of(jwt)["nats"]["issuer_account"] == vault.account_keys[Account.FRIENDS]
    assert len((desk.accounts / "FRIENDS.jwt").read_bytes()) < 4096


async def test_the_account_jwt_has_room_for_a_full_house_and_no_more(desk, tmp_path):
    """The worst case that is admitted must fit into one message: every limit used, and hundreds of revoked keys."""
    limits = constraints_from([f"2001:db8:{n:x}::/48" for n in range(16)], ["03:30-20:30"] * 1, "America/New_York")
    for number in range(MAX_CONSTRAINED_USERS):
        key = KeyPair.generate(KeyKind.ACCOUNT).public
        write_user(desk, User(f"{number:03}".ljust(32, "x"), f"U{number}", FDA, NOW, constraints=limits, scope_key=key))
    add_revocations(desk, [Revocation(KeyPair.generate(KeyKind.USER).public, "x", NOW) for _ in range(100)], NOW)
    issue_accounts(desk, read_vault(desk.vault), NOW)
    assert len((desk.accounts / "FRIENDS.jwt").read_bytes()) < MAX_JWT_BYTES
    with pytest.raises(InputError, match="do not fit"):
        await invite(desk, invitation(constraints=limits), Handover(tmp_path / "a.invite"), now=NOW)


@pytest.mark.parametrize(
    ("filters", "words"),
    [
        (("signals.fda.*",), "fda for every ticker"),
        (("signals.*.BRK_B",), "every catalyst for BRK.B"),
        (("signals.*.*",), "every catalyst for every ticker"),
        (("signals.fda.AAPL", "signals.merger.*"), "fda for AAPL; merger for every ticker"),
    ],
)
def test_an_entitlement_is_said_in_words(filters, words):
    assert words in entitlement_in_words(filters)


@pytest.mark.parametrize(("text", "length"), [("0h", timedelta()), ("24h", DAY), ("2d", 2 * DAY), ("30d", 30 * DAY)])
def test_overlaps(text, length):
    assert overlap_from(text) == length


@pytest.mark.parametrize("text", ["", "x", "31d", "-1h", "0.5h"])
def test_what_is_no_overlap_is_refused(text):
    with pytest.raises(InputError):
        overlap_from(text)
