"""The parts of a backup that need no server: what is taken, what a manifest may say, what a verification finds."""

from __future__ import annotations

import io
import json
import os
import sqlite3
import tarfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from publisher.schema import MIGRATIONS, SCHEMA
from signal_admin.backup.archive import is_sealed_backup, pack, unpack
from signal_admin.backup.durable_checks import durable_findings
from signal_admin.backup.files import copied, is_before_streams, is_taken, listed
from signal_admin.backup.findings import Level
from signal_admin.backup.key_history import Announced, announced_from, history_from
from signal_admin.backup.manifest import (
    DurablePart,
    Manifest,
    Part,
    StreamPart,
    manifest_bytes,
    manifest_from,
    path_checked,
)
from signal_admin.backup.outbox_copy import Confirmed, confirmed, copy_database, waiting_count
from signal_admin.backup.private_files import created, digest_of
from signal_admin.backup.stream_checks import AuditLog, Message, Order, Signatures, outbox_findings
from signal_contract.announce import ANNOUNCE_SUBJECT, Announcement, announcement_bytes
from signal_contract.errors import Conflict, InputError, NotFound, SchemaTooNew, SignatureInvalid, StorageFailed
from signal_contract.signing import MESSAGE_ID_HEADER, SIGNATURE_HEADER, Signer
from signal_contract.topology import feedback_stream_config, stream_config

AT = datetime(2026, 1, 2, 14, 30, tzinfo=UTC)
ACCOUNT = "A" * 56


def stream_part(name: str = "SIGNALS", *, first: int = 1, last: int = 3, messages: int = 3) -> StreamPart:
    config = stream_config() if name == "SIGNALS" else feedback_stream_config()
    return StreamPart(name, first, last, messages, {**config, "name": name}, {"messages": messages}, f"streams/{name}")


def a_manifest(*parts: Part, streams: tuple[StreamPart, ...] = ()) -> Manifest:
    return Manifest(AT, "0.1.0", "2.15.1", "host", "/data", ACCOUNT, False, streams, (), parts)


def message(sequence: int, *, after_s: float = 0, name: str | None = None, subject: str = "signals.fda.X", **more):
    headers = {MESSAGE_ID_HEADER: name or f"id-{sequence}"} | more.get("headers", {})
    return Message(sequence, subject, more.get("data", b"{}"), headers, AT + timedelta(seconds=after_s))


def levels(findings) -> list[str]:
    return [each.level.value for each in findings]


# What is taken --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    ["vault/operator.seed", "tls/ca-key.pem", "users/alice/user.json", "control.json", "settings.json",
     "publisher/outbox.sqlite", "publisher/outbox.sqlite.damaged-20260101T000000.000000Z", "audit-pending.jsonl",
     "cluster/routes.secret", "cluster/routes-ca.key", "anything.new"],
)  # fmt: skip
def test_whatever_is_not_made_anew_at_each_start_is_taken(path):
    assert is_taken(path)


@pytest.mark.parametrize(
    "path",
    ["jetstream/A/streams/SIGNALS/msgs/1.blk", "server.json", "server.log.2026", "nats-server.pid", "lock",
     "users.lock", "publisher/outbox.sqlite-wal", "publisher/outbox.sqlite.relay.lock", "vault/.public.json.77.new",
     "cluster/n1/jetstream/A/streams/SIGNALS/msgs/1.blk", "cluster/n3/jwt/A.jwt", "cluster/cluster.json",
     "jetstream-before-cluster/A/x.blk", "carrying-x/SIGNALS.snapshot", "stream.json",
     ".backup-x/spool-0/data/vault/operator.seed", "jwt/A.jwt"],
)  # fmt: skip
def test_the_running_servers_own_files_and_drafts_are_not_taken(path):
    assert not is_taken(path)


def test_what_waits_is_copied_before_the_outbox_and_the_outbox_before_the_rest(tmp_path):
    for name in ("control.json", "publisher/outbox.sqlite", "publisher/held/1.json", "vault/a.seed"):
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).touch()
    assert listed(tmp_path) == ("publisher/held/1.json", "publisher/outbox.sqlite", "control.json", "vault/a.seed")
    assert [is_before_streams(each) for each in listed(tmp_path)] == [True, True, False, False]


def test_a_link_out_of_the_directory_is_not_followed(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "secret").write_text("x")
    (tmp_path / "data" / "link").symlink_to(tmp_path / "secret")
    assert listed(tmp_path / "data") == ()


def test_a_file_that_goes_while_it_is_copied_is_left_out(tmp_path):
    (tmp_path / "here").write_text("x")
    assert copied(tmp_path, ["here", "gone"], tmp_path / "copy") == ("here",)
    assert not (tmp_path / "copy" / "gone").exists()
    assert (tmp_path / "copy" / "here").stat().st_mode & 0o077 == 0


