"""Backup, restore and verification against real servers: running, stopped, encrypted, busy, and tampered with."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from publisher.entry import entry_from
from signal_admin.backup.findings import Level
from signal_admin.backup.private_server import private_server
from signal_admin.backup.reading import messages, readable
from signal_admin.backup.restoring import restore
from signal_admin.backup.snapshot import put_back, take_snapshot
from signal_admin.backup.spool import account_of, one_at_a_time
from signal_admin.backup.taking import take_backup, verified_directory, verified_file
from signal_admin.desk import Desk
from signal_admin.rotation import rotate_publisher_key
from signal_admin.settings import UpSettings
from signal_admin.store_key import is_encrypted
from signal_admin.up import brought_up
from signal_contract.codec import signal_id_from
from signal_contract.creds import read_creds
from signal_contract.errors import AlreadyRunning, Conflict, Denied, StorageFailed, StoreKeyMissing
from signal_contract.link import opened
from signal_contract.model import Action, Signal
from signal_contract.permissions import RoleName
from signal_contract.resources import resource_path
from signal_contract.signing import MESSAGE_ID_HEADER, SIGNATURE_HEADER, Signer
from signal_contract.topology import FLAGS_STREAM, FLAGS_SUBJECT


def quiet(_line: str) -> None:
    """Nobody listens."""


def a_signal(name: str) -> Signal:
    document = json.loads(resource_path("config/samples/signal.v1.json").read_bytes())
    now = datetime.now(UTC)
    changes = {
        "signal_id": signal_id_from(name, "AAPL", Action.BUY),
        "ticker": "AAPL",
        "action": "buy",
        "news": {**document["news"], "id": name},
        "classified_at": now.isoformat(),
        "published_at": now.isoformat(),
        "reference_price_at": now.isoformat(),
        "expires_at": (now + timedelta(hours=1)).isoformat(),
    }
    return Signal.model_validate_json(json.dumps({**document, **changes}))


async def published(data: Path, url: str, names: list[str]) -> list[int]:
    """Publish one signed signal for each name; their sequences."""
    signer = Signer.from_secret_text((data / "publisher" / "signing.seed").read_text())
    async with opened([url], read_creds(data / "publisher" / "publisher.creds"), label="test") as link:
        sequences = []
        for name in names:
            entry = entry_from(a_signal(name), signer)
            headers = {MESSAGE_ID_HEADER: entry.message_id, SIGNATURE_HEADER: entry.signature}
            sequences.append((await link.publish_stored(entry.subject, entry.payload, headers=headers)).sequence)
        return sequences


@asynccontextmanager
async def running(data: Path, **settings):
    async with brought_up(data, UpSettings(port=-1, **settings), quiet) as up:
        yield up


def failed(verdict) -> list[str]:
    return [f"{each.what}: {each.text}" for each in verdict.findings if each.level is Level.FAIL]


def contents(folder: Path) -> dict[str, str]:
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("role", [role for role in RoleName if role is not RoleName.SYSTEM])
async def test_nobody_may_put_a_stream_back_on_the_running_server(operator, role):
    await operator.add_user("alice", ["signals.fda.*"])
    link = await operator.link("alice" if role is RoleName.SUBSCRIBER else role.value)
    with pytest.raises(Denied):
        await link.api("$JS.API.STREAM.RESTORE.SIGNALS", {"config": {"name": "SIGNALS"}, "state": {}})


async def test_a_snapshot_of_many_pieces_comes_whole_over_the_admins_own_connection(operator, tmp_path):
    # Random bytes: what compresses well fits into one piece, which needs no acknowledgement.
    admin = await operator.admin_link()
    entries = [os.urandom(40_000) for _ in range(40)]
    for number, entry in enumerate(entries):
        await admin.publish_stored("audit.test", entry, headers={MESSAGE_ID_HEADER: str(number)})
    heard: list[int] = []
    taken = await take_snapshot(admin, "AUDIT", tmp_path / "snapshot", heard.append)
    assert len(heard) > 10
    assert heard[-1] == (tmp_path / "snapshot").stat().st_size
    for folder in ("store", "server"):
        (tmp_path / folder).mkdir()
    account = account_of(operator.up.desk)
    async with private_server(tmp_path / "store", tmp_path / "server", account) as copy:
        await put_back(copy, "AUDIT", readable(taken.config), taken.state, tmp_path / "snapshot")
        found = [each.data async for each in messages(copy, "AUDIT", "audit.test")]
    assert found == entries


async def test_a_snapshot_taken_while_signals_are_published_is_whole(operator, tmp_path):
    await operator.add_user("alice", ["signals.fda.*"])
    before = await published(operator.data, operator.url, [f"before-{n}" for n in range(50)])
    async with asyncio.TaskGroup() as group:
        sending = group.create_task(published(operator.data, operator.url, [f"during-{n}" for n in range(300)]))
        taking = group.create_task(take_backup(operator.up.desk, tmp_path / "f", None, quiet))
    taken = taking.result()
    assert failed(taken.verdict) == []
    (signals,) = [each for each in taken.manifest.streams if each.name == "SIGNALS"]
    assert before[-1] <= signals.last_sequence <= sending.result()[-1]
    assert signals.messages == signals.last_sequence


async def test_a_stopped_directory_is_verified_and_backed_up_without_being_touched(data_dir, tmp_path):
    async with running(data_dir) as up:
        await published(data_dir, up.running.url, ["one", "two"])
    before = contents(data_dir / "jetstream")
    verdict = await verified_directory(Desk(data_dir), quiet)
    taken = await take_backup(Desk(data_dir), tmp_path / "f", None, quiet, is_checked=False)
    assert failed(verdict) == []
    assert {each.name: each.messages for each in taken.manifest.streams}["SIGNALS"] == 2
    assert contents(data_dir / "jetstream") == before
    assert not list(data_dir.glob(".backup-*"))


async def test_an_encrypted_store_is_encrypted_again_where_it_is_restored(data_dir, tmp_path):
    async with running(data_dir, encrypt=True) as up:
        await published(data_dir, up.running.url, ["one"])
        await take_backup(up.desk, tmp_path / "f", None, quiet)
    place = tmp_path / "elsewhere"
    await restore(tmp_path / "f", place, None, quiet)
    assert is_encrypted(Desk(place))
    assert not any(b"Example" in path.read_bytes() for path in (place / "jetstream").rglob("*.blk"))
    async with running(place) as up:
        assert await published(place, up.running.url, ["one", "two"]) == [1, 2]


async def test_a_restore_without_the_store_key_leaves_nothing_behind(data_dir, tmp_path, monkeypatch):
    monkeypatch.setenv("CATALYST_STORE_KEY", "0123456789abcdef0123456789abcdef")
    async with running(data_dir, encrypt=True) as up:
        taken = await take_backup(up.desk, tmp_path / "f", None, quiet)
    assert any("CATALYST_STORE_KEY" in each for each in taken.manifest.outside)
    monkeypatch.delenv("CATALYST_STORE_KEY")
    with pytest.raises(StoreKeyMissing):
        await restore(tmp_path / "f", tmp_path / "elsewhere", None, quiet)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "f"]


async def test_a_restored_stream_knows_the_message_ids_of_before(data_dir, tmp_path):
    async with running(data_dir) as up:
        await published(data_dir, up.running.url, ["one", "two"])
        await take_backup(up.desk, tmp_path / "f", None, quiet, is_checked=False)
    place = tmp_path / "elsewhere"
    await restore(tmp_path / "f", place, None, quiet)
    async with running(place) as up:
        assert await published(place, up.running.url, ["two", "one", "three"]) == [2, 1, 3]


async def test_verification_follows_a_change_of_the_publishers_key(operator):
    await published(operator.data, operator.url, ["one"])
    await rotate_publisher_key(operator.up.desk, now=datetime.now(UTC))
    await published(operator.data, operator.url, ["two"])
    verdict = await verified_directory(operator.up.desk, quiet)
    assert failed(verdict) == []
    assert "changed 1 times, each one announced" in [each.text for each in verdict.findings]
    assert not [each for each in verdict.findings if each.level is Level.WARN]


async def test_a_control_message_that_the_publisher_did_not_sign_fails_the_verification(operator):
    admin = await operator.admin_link()
    await admin.publish_stored("control.all.halt", b"{}", headers={MESSAGE_ID_HEADER: "forged"})
    verdict = await verified_directory(operator.up.desk, quiet)
    assert not verdict.is_sound
    assert failed(verdict) == ["signatures: 1 not as they should be: 1 (not signed)"]


async def test_the_flags_are_in_the_backup_and_must_be_the_publishers(operator, tmp_path):
    admin = await operator.admin_link()
    signer = Signer.from_secret_text((operator.data / "publisher" / "signing.seed").read_text())
    await admin.publish_stored(FLAGS_SUBJECT, b"{}", headers={SIGNATURE_HEADER: signer.sign(FLAGS_SUBJECT, b"{}")})
    taken = await take_backup(operator.up.desk, tmp_path / "f", None, quiet)
    assert FLAGS_STREAM in [each.name for each in taken.manifest.streams if each.messages == 1]
    assert failed(taken.verdict) == []
    await admin.publish_stored(FLAGS_SUBJECT, b"{}", headers={})
    (words,) = failed(await verified_directory(operator.up.desk, quiet))
    assert "the flags of" in words


async def test_a_receipt_that_the_stream_does_not_hold_fails_the_verification(operator):
    from publisher.entry import Receipt
    from publisher.outbox import Outbox

    signer = Signer.from_secret_text((operator.data / "publisher" / "signing.seed").read_text())
    await published(operator.data, operator.url, ["one"])
    now = datetime.now(UTC)
    with Outbox.open(operator.data / "publisher" / "outbox.sqlite") as outbox:
        entries = [entry_from(a_signal(name), signer) for name in ("one", "two", "three")]
        outbox.submit_many(entries, now=now)
        for sequence, entry in zip((1, 1, 77), entries, strict=True):
            outbox.confirm(Receipt(entry.message_id, sequence, is_duplicate=False), now=now)
    verdict = await verified_directory(operator.up.desk, quiet)
    words = failed(verdict)
    assert len(words) == 2
    assert "beyond the stream's end" in words[0]
    assert "something else is in their place" in words[1]


@pytest.mark.parametrize("passphrase", [None, "correct horse battery"], ids=["plain", "sealed"])
async def test_one_flipped_or_missing_byte_is_noticed_before_anything_is_restored(data_dir, tmp_path, passphrase):
    async with running(data_dir) as up:
        await published(data_dir, up.running.url, ["one"])
        await take_backup(up.desk, tmp_path / "f", passphrase, quiet, is_checked=False)
    content, place = (tmp_path / "f").read_bytes(), tmp_path / "elsewhere"
    for number, changed in enumerate(
        [
            content[: len(content) * 3 // 4],
            content[:-4000] if passphrase else content[:-30],
            bytes([*content[: len(content) // 2], content[len(content) // 2] ^ 4, *content[len(content) // 2 + 1 :]]),
        ]
    ):
        (tmp_path / f"damaged-{number}").write_bytes(changed)
        with pytest.raises(StorageFailed):
            await restore(tmp_path / f"damaged-{number}", place, passphrase, quiet)
        assert not place.exists()
    assert not list(tmp_path.glob(".*"))
    folder = tmp_path / "scratch"
    assert failed(await verified_file(tmp_path / "f", passphrase, folder, quiet)) == []


async def test_two_backups_at_once_and_an_existing_file_are_refused(operator, tmp_path):
    desk = operator.up.desk
    async with asyncio.TaskGroup() as group:
        first = group.create_task(take_backup(desk, tmp_path / "f", None, quiet, is_checked=False))
        await asyncio.sleep(0)
        with pytest.raises(AlreadyRunning):
            await take_backup(desk, tmp_path / "g", None, quiet, is_checked=False)
    assert first.result().file.exists()
    with pytest.raises(Conflict):
        await take_backup(desk, tmp_path / "f", None, quiet)


async def test_what_a_killed_backup_left_behind_is_ended_and_removed(operator, until):
    left = operator.data / ".backup-left"
    for folder in ("store", "server"):
        (left / folder).mkdir(parents=True)
    account = account_of(operator.up.desk)
    async with private_server(left / "store", left / "server", account) as link:
        with one_at_a_time(operator.up.desk):
            assert not left.exists()
        await until(lambda: not link.is_connected, what="its server has ended")


async def test_a_backup_is_written_down_in_the_audit_log(operator, tmp_path):
    await take_backup(operator.up.desk, tmp_path / "f", None, quiet, is_checked=False)
    auditor = await operator.link("auditor")
    found = await auditor.api("WATCH.STREAM.MSG.GET.AUDIT", {"last_by_subj": "audit.backup"})
    assert found["message"]["subject"] == "audit.backup"
