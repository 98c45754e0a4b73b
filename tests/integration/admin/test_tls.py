"""TLS 1.3 and WebSocket on the real server: who gets through, who does not, and that no secret leaks on the way."""

import asyncio
import contextlib
import ssl
import time
from datetime import UTC, datetime, timedelta

import pytest
from tls_server import bought_certificate, certificate_of, quiet, secure_operator, stranger

from publisher.service import SignalPublisher
from publisher.settings import read_settings
from signal_admin.actions import revoke
from signal_admin.addresses import ca_pem, public_servers
from signal_admin.certificate import certificate_now, is_served, keep_certificate, renewed
from signal_admin.settings import kept_settings
from signal_contract.creds import read_creds
from signal_contract.errors import Denied, NotFound, ServerConfigRefused, ServerUnreachable, TlsFailed
from signal_contract.link import Link
from signal_contract.signing import MESSAGE_ID_HEADER
from subscriber_agent.receiving.feed import Feed

KINDS = ["tls", "wss"]


@pytest.fixture
async def secure(data_dir):
    async with secure_operator(data_dir) as operator:
        yield operator


async def _publish(operator, count, kind="tls"):
    link = await operator.link("publisher", kind)
    for n in range(count):
        await link.publish_stored("signals.fda.AAPL", str(n).encode(), headers={MESSAGE_ID_HEADER: f"m{n}"})


async def _collected(feed, count):
    got = []
    async with asyncio.timeout(10), contextlib.aclosing(feed.batches(idle_s=0.2)) as batches:
        async for batch in batches:
            got += batch
            await feed.ack(batch)
            if len(got) >= count:
                return [int(each.data) for each in got]


async def _closed(writer):
    writer.close()
    with contextlib.suppress(OSError):  # the greeting that was not read
        await writer.wait_closed()


def _plain_tls_client(maximum):
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.maximum_version = maximum
    return context


@pytest.mark.parametrize("kind", KINDS)
async def test_a_friend_publishes_and_consumes_encrypted(secure, kind):
    await secure.add_user("alice", ["signals.fda.*"])
    await _publish(secure, 300, kind)
    assert await _collected(Feed(await secure.link("alice", kind), "alice"), 300) == list(range(300))


async def test_the_publisher_finds_address_and_authority_in_its_settings(secure):
    settings = read_settings(secure.data, now=datetime.now(UTC))
    assert settings.servers == (secure.url(),)
    assert settings.ca_file is not None
    assert settings.ca_file.samefile(secure.ca)
    async with SignalPublisher(settings) as publisher:
        assert (await publisher.flush(timeout_s=5)).failure is None


async def test_a_client_in_clear_text_is_not_served(secure):
    creds = read_creds(secure.creds_path("monitor"))
    with pytest.raises(ServerUnreachable):
        await Link.open([secure.url().replace("tls://", "nats://")], creds, label="test", connect_timeout_s=1)


@pytest.mark.parametrize("kind", KINDS)
async def test_tls_1_2_is_refused(secure, kind):
    port = int(secure.url(kind).rsplit(":", 1)[1])
    with pytest.raises((ssl.SSLError, ConnectionResetError)):
        await asyncio.open_connection("127.0.0.1", port, ssl=_plain_tls_client(ssl.TLSVersion.TLSv1_2))
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=_plain_tls_client(ssl.TLSVersion.TLSv1_3))
    assert writer.get_extra_info("ssl_object").version() == "TLSv1.3"
    await _closed(writer)


@pytest.mark.parametrize("kind", KINDS)
async def test_an_unknown_authority_is_named_at_once(secure, kind, tmp_path):
    other = certificate_of(tmp_path / "other", datetime.now(UTC))
    for ca_file in (other.ca, None):
        started = time.monotonic()
        with pytest.raises(TlsFailed, match="not to be trusted"):
            await secure.link("monitor", kind, ca_file=ca_file)
        assert time.monotonic() - started < 1.5


@pytest.mark.parametrize("kind", KINDS)
async def test_a_certificate_for_another_name_is_refused(data_dir, kind):
    async with secure_operator(data_dir, host="0.0.0.0") as operator:
        creds = read_creds(operator.creds_path("monitor"))
        # Loopback as well, and in no certificate.
        url = operator.url(kind).replace("127.0.0.1", "127.0.0.2")
        started = time.monotonic()
        with pytest.raises(TlsFailed, match="another name"):
            await Link.open([url], creds, label="test", ca_file=operator.ca)
        assert time.monotonic() - started < 1.5


async def test_a_name_to_check_can_stand_for_the_address(secure):
    assert (await secure.link("monitor", tls_name="localhost")).is_connected
    with pytest.raises(TlsFailed, match="another name"):
        await secure.link("monitor", tls_name="signals.example.org")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("days", [-400, 2])
async def test_a_certificate_outside_its_time_is_refused_and_gets_nothing(tmp_path, data_dir, kind, days):
    certificate = certificate_of(tmp_path / "other", datetime.now(UTC) + timedelta(days=days))
    async with secure_operator(data_dir) as operator, stranger(certificate) as other:
        creds = read_creds(operator.creds_path("monitor"))
        with pytest.raises(TlsFailed, match="not valid now"):
            await Link.open([f"{kind}://127.0.0.1:{other.port}"], creds, label="test", ca_file=certificate.ca)
        assert bytes(other.received) == b""


@pytest.mark.parametrize("kind", KINDS)
async def test_a_server_without_tls_is_sent_nothing_but_a_tls_greeting(secure, kind):
    creds = read_creds(secure.creds_path("monitor"))
    async with stranger() as other:
        with pytest.raises(TlsFailed, match="does not speak TLS"):
            await Link.open([f"{kind}://127.0.0.1:{other.port}"], creds, label="test", ca_file=secure.ca)
        assert other.received[:1] == b"\x16", "a TLS handshake record"
        assert creds.jwt.encode() not in other.received
        assert b"CONNECT" not in other.received