# The outbox -----------------------------------------------------------------------------------------------------


def an_outbox(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    for statement in (each for migration in MIGRATIONS for each in migration):
        connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {SCHEMA}")
    for number, state in enumerate(("stored", "stored", "pending"), 1):
        sequence = number if state == "stored" else None
        connection.execute(
            "INSERT INTO outbox (message_id, subject, payload, signature, submitted_at, state, sequence)"
            " VALUES (?, 's', x'00', 'x', '2026', ?, ?)",
            (f"m{number}.1", state, sequence),
        )
    return connection


def test_the_outbox_is_copied_whole_while_a_writer_has_it_open(tmp_path):
    connection = an_outbox(tmp_path / "outbox.sqlite")
    copy_database(tmp_path / "outbox.sqlite", tmp_path / "copy" / "outbox.sqlite")
    connection.close()
    copy = tmp_path / "copy" / "outbox.sqlite"
    assert [path.name for path in copy.parent.iterdir()] == ["outbox.sqlite"]
    assert copy.stat().st_mode & 0o077 == 0
    assert list(confirmed(copy)) == [Confirmed("m1.1", 1), Confirmed("m2.1", 2)]
    assert waiting_count(copy) == 1


def test_a_damaged_outbox_is_not_copied_as_if_it_were_sound(tmp_path):
    (tmp_path / "outbox.sqlite").write_bytes(b"no database at all" * 100)
    with pytest.raises(StorageFailed):
        copy_database(tmp_path / "outbox.sqlite", tmp_path / "copy")


def test_without_an_outbox_nothing_waits_and_nothing_is_confirmed(tmp_path):
    assert waiting_count(tmp_path / "outbox.sqlite") == 0
    assert list(confirmed(tmp_path / "outbox.sqlite")) == []


# The manifest ---------------------------------------------------------------------------------------------------


def test_a_manifest_is_read_as_it_was_written():
    manifest = a_manifest(Part("streams/SIGNALS", 3, "0" * 64), streams=(stream_part(),))
    assert manifest_from(manifest_bytes(manifest)) == manifest


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "a/../../b", "a//b", "", ".", "C:x", "a\\b", "a/./b", "a\0b"])
def test_a_path_that_leads_elsewhere_is_refused(path):
    with pytest.raises((ValueError, TypeError)):
        path_checked(path)


@pytest.mark.parametrize(
    "change",
    [{"format": "x"}, {"account": "../../x"}, {"account": "a" * 56}, {"created_at": "2026-01-02T00:00:00"},
     {"parts": [{"path": "../x", "bytes": 1, "sha256": "0" * 64}]},
     {"parts": [{"path": "x", "bytes": -1, "sha256": "0" * 64}]},
     {"parts": [{"path": "x", "bytes": True, "sha256": "0" * 64}]},
     {"parts": [{"path": "x", "bytes": 1, "sha256": "zz"}]}, {"parts": {}}, {"streams": [{}]}, {"durables": [1]}],
    ids=str,
)  # fmt: skip
def test_a_manifest_that_was_tampered_with_is_refused(change):
    document = json.loads(manifest_bytes(a_manifest())) | change
    with pytest.raises(InputError):
        manifest_from(json.dumps(document).encode())


def test_a_newer_versions_backup_says_so():
    with pytest.raises(SchemaTooNew):
        manifest_from(json.dumps(json.loads(manifest_bytes(a_manifest())) | {"version": 2}).encode())


# The file -------------------------------------------------------------------------------------------------------


def a_spool(root: Path, size: int) -> Manifest:
    (root / "data").mkdir(parents=True)
    (root / "data" / "file").write_bytes(os.urandom(size))
    return a_manifest(Part("data/file", size, digest_of(root / "data" / "file")))


@pytest.mark.parametrize(
    ("size", "passphrase"),
    [*((size, None) for size in (0, 1, 511, 512, 3 * 1024 * 1024 + 7)), (3 * 1024 * 1024 + 7, "correct horse")],
)
def test_a_backup_is_unpacked_as_it_was_packed(tmp_path, size, passphrase):
    manifest = a_spool(tmp_path / "spool", size)
    pack(tmp_path / "f", manifest, tmp_path / "spool", passphrase)
    assert is_sealed_backup(tmp_path / "f") is (passphrase is not None)
    assert (tmp_path / "f").stat().st_mode & 0o077 == 0
    seen: list[Manifest] = []
    assert unpack(tmp_path / "f", tmp_path / "out", passphrase, seen.append) == manifest
    assert seen == [manifest]
    assert (tmp_path / "out/data/file").read_bytes() == (tmp_path / "spool/data/file").read_bytes()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_a_backup_never_takes_the_place_of_another_file(tmp_path):
    manifest = a_spool(tmp_path / "spool", 10)
    (tmp_path / "f").write_text("mine")
    with pytest.raises(Conflict):
        pack(tmp_path / "f", manifest, tmp_path / "spool", None)
    assert (tmp_path / "f").read_text() == "mine"


