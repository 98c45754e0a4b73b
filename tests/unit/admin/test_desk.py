import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from signal_admin.desk import ServerRecord, make_desk, open_desk
from signal_admin.issuing import issue_accounts, issue_own_creds, mint_user
from signal_admin.registry import all_users, read_user
from signal_admin.users import add_user, entitlement_from, expiry_from, user_states
from signal_admin.vault import make_vault, read_vault
from signal_contract.creds import claims_of, read_creds
from signal_contract.errors import (
    CatalystUnknown,
    Conflict,
    CredsInvalid,
    InputError,
    NameInvalid,
    NotFound,
    StorageFailed,
    SubjectInvalid,
)
from signal_contract.permissions import RoleName
from signal_contract.topology import Account

NOW = datetime(2026, 3, 2, 14, 30, tzinfo=UTC)
FDA = ("signals.fda.*",)


@pytest.fixture
def desk(tmp_path):
    made = make_desk(tmp_path / "data")
    make_vault(made.vault)
    return made


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


@pytest.mark.skipif(os.name != "posix", reason="modes exist on POSIX only")
async def test_everything_secret_is_private(desk):
    issue_own_creds(desk, read_vault(desk.vault), NOW)
    await add_user(desk, "alice", FDA, now=NOW)
    assert mode(desk.root) == 0o700
    assert mode(desk.vault) == 0o700
    secrets = [*desk.root.rglob("*.seed"), *desk.root.rglob("*.creds"), *desk.root.rglob("*.yaml")]
    assert len(secrets) > 12
    assert {mode(path) for path in secrets} == {0o600}


def test_the_vault_is_made_once_and_never_overwritten(desk):
    before = {path.name: path.read_bytes() for path in desk.vault.iterdir()}
    make_vault(desk.vault)
    assert {path.name: path.read_bytes() for path in desk.vault.iterdir()} == before


def test_a_half_made_vault_of_a_crash_is_started_anew(tmp_path):
    desk = make_desk(tmp_path / "data")
    draft = desk.root / ".vault.new"
    draft.mkdir()
    (draft / "operator.seed").write_text("half")
    make_vault(desk.vault)
    assert read_vault(desk.vault).operator.public.startswith("O")


def test_a_missing_vault_key_is_refused_and_not_made_again(desk):
    (desk.vault / "role-subscriber.seed").unlink()
    with pytest.raises(CredsInvalid, match="role-subscriber"):
        read_vault(desk.vault)
    assert not (desk.vault / "role-subscriber.seed").exists()


@pytest.mark.skipif(os.name != "posix", reason="modes exist on POSIX only")
def test_a_vault_key_that_others_can_read_is_refused(desk):
    (desk.vault / "operator.seed").chmod(0o644)
    with pytest.raises(CredsInvalid, match="read by others"):
        read_vault(desk.vault)


def test_a_changed_character_in_a_vault_key_is_refused(desk):
    path = desk.vault / "account-signals.seed"
    seed = path.read_text()
    path.write_text(seed[:20] + ("A" if seed[20] != "A" else "B") + seed[21:])
    with pytest.raises(CredsInvalid, match="account-signals"):
        read_vault(desk.vault)


def test_the_repr_of_the_vault_shows_no_seed(desk):
    shown = repr(read_vault(desk.vault))
    for path in desk.vault.iterdir():
        assert path.read_text().strip() not in shown


def test_unchanged_accounts_are_reused_byte_for_byte(desk):
    vault = read_vault(desk.vault)
    first = issue_accounts(desk, vault, NOW)
    again = issue_accounts(desk, vault, NOW + timedelta(days=1))
    assert set(first.changed) == {account.value for account in Account}
    assert again.changed == ()
    assert (again.accounts, again.operator_jwt) == (first.accounts, first.operator_jwt)


@pytest.mark.parametrize("damage", ["", "a.b.c", "garbage"])
def test_a_damaged_copy_of_an_account_is_issued_anew(desk, damage):
    vault = read_vault(desk.vault)
    issue_accounts(desk, vault, NOW)
    (desk.accounts / "FRIENDS.jwt").write_text(damage)
    assert issue_accounts(desk, vault, NOW).changed == ("FRIENDS",)


def test_own_creds_are_made_for_their_roles_and_kept(desk):
    vault = read_vault(desk.vault)
    issue_own_creds(desk, vault, NOW)
    before = desk.role_creds("admin").read_bytes()
    issue_own_creds(desk, vault, NOW)
    assert desk.role_creds("admin").read_bytes() == before
    for path, role in (
        (desk.publisher / "publisher.creds", "publisher"),
        (desk.role_creds("admin"), "admin"),
        (desk.role_creds("monitor"), "monitor"),
    ):
        assert read_creds(path, role=role).user == role


@pytest.mark.parametrize("damage", ["", "garbage"])
def test_own_creds_that_are_damaged_are_made_anew(desk, damage):
    vault = read_vault(desk.vault)
    issue_own_creds(desk, vault, NOW)
    for path in (desk.role_creds("admin"), desk.publisher / "signing.seed"):
        path.write_text(damage)
    issue_own_creds(desk, vault, NOW)
    assert read_creds(desk.role_creds("admin")).role == "admin"
    assert (desk.publisher / "signing.seed").read_text().strip() == vault.signer.secret_text