@pytest.mark.parametrize("kind", KINDS)
async def test_a_bad_address_among_good_ones_does_no_harm(secure, kind):
    creds = read_creds(secure.creds_path("monitor"))
    async with stranger() as other:
        servers = [f"{kind}://127.0.0.1:{other.port}", secure.url(kind)]
        link = await Link.open(servers, creds, label="test", ca_file=secure.ca)
        assert link.is_connected
        await link.close()


@pytest.mark.parametrize("kind", KINDS)
async def test_closing_while_the_server_is_away_is_quick(data_dir, kind, until):
    async with secure_operator(data_dir) as operator:
        notices = []
        link = await operator.link("monitor", kind, on_notice=notices.append)
    await until(lambda: not link.is_connected, what="the loss is noticed")
    started = time.monotonic()
    await link.close()
    assert time.monotonic() - started < 3


@pytest.mark.parametrize("kind", KINDS)
async def test_a_link_comes_back_after_the_server_was_killed(secure, kind, until):
    import os
    import signal

    notices = []
    link = await secure.link("monitor", kind, on_notice=notices.append)
    os.kill(secure.up.supervisor.running.nats_pid, signal.SIGKILL)
    await until(lambda: any(each.event == "reconnected" for each in notices), what="it is back")
    assert (await link.api("WATCH.STREAM.INFO.SIGNALS"))["config"]["name"] == "SIGNALS"


async def test_a_new_certificate_is_used_without_dropping_a_connection(secure):
    await secure.add_user("alice", ["signals.fda.*"])
    heard = {kind: [] for kind in KINDS}
    links = {kind: await secure.link("alice", kind, on_notice=heard[kind].append) for kind in KINDS}
    collecting = {}
    feed = Feed(links["tls"], "alice")
    collecting = asyncio.create_task(_collected(feed, 50))
    done = await renewed(secure.up.desk, datetime.now(UTC))
    assert done.is_served
    assert done.certificate.fingerprint != done.before
    assert await is_served(secure.up.desk, done.certificate)
    for kind in KINDS:
        assert (await secure.link("monitor", kind)).is_connected, "a new connection accepts the new one"
        port = int(secure.url(kind).rsplit(":", 1)[1])
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=_plain_tls_client(ssl.TLSVersion.TLSv1_3))
        shown = ssl.DER_cert_to_PEM_cert(writer.get_extra_info("ssl_object").getpeercert(binary_form=True))
        assert shown.strip() == done.certificate.cert.read_text().strip(), kind
        await _closed(writer)
    await _publish(secure, 50)
    assert await collecting == list(range(50))
    for kind in KINDS:
        await links[kind].flush()
        assert quiet(heard[kind]), "the old connections never noticed"


async def test_a_reload_takes_no_revocation_back(secure):
    await secure.add_user("alice", ["signals.fda.*"])
    await secure.link("alice")
    await revoke(secure.up.desk, "alice", now=datetime.now(UTC))
    with pytest.raises(Denied):
        await secure.link("alice")
    assert (await renewed(secure.up.desk, datetime.now(UTC))).is_served
    with pytest.raises(Denied):
        await secure.link("alice")


async def test_a_changed_file_is_noticed_while_the_server_runs(secure, until):
    desk = secure.up.desk
    settings = kept_settings(desk)
    first = (await renewed(desk, datetime.now(UTC))).certificate
    (desk.tls / "server.pem").unlink()
    said = []
    looking = asyncio.create_task(
        keep_certificate(desk, settings, first, secure.up.supervisor.reload, said.append, every_s=0.05)
    )
    try:
        await until(lambda: any("new TLS certificate" in line for line in said), what="it was renewed and reloaded")
        found = certificate_now(desk, datetime.now(UTC))
        async with asyncio.timeout(5):
            while not await is_served(desk, found):  # noqa: ASYNC110  # another process
                await asyncio.sleep(0.01)
    finally:
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)


async def test_a_server_that_does_not_take_the_certificate_is_reported(secure):
    conf = secure.up.desk.server_conf
    conf.write_text(conf.read_text() + "\nnonsense {")
    with pytest.raises(ServerConfigRefused):
        await renewed(secure.up.desk, datetime.now(UTC))


async def test_the_operators_own_certificate_is_checked_by_its_name(data_dir, tmp_path):
    bought = bought_certificate(tmp_path / "bought", "*.example.org", "signals.example.net")
    files = {"cert": bought.cert, "key": bought.key, "ca": bought.ca, "tls_hosts": ()}
    async with secure_operator(data_dir, **files) as operator:
        desk = operator.up.desk
        assert (await operator.link("monitor", ca_file=bought.ca, tls_name="signals.example.net")).is_connected
        with pytest.raises(TlsFailed, match="another name"):
            await operator.link("monitor", ca_file=bought.ca)
        assert public_servers(desk) == [f"tls://signals.example.net:{operator.up.running.port}"]
        assert ca_pem(desk) == bought.ca.read_text()
        async with SignalPublisher(read_settings(operator.data, now=datetime.now(UTC))) as publisher:
            assert (await publisher.flush(timeout_s=5)).failure is None
        done = await renewed(desk, datetime.now(UTC))
        assert done.is_served
        assert done.certificate.fingerprint == done.before, "the operator's files are his to renew"


async def test_a_server_without_tls_has_no_certificate_to_renew(operator):
    with pytest.raises(NotFound, match="no TLS"):
        await renewed(operator.up.desk, datetime.now(UTC))