def test_a_part_that_changed_while_it_was_packed_is_noticed(tmp_path):
    manifest = a_spool(tmp_path / "spool", 1000)
    (tmp_path / "spool/data/file").write_bytes(os.urandom(1000))
    pack(tmp_path / "f", manifest, tmp_path / "spool", None)
    with pytest.raises(StorageFailed, match="not what was written"):
        unpack(tmp_path / "f", tmp_path / "out", None, lambda _: None)


@pytest.mark.parametrize("passphrase", [None, "correct horse"], ids=["plain", "sealed"])
def test_a_part_that_became_shorter_makes_no_backup(tmp_path, passphrase):
    manifest = a_spool(tmp_path / "spool", 1000)
    (tmp_path / "spool/data/file").write_bytes(b"x")
    with pytest.raises(StorageFailed):
        pack(tmp_path / "f", manifest, tmp_path / "spool", passphrase)
    assert [path.name for path in tmp_path.iterdir()] == ["spool"]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE], ids=["link", "hard", "folder"])
def test_a_member_that_is_no_file_is_refused(tmp_path, kind):
    manifest = a_manifest(Part("data/file", 0, "0" * 64))
    with tarfile.open(tmp_path / "f", "w:gz") as tar:
        content = manifest_bytes(manifest)
        info = tarfile.TarInfo("manifest.json")
        info.size = len(content)
        tar.addfile(info, io.BytesIO(content))
        bad = tarfile.TarInfo("data/file")
        bad.type, bad.linkname = kind, "/etc/passwd"
        tar.addfile(bad)
    with pytest.raises(StorageFailed):
        unpack(tmp_path / "f", tmp_path / "out", None, lambda _: None)


def test_a_refusal_by_its_manifest_comes_before_anything_is_unpacked(tmp_path):
    pack(tmp_path / "f", a_spool(tmp_path / "spool", 10), tmp_path / "spool", None)

    def refuse(_manifest):
        raise Conflict("no")

    with pytest.raises(Conflict):
        unpack(tmp_path / "f", tmp_path / "out", None, refuse)
    assert not (tmp_path / "out").exists()


def test_a_file_that_is_no_backup_is_named_as_such(tmp_path):
    (tmp_path / "f").write_text("hello")
    with pytest.raises(InputError):
        is_sealed_backup(tmp_path / "f")
    with pytest.raises(NotFound):
        is_sealed_backup(tmp_path / "none")


# What a verification makes of it --------------------------------------------------------------------------------


def order_of(*messages: Message) -> Order:
    order = Order("SIGNALS")
    for each in messages:
        order.take(each)
    return order


def test_a_whole_stream_is_sound():
    assert set(levels(order_of(*map(message, (1, 2, 3))).findings(stream_part()))) == {"OK"}


@pytest.mark.parametrize(
    ("sequences", "level"),
    [((1, 3), "FAIL"), ((1, 2), "FAIL"), ((2, 3), "OK"), ((), "FAIL")],
    ids=["a gap", "short at its end", "aged at its beginning", "empty"],
)
def test_what_is_missing_in_a_log_fails_unless_it_left_for_its_age(sequences, level):
    found = levels(order_of(*map(message, sequences)).findings(stream_part()))
    assert ("FAIL" in found) is (level == "FAIL")


def test_a_gap_among_reports_is_no_fault():
    order = Order("FEEDBACK")
    for each in (1, 3):
        order.take(message(each))
    assert "FAIL" not in levels(order.findings(stream_part("FEEDBACK", messages=2)))


def test_a_message_id_twice_fails_within_a_day_and_warns_after_it():
    assert "FAIL" in levels(order_of(message(1), message(2, name="id-1"), message(3)).findings(stream_part()))
    later = order_of(message(1), message(2, name="id-1", after_s=90_000), message(3, after_s=90_001))
    assert "FAIL" not in levels(later.findings(stream_part()))
    assert "WARN" in levels(later.findings(stream_part()))


def announced(sequence: int, old: Signer, new: Signer, *, by: Signer | None = None) -> Announced:
    payload = announcement_bytes(Announcement(next_key=new.public_key, not_before=AT, old_key=old.public_key))
    return announced_from(sequence, payload, (by or old).sign(ANNOUNCE_SUBJECT, payload))


