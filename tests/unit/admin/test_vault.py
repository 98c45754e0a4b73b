"""The vault: identity keys that can be away, public halves that must fit, keys for roles it has never had."""

import os
from datetime import UTC, datetime

import orjson
import pytest

from signal_admin.desk import make_desk
from signal_admin.issuing import issue_accounts, mint_user
from signal_admin.offline import export_offline, import_offline
from signal_admin.seeds import change_seeds, read_seeds, vault_held
from signal_admin.vault import identity_names, make_vault, public_file, read_vault
from signal_contract.errors import Conflict, CredsInvalid, IdentityOffline, InputError, NotFound
from signal_contract.permissions import RoleName

NOW = datetime(2026, 3, 2, 14, 30, tzinfo=UTC)


@pytest.fixture
def desk(tmp_path):
    made = make_desk(tmp_path / "data")
    make_vault(made.vault)
    return made


@pytest.fixture
def stick(tmp_path):
    return tmp_path / "stick"


def public_halves(vault):
    return vault.operator_key, vault.account_keys, vault.role_keys, vault.signer.public_key


def texts_below(folder):
    return "\n".join(path.read_text() for path in folder.rglob("*") if path.is_file())


# Identity keys offline --------------------------------------------------------------------------------------------


def test_after_the_export_no_identity_seed_is_left_and_daily_work_goes_on(desk, stick):
    before = read_vault(desk.vault)
    seeds = read_seeds(desk.vault)
    moved = export_offline(desk, stick, now=NOW)
    for name in identity_names():
        assert seeds[name] not in texts_below(desk.root)
        assert seeds[name] in moved.file.read_text()
    after = read_vault(desk.vault)
    assert public_halves(after) == public_halves(before)
    assert not after.has_identity
    assert set(issue_accounts(desk, after, NOW).accounts) == set(before.account_keys)
    assert mint_user(after, name="alice", role=RoleName.SUBSCRIBER, issued_at=NOW)[0].startswith("U")


@pytest.mark.skipif(os.name != "posix", reason="modes exist on POSIX only")
def test_the_copy_is_private_and_one_that_others_can_read_is_refused(desk, stick):
    file = export_offline(desk, stick, now=NOW).file
    assert file.stat().st_mode & 0o777 == 0o600
    assert stick.stat().st_mode & 0o777 == 0o700
    file.chmod(0o640)
    with pytest.raises(CredsInvalid, match="read by others"):
        import_offline(desk, stick)


def test_what_needs_an_identity_key_says_so_and_how_to_bring_it_back(desk, stick):
    export_offline(desk, stick, now=NOW)
    vault = read_vault(desk.vault)
    (desk.accounts / "operator.jwt").unlink()
    with pytest.raises(IdentityOffline, match="operator") as raised:
        issue_accounts(desk, vault, NOW)
    assert "import-offline" in raised.value.hint
    import_offline(desk, stick)
    assert issue_accounts(desk, read_vault(desk.vault), NOW).operator_jwt


def test_the_import_brings_back_the_same_keys_and_the_copy_stays(desk, stick):
    before = read_seeds(desk.vault)
    export_offline(desk, stick, now=NOW)
    with pytest.raises(Conflict, match="offline already"):
        export_offline(desk, stick, now=NOW)
    import_offline(desk, stick)
    assert read_seeds(desk.vault) == before
    assert list(stick.iterdir())
    assert read_vault(desk.vault).has_identity
    export_offline(desk, stick, now=NOW)  # into the same folder again: the copy is the same


def test_the_identity_of_another_operator_is_refused_and_never_overwritten(desk, stick, tmp_path):
    other = make_desk(tmp_path / "other")
    make_vault(other.vault)
    export_offline(other, stick, now=NOW)
    copy = texts_below(stick)
    with pytest.raises(CredsInvalid, match="another operator"):
        import_offline(desk, stick)
    with pytest.raises(Conflict, match="other keys"):
        export_offline(desk, stick, now=NOW)
    assert texts_below(stick) == copy
    assert read_vault(desk.vault).has_identity


def test_a_folder_in_the_data_directory_is_not_offline(desk):
    with pytest.raises(InputError, match="data directory"):
        export_offline(desk, desk.root / "vault" / "away", now=NOW)
    with pytest.raises(NotFound):
        import_offline(desk, desk.root / "none")


@pytest.mark.parametrize("damage", ["", "{}", "[]", "no json", '{"operator": 1}'])
def test_a_damaged_copy_is_refused_and_changes_nothing(desk, stick, damage):
    file = export_offline(desk, stick, now=NOW).file
    file.write_text(damage)
    with pytest.raises(CredsInvalid):
        import_offline(desk, stick)
    assert not read_vault(desk.vault).has_identity


# Older vaults, and mixtures ---------------------------------------------------------------------------------------


LATER = {"account-observers", "role-auditor", "role-system"}


