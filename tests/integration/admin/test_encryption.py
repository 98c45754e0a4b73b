"""Encryption at rest on the real server: nothing readable on disk, the key nowhere but where it belongs."""

from datetime import UTC, datetime

import pytest

from signal_admin.desk import open_desk
from signal_admin.prepare import make_ready
from signal_admin.server.orphan import command_line
from signal_admin.settings import UpSettings, kept_settings
from signal_admin.up import brought_up
from signal_contract.creds import read_creds
from signal_contract.errors import StoreKeyMissing
from signal_contract.link import Link
from signal_contract.signing import MESSAGE_ID_HEADER

MARKER = "the-plain-text-of-a-signal-7f3a91c2d4e5"
OTHER_KEY = "another key of sufficient length"


async def _run(data, *, publish=None, encrypt=True):
    """Up, publish one message, down; what the stream holds and the server's process says."""
    said = []
    async with brought_up(data, UpSettings(port=-1, encrypt=encrypt), said.append) as up:
        if publish is not None:
            link = await Link.open([up.running.url], read_creds(up.desk.role_creds("publisher")), label="test")
            await link.publish_stored(f"signals.fda.{publish}", MARKER.encode(), headers={MESSAGE_ID_HEADER: publish})
            await link.close()
        link = await Link.open([up.running.url], read_creds(up.desk.role_creds("admin")), label="test")
        info = await link.api("$JS.API.STREAM.INFO.SIGNALS")
        await link.close()
        return up.desk, info["state"]["messages"], command_line(up.running.nats_pid)


def _files_with(folder, text):
    return [path for path in folder.rglob("*") if path.is_file() and text.encode() in path.read_bytes()]


async def test_stream_files_hold_no_plain_text_only_when_encrypted(tmp_path):
    plain, _, _ = await _run(tmp_path / "plain", publish="AAPL", encrypt=False)
    sealed, _, _ = await _run(tmp_path / "sealed", publish="AAPL")
    assert _files_with(plain.jetstream, MARKER), "the check finds it where it is"
    assert not _files_with(sealed.jetstream, MARKER)


async def test_the_key_is_in_its_file_and_in_the_servers_environment_only(data_dir):
    desk, _, arguments = await _run(data_dir, publish="AAPL")
    key = desk.store_key.read_text().strip()
    assert desk.store_key.stat().st_mode & 0o777 == 0o600
    assert "nats-server" in arguments
    assert key not in arguments
    assert _files_with(data_dir, key) == [desk.store_key]


async def test_what_was_written_is_read_again_without_flags(data_dir):
    await _run(data_dir, publish="AAPL")
    _, messages, _ = await _run(data_dir, publish="MSFT", encrypt=False)
    assert messages == 2
    assert kept_settings(open_desk(data_dir)).encrypt, "once encrypted it stays so"


async def test_a_plain_store_can_be_encrypted_later(data_dir):
    await _run(data_dir, publish="AAPL", encrypt=False)
    desk, messages, _ = await _run(data_dir, publish="MSFT")
    assert messages == 2
    assert not _files_with(desk.jetstream, MARKER)
    assert (await _run(data_dir))[1] == 2


async def test_without_its_key_an_encrypted_store_is_not_touched(data_dir):
    desk, _, _ = await _run(data_dir, publish="AAPL")
    desk.store_key.rename(data_dir / "elsewhere")
    before = {path: path.read_bytes() for path in desk.jetstream.rglob("*") if path.is_file()}
    for encrypt in (True, False):
        with pytest.raises(StoreKeyMissing, match="missing"):
            await _run(data_dir, encrypt=encrypt)
    desk.store_check.unlink()
    with pytest.raises(StoreKeyMissing, match="missing"):
        await _run(data_dir)
    assert before == {path: path.read_bytes() for path in desk.jetstream.rglob("*") if path.is_file()}
    assert not desk.store_key.exists(), "no other key was made"


async def test_another_key_is_refused_before_the_server_starts(data_dir, monkeypatch):
    monkeypatch.setenv("CATALYST_STORE_KEY", 'a "key" of the operator\'s own $HOME')
    desk, _, _ = await _run(data_dir, publish="AAPL")
    assert not desk.store_key.exists()
    assert (await _run(data_dir))[1] == 1
    monkeypatch.setenv("CATALYST_STORE_KEY", OTHER_KEY)
    with pytest.raises(StoreKeyMissing, match="another one"):
        await _run(data_dir)


async def test_a_refused_key_leaves_the_directory_as_it_was(data_dir, monkeypatch):
    desk, _, _ = await _run(data_dir, publish="AAPL")
    before = {path: path.read_bytes() for path in data_dir.rglob("*") if path.is_file()}
    monkeypatch.setenv("CATALYST_STORE_KEY", OTHER_KEY)
    with pytest.raises(StoreKeyMissing):
        make_ready(desk, UpSettings(tls_hosts=("localhost",)), datetime.now(UTC))
    assert before == {path: path.read_bytes() for path in data_dir.rglob("*") if path.is_file()}