def signed(sequence: int, signer: Signer) -> Message:
    return message(sequence, headers={SIGNATURE_HEADER: signer.sign("signals.fda.X", b"{}")})


def test_each_part_of_the_stream_is_checked_with_the_key_of_its_time():
    one, two, three = (Signer.generate() for _ in range(3))
    history = history_from([announced(5, one, two), announced(9, two, three)], three.public_key)
    assert history.faults == ()
    checked = Signatures(history)
    for sequence, signer in ((4, one), (5, one), (6, two), (9, two), (10, three)):
        checked.take(signed(sequence, signer))
    assert levels(checked.findings()) == ["OK", "OK"]
    for sequence, signer in ((6, one), (4, two), (10, two), (11, Signer.generate())):
        checked.take(signed(sequence, signer))
    assert checked.wrong.count == 4


def test_a_chain_of_keys_that_does_not_lead_to_the_one_in_force_fails():
    one, two, three = (Signer.generate() for _ in range(3))
    assert history_from([announced(5, one, two)], three.public_key).faults
    assert history_from([announced(5, one, two), announced(6, three, two)], two.public_key).faults
    assert "again" in history_from([announced(5, one, two)], one.public_key).faults[0]
    with pytest.raises(SignatureInvalid):
        announced(5, one, two, by=three)


def test_a_change_of_keys_that_nobody_wrote_down_is_told():
    one, two = Signer.generate(), Signer.generate()
    history = history_from([announced(5, one, two)], two.public_key)
    log = AuditLog()
    assert "WARN" in levels(log.findings(history))
    entry = {
        "id": "1", "at": AT.isoformat(), "who": "op", "action": "vault rotate-publisher-key", "target": "publisher",
        "before": {"publisher_key": one.public_key}, "after": {"publisher_key": two.public_key}, "outcome": "done",
    }  # fmt: skip
    log.take(message(1, data=json.dumps(entry).encode()))
    assert set(levels(log.findings(history))) == {"OK"}
    log.take(message(2, data=b"not an entry"))
    assert "FAIL" in levels(log.findings(history))


def test_a_receipt_is_compared_with_what_lies_at_its_place():
    order = order_of(*map(message, (3, 4, 5)))
    fine = [Confirmed("id-1", 1), Confirmed("id-3", 3), Confirmed("id-5", 5)]
    (sound,) = outbox_findings(fine, order, 5)
    assert sound.level is Level.OK
    assert "2 confirmed" in sound.text
    assert "1 have left" in sound.text
    assert "FAIL" in levels(outbox_findings([Confirmed("id-9", 9)], order, 5))
    assert "FAIL" in levels(outbox_findings([Confirmed("other", 4)], order, 5))


def place(floor: int, delivered: int, pending: int = 0) -> dict:
    return {"ack_floor": {"stream_seq": floor}, "delivered": {"stream_seq": delivered}, "num_pending": pending}


@pytest.mark.parametrize(
    ("info", "level"),
    [(place(5, 7), "OK"), (place(10, 10), "OK"), (place(11, 11), "FAIL"), (place(5, 11), "FAIL"), (place(5, 4), "FAIL"),
     (place(0, 0, 3), "WARN")],
    ids=["inside", "at the end", "beyond the end", "delivered beyond", "behind its floor", "before the beginning"],
)  # fmt: skip
def test_a_durables_place_lies_inside_the_stream(info, level):
    found = levels(durable_findings({"sub_alice": info}, ["alice"], (), first=3, last=10))
    assert {"FAIL": "FAIL" in found, "WARN": "WARN" in found, "OK": set(found) == {"OK"}}[level]


def test_a_durable_that_fell_back_fails_and_one_that_is_missing_or_strange_is_told():
    before = (DurablePart("sub_alice", 8, 8, 0),)
    assert "FAIL" in levels(durable_findings({"sub_alice": place(5, 7)}, ["alice"], before, first=1, last=10))
    found = durable_findings({"sub_bob": place(5, 7)}, ["alice"], (), first=1, last=10)
    assert [each.level.value for each in found] == ["OK", "OK", "WARN", "WARN"]


@pytest.mark.skipif(os.name == "nt", reason="modes of POSIX")
def test_every_folder_on_the_way_to_a_private_file_is_private(tmp_path):
    with created(tmp_path / "users" / "alice" / "alice.creds") as file:
        file.write(b"x")
    modes = {path.name: oct(path.stat().st_mode & 0o777) for path in tmp_path.rglob("*")}
    assert modes == {"users": "0o700", "alice": "0o700", "alice.creds": "0o600"}