def without_observers(desk):
    """As a vault was before that account came: neither the key nor its public half."""
    public = orjson.loads(public_file(desk.vault).read_bytes())
    del public["account-observers"]
    public_file(desk.vault).write_bytes(orjson.dumps(public))
    (desk.vault / "account-observers.seed").unlink(missing_ok=True)


def copy_without_observers(file):
    seeds = orjson.loads(file.read_bytes())
    del seeds["account-observers"]
    file.write_bytes(orjson.dumps(seeds))


def as_of_the_first_version(desk):
    public_file(desk.vault).unlink()
    for name in LATER:
        (desk.vault / f"{name}.seed").unlink()


def test_a_vault_of_the_first_version_gets_the_keys_of_new_accounts_and_roles_once(desk):
    before = read_seeds(desk.vault)
    as_of_the_first_version(desk)
    first = read_vault(desk.vault)
    assert public_halves(read_vault(desk.vault)) == public_halves(first)
    after = read_seeds(desk.vault)
    assert {name for name in before if before[name] != after[name]} == LATER
    (desk.vault / "role-auditor.seed").unlink()
    with pytest.raises(CredsInvalid, match="role-auditor"):
        read_vault(desk.vault)


def test_a_vault_from_before_an_account_gets_its_key_once_and_keeps_all_others(desk):
    before = read_seeds(desk.vault)
    without_observers(desk)
    first = read_vault(desk.vault)
    assert public_halves(read_vault(desk.vault)) == public_halves(first)
    after = read_seeds(desk.vault)
    assert {name for name in before if before[name] != after[name]} == {"account-observers"}
    (desk.vault / "account-observers.seed").unlink()
    with pytest.raises(CredsInvalid, match="account-observers"):
        read_vault(desk.vault)


def test_an_account_is_added_while_the_identity_keys_are_offline_and_their_copy_is_completed(desk, stick):
    before = read_seeds(desk.vault)
    file = export_offline(desk, stick, now=NOW).file
    copy_without_observers(file)
    without_observers(desk)
    vault = read_vault(desk.vault)
    assert not vault.has_identity
    assert set(issue_accounts(desk, vault, NOW).accounts) == set(vault.account_keys)
    with pytest.raises(Conflict, match="offline already"):
        export_offline(desk, stick, now=NOW)
    import_offline(desk, stick)
    assert public_halves(read_vault(desk.vault)) == public_halves(vault)
    assert {name for name, seed in read_seeds(desk.vault).items() if before[name] != seed} == {"account-observers"}
    export_offline(desk, stick, now=NOW)  # into the same folder: the copy now holds the new key too
    assert set(orjson.loads(file.read_bytes())) == set(identity_names())
    assert not set(read_seeds(desk.vault)) & set(identity_names())


def test_a_copy_from_before_an_account_is_refused_when_its_key_is_in_a_newer_copy(desk, stick):
    file = export_offline(desk, stick, now=NOW).file
    copy_without_observers(file)
    before = read_seeds(desk.vault)
    with pytest.raises(CredsInvalid, match="lacks account-observers"):
        import_offline(desk, stick)
    assert read_seeds(desk.vault) == before


def test_a_vault_of_the_first_version_that_lacks_a_key_is_refused(desk):
    as_of_the_first_version(desk)
    (desk.vault / "role-publisher.seed").unlink()
    with pytest.raises(CredsInvalid, match="role-publisher"):
        read_vault(desk.vault)
    assert not public_file(desk.vault).exists()


def test_a_key_of_another_vault_is_noticed(desk, tmp_path):
    other = tmp_path / "other"
    make_vault(other)
    (desk.vault / "role-admin.seed").write_text((other / "role-admin.seed").read_text())
    with pytest.raises(CredsInvalid, match="role-admin is another one"):
        read_vault(desk.vault)


def test_one_identity_key_alone_is_a_damaged_vault(desk):
    (desk.vault / "account-sys.seed").unlink()
    with pytest.raises(CredsInvalid, match="account-sys"):
        read_vault(desk.vault)


@pytest.mark.parametrize("damage", ["", "[]", "{}", "no json"])
def test_a_damaged_list_of_public_keys_is_refused(desk, damage):
    public_file(desk.vault).write_text(damage)
    with pytest.raises(CredsInvalid, match="damaged"):
        read_vault(desk.vault)


def test_the_list_of_public_keys_holds_no_secret(desk):
    content = public_file(desk.vault).read_text()
    assert not any(seed in content for seed in read_seeds(desk.vault).values())
    assert set(orjson.loads(content)) == set(read_seeds(desk.vault)) - {"message-signing"}


def test_seeds_are_changed_while_the_vault_is_held(desk):
    with vault_held(desk.vault):
        change_seeds(desk.vault, {"message-signing-next": "x"}, remove=["message-signing"])
    assert "message-signing" not in read_seeds(desk.vault)