def test_own_creds_of_a_role_that_has_moved_to_another_account_are_made_anew(desk):
    vault = read_vault(desk.vault)
    before = replace(vault, account_keys={**vault.account_keys, Account.OBSERVERS: "A_OF_BEFORE"})
    issue_own_creds(desk, before, NOW)
    admin, monitor = desk.role_creds("admin").read_bytes(), read_creds(desk.role_creds("monitor"))
    issue_own_creds(desk, vault, NOW)
    assert desk.role_creds("admin").read_bytes() == admin
    after = read_creds(desk.role_creds("monitor"))
    assert after.public_key != monitor.public_key
    assert claims_of(after.jwt)["nats"]["issuer_account"] == vault.account_keys[Account.OBSERVERS]


async def test_a_user_gets_creds_and_a_config_that_belong_together(desk):
    made = await add_user(desk, "alice", FDA, now=NOW, expires_at=NOW + timedelta(days=90))
    creds = read_creds(made.creds, role="subscriber", now=NOW)
    config = yaml.safe_load(made.config.read_text())
    assert creds.user == "alice"
    assert creds.public_key == made.user.public_key
    assert creds.expires_at == NOW + timedelta(days=90)
    assert (made.config.parent / config["creds"]) == made.creds
    assert config["publisher_key"] == read_vault(desk.vault).signer.public_key
    assert config["servers"] == ["nats://127.0.0.1:4222"]
    assert config["engine"] == {"kind": "paper", "paper": {"start_cash_usd": "10000"}}
    assert (config["mode"], config["risk"]) == ("paper", {})
    assert made.has_durable is False


async def test_out_receives_copies(desk, tmp_path):
    made = await add_user(desk, "alice", FDA, now=NOW, out=tmp_path / "hand-over")
    assert sorted(path.name for path in (tmp_path / "hand-over").iterdir()) == ["alice.creds", "alice.yaml"]
    assert made.creds.read_bytes() == (desk.users / "alice" / "alice.creds").read_bytes()


async def test_a_taken_name_is_refused_and_the_old_creds_stay(desk):
    made = await add_user(desk, "alice", FDA, now=NOW)
    before = made.creds.read_bytes()
    with pytest.raises(Conflict):
        await add_user(desk, "alice", FDA, now=NOW)
    assert made.creds.read_bytes() == before


@pytest.mark.parametrize("name", ["..", "../alice", "a/b", ">", "Alice", "a", "", "x" * 33])
async def test_a_name_outside_the_grammar_makes_nothing(desk, name):
    with pytest.raises(NameInvalid):
        await add_user(desk, name, FDA, now=NOW)
    assert list(desk.users.iterdir()) == []


def test_entitlements_are_normalised_and_never_empty():
    assert entitlement_from(["M&A"], ["signals.fda.*"]) == (
        "signals.acquisition.*",
        "signals.fda.*",
        "signals.merger.*",
    )
    with pytest.raises(SubjectInvalid):
        entitlement_from([], [])
    with pytest.raises(CatalystUnknown, match="did you mean 'fda'"):
        entitlement_from(["fdaa"], [])
    with pytest.raises(InputError, match="too many"):
        entitlement_from([], [f"signals.*.T{n}" for n in range(65)])


@pytest.mark.parametrize(
    ("text", "length"), [("90d", timedelta(days=90)), ("12h", timedelta(hours=12)), ("2w", timedelta(weeks=2))]
)
def test_durations(text, length):
    assert expiry_from(text, NOW) == NOW + length


@pytest.mark.parametrize("text", ["", "d", "90", "0d", "-1d", "1.5d", "9999999d", "4000d", "1y", "٣d"])
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(InputError):
        expiry_from(text, NOW)


async def test_a_damaged_user_file_is_told_and_not_skipped(desk):
    await add_user(desk, "alice", FDA, now=NOW)
    (desk.users / "alice" / "user.json").write_text('{"name": "alice", "filters": []}')
    with pytest.raises(StorageFailed, match="alice"):
        all_users(desk)


async def test_users_are_listed_by_name_also_without_a_server(desk):
    for name in ("carol", "alice", "bob"):
        await add_user(desk, name, FDA, now=NOW)
    states = await user_states(desk)
    assert [state.user.name for state in states] == ["alice", "bob", "carol"]
    assert {state.is_online for state in states} == {None}


def test_an_unknown_user_is_not_found(desk):
    with pytest.raises(NotFound):
        read_user(desk, "nobody")


def test_a_directory_that_is_no_desk_is_told(tmp_path):
    with pytest.raises(NotFound, match="not the data directory"):
        open_desk(tmp_path)


def test_the_environment_names_the_data_directory(tmp_path, monkeypatch):
    monkeypatch.setenv("CATALYST_DATA", str(tmp_path / "from-env"))
    assert make_desk(None).root == tmp_path / "from-env"


def test_a_file_in_the_way_is_told(tmp_path):
    (tmp_path / "data").write_text("x")
    with pytest.raises(StorageFailed):
        make_desk(tmp_path / "data")


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b'{"url": 1}', b"\xff"])
def test_a_damaged_server_record_counts_as_no_server(desk, content):
    desk.server_json.write_bytes(content)
    assert desk.server_record() is None


def test_a_server_record_is_read_as_it_was_written(desk):
    record = ServerRecord("nats://127.0.0.1:1", 5, 6, NOW.isoformat(), None)
    desk.write_server_record(record)
    assert desk.server_record() == record


def test_the_issuer_of_a_user_is_the_roles_key(desk):
    vault = read_vault(desk.vault)
    public, content = mint_user(vault, name="alice", role=RoleName.SUBSCRIBER, issued_at=NOW)
    jwt = next(line for line in content.splitlines() if line.startswith("ey"))
    assert claims_of(jwt)["iss"] == vault.role_keys[RoleName.SUBSCRIBER]
    assert claims_of(jwt)["sub"] == public
