"""The vault under a passphrase. Each opening pays for scrypt, about a second: that is why these are not unit tests."""

import base64
import os
from datetime import UTC, datetime

import pytest

from signal_admin.desk import make_desk
from signal_admin.offline import export_offline, import_offline
from signal_admin.seeds import (
    PASSPHRASE_VARIABLE,
    bundle_file,
    has_passphrase,
    new_passphrase,
    read_seeds,
    remove_passphrase,
    set_passphrase,
)
from signal_admin.vault import make_vault, read_vault
from signal_contract.errors import Conflict, CredsInvalid, InputError

NOW = datetime(2026, 3, 2, 14, 30, tzinfo=UTC)
PASSPHRASE = "four random words here"


@pytest.fixture
def desk(tmp_path):
    made = make_desk(tmp_path / "data")
    make_vault(made.vault)
    return made


@pytest.fixture
def told(monkeypatch):
    """The passphrase in the environment, as a service has it."""
    monkeypatch.setenv(PASSPHRASE_VARIABLE, PASSPHRASE)
    return PASSPHRASE


def public_halves(vault):
    return vault.operator_key, vault.account_keys, vault.role_keys, vault.signer.public_key


def texts_below(folder):
    return "\n".join(path.read_text() for path in folder.rglob("*") if path.is_file())


def test_under_a_passphrase_no_seed_is_on_the_disk_and_everything_works(desk, tmp_path, told):
    stick = tmp_path / "stick"
    before, seeds = read_vault(desk.vault), read_seeds(desk.vault)
    set_passphrase(desk.vault, told)
    for seed in seeds.values():
        assert seed not in texts_below(desk.vault)
    armored = bundle_file(desk.vault).read_text().splitlines()
    assert base64.b64decode("".join(armored[1:-1])).startswith(b"age-encryption.org/v1\n-> scrypt ")
    assert not list(desk.vault.glob("*.seed"))
    assert public_halves(read_vault(desk.vault)) == public_halves(before)
    # The copy that leaves the machine is under the same passphrase.
    moved = export_offline(desk, stick, now=NOW)
    assert not any(seed in texts_below(stick) for seed in seeds.values())
    assert not read_vault(desk.vault).has_identity
    import_offline(desk, stick)
    assert read_seeds(desk.vault) == seeds
    assert moved.file.suffix == ".age"
    remove_passphrase(desk.vault)
    assert not has_passphrase(desk.vault)
    assert read_seeds(desk.vault) == seeds


def test_a_wrong_or_missing_passphrase_is_refused_without_showing_it(desk, monkeypatch):
    set_passphrase(desk.vault, PASSPHRASE)
    monkeypatch.setenv(PASSPHRASE_VARIABLE, "not the passphrase")
    with pytest.raises(CredsInvalid, match="wrong") as raised:
        read_vault(desk.vault)
    assert "not the passphrase" not in str(raised.value) + raised.value.hint
    monkeypatch.delenv(PASSPHRASE_VARIABLE)
    with pytest.raises(CredsInvalid, match="no terminal") as raised:
        read_vault(desk.vault)
    assert PASSPHRASE_VARIABLE in raised.value.hint


def test_the_passphrase_comes_from_a_private_file(desk, tmp_path, monkeypatch):
    set_passphrase(desk.vault, PASSPHRASE)
    file = tmp_path / "passphrase"
    file.write_text(PASSPHRASE + "\n")
    file.chmod(0o600)
    monkeypatch.setenv(f"{PASSPHRASE_VARIABLE}_FILE", str(file))
    assert read_vault(desk.vault).has_identity
    if os.name == "posix":
        file.chmod(0o644)
        with pytest.raises(CredsInvalid, match="read by others"):
            read_vault(desk.vault)


def test_a_weak_passphrase_is_refused_and_nothing_is_changed(desk, monkeypatch):
    with pytest.raises(InputError):
        set_passphrase(desk.vault, "short")
    monkeypatch.setenv(PASSPHRASE_VARIABLE, "short")
    with pytest.raises(InputError):
        new_passphrase()
    assert not has_passphrase(desk.vault)
    assert read_vault(desk.vault).has_identity


def test_plain_files_that_a_crash_left_beside_the_bundle_go_with_the_next_run(desk, told):
    plain = {path: path.read_text() for path in desk.vault.glob("*.seed")}
    set_passphrase(desk.vault, told)
    for path, text in plain.items():
        path.write_text(text)
        path.chmod(0o600)
    set_passphrase(desk.vault, told)
    assert not list(desk.vault.glob("*.seed"))
    assert read_vault(desk.vault).has_identity


def test_a_damaged_bundle_is_refused(desk, told):
    set_passphrase(desk.vault, told)
    path = bundle_file(desk.vault)
    text = path.read_text()
    path.write_text(text[:200] + ("A" if text[200] != "A" else "B") + text[201:])
    with pytest.raises(CredsInvalid):
        read_vault(desk.vault)


def test_there_is_no_passphrase_to_remove_when_there_is_none(desk):
    with pytest.raises(Conflict):
        remove_passphrase(desk.vault)
