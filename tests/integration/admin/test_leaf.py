"""A copy at another site: the same messages under the same numbers, caught up after a cut, and read only."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import secrets
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import nats
import nats.errors
import orjson
import pytest
from test_cluster_migrate import Publishing, three_ports

from signal_admin.accounts import all_account_claims
from signal_admin.apply import provision
from signal_admin.claims import signed_jwt
from signal_admin.cluster.nodes import Common, Node, server_config
from signal_admin.cluster.running import common_of
from signal_admin.cluster.sites import (
    HUB_TEMPLATE,
    LEAF_TEMPLATE,
    Site,
    hub_block,
    hub_exports,
    leaf_text,
    mirror_config,
    site_jwt,
    sites_account,
)
from signal_admin.desk import make_desk
from signal_admin.prepare import make_ready
from signal_admin.registry import registry_locked
from signal_admin.server.binary import find_binary
from signal_admin.server.config import TEMPLATE_NAME, rendered
from signal_admin.server.process import NatsProcess
from signal_admin.settings import UpSettings
from signal_admin.vault import read_vault
from signal_contract.creds import creds_text, read_creds, write_secret
from signal_contract.errors import ConfigInvalid, Denied
from signal_contract.link import opened
from signal_contract.nkey import KeyKind, KeyPair
from signal_contract.resources import resource_path
from signal_contract.topology import STREAM, Account, durable_config, feedback_stream_config, stream_config


def template(name):
    return resource_path(name).read_text(encoding="utf-8")


@asynccontextmanager
async def server(text: str, folder: Path):
    for part in (folder, folder / "ports", folder / "jwt"):
        part.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_secret(folder / "server.conf", text)
    process = await NatsProcess.start(
        find_binary(None), folder / "server.conf", host="127.0.0.1", ports_dir=folder / "ports",
        log_file=folder / "server.log", stderr_file=folder / "server.stderr",
    )  # fmt: skip
    try:
        await process.ready(10)
        yield process
    finally:
        await process.stop()


class Hub:
    """A hub with account SITES, and one site called oslo."""

    def __init__(self, root: Path) -> None:
        self.desk, self.first, now = make_desk(root / "hub"), three_ports(), datetime.now(UTC)
        ready = make_ready(self.desk, UpSettings(port=self.first), now)
        vault = read_vault(self.desk.vault)
        self.node = Node("hub", "127.0.0.1", "127.0.0.1", self.first, self.first + 1, root / "hub-server")
        sites, signing, user = (KeyPair.generate(kind) for kind in (KeyKind.ACCOUNT, KeyKind.ACCOUNT, KeyKind.USER))
        signals = vault.account_keys[Account.SIGNALS]
        claims = all_account_claims(vault.account_keys, vault.role_keys, now)[Account.SIGNALS]
        claims["nats"]["exports"] += list(hub_exports())
        accounts = {
            **common_of(ready).accounts,
            signals: signed_jwt(claims, vault.operator_signing),
            sites.public: signed_jwt(sites_account(sites.public, signing.public, signals, now), vault.operator_signing),
        }
        common = Common(common_of(ready).operator_jwt, common_of(ready).system_account, accounts, 1 << 30)
        block = hub_block(template(HUB_TEMPLATE), "127.0.0.1", self.first + 2, None)
        self.text = rendered(template(TEMPLATE_NAME), server_config(self.node, common)) + block
        words = [secrets.token_hex(8) for _ in range(3)]
        self.site = Site("oslo", (("127.0.0.1", self.first + 2),), root / "oslo", self.first + 3, 1 << 30, None, *words)
        self.site.folder.mkdir()
        jwt = site_jwt(user.public, "oslo", sites.public, signing, now)
        write_secret(self.site.creds, creds_text(jwt, user.seed))
        self.url = f"nats://127.0.0.1:{self.first}"

    def running(self):
        return server(self.text, self.node.folder)

    def site_running(self):
        return server(leaf_text(template(LEAF_TEMPLATE), self.site), self.site.folder)

    def link(self, role):
        return opened([self.url], read_creds(self.desk.role_creds(role)), label="test")

    async def provision(self):
        async with self.link("admin") as link:
            with registry_locked(self.desk):
                wanted = [make(max_bytes=1 << 24) for make in (stream_config, feedback_stream_config)]
                await provision(link, self.desk, wanted)

    async def at_site(self, user="keeper"):
        password = self.site.keeper_password if user == "keeper" else self.site.reader_password
        return await nats.connect(f"nats://127.0.0.1:{self.site.port}", user=user, password=password, connect_timeout=5)


async def asked(client, subject, body=None, timeout_s=5):
    """The answer of a JetStream request at the site."""
    data = orjson.dumps(body) if body is not None else b""
    return orjson.loads((await client.request(subject, data, timeout=timeout_s)).data)


async def asked_at_hub(client, subject, body, timeout_s=3):
    """The hub's answer; it reaches a site only where a mirror waits for its own."""
    inbox = f"$JSC.R.{secrets.token_hex(4)}"
    waiting = await client.subscribe(inbox)
    async with asyncio.timeout(timeout_s):
        while True:  # until the hub has heard of the inbox
            await client.publish(subject, orjson.dumps(body), reply=inbox)
            with contextlib.suppress(nats.errors.TimeoutError):
                return orjson.loads((await waiting.next_msg(timeout=0.2)).data)


async def is_answered(client, subject, body=None):
    try:
        await asked(client, subject, body, timeout_s=0.5)
    except (nats.errors.NoRespondersError, nats.errors.TimeoutError):
        return False
    return True


async def last_at_site(client):
    return (await asked(client, f"$JS.API.STREAM.INFO.{STREAM}"))["state"]["last_seq"]


async def reached(client, sequence):
    async with asyncio.timeout(20):
        while await last_at_site(client) < sequence:  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def ids_at(ask, count):
    """Nats-Msg-Id of each message, by sequence."""
    answers = [await ask(f"$JS.API.STREAM.MSG.GET.{STREAM}", {"seq": number}) for number in range(1, count + 1)]
    return [base64.b64decode(each["message"]["hdrs"]).split(b"Nats-Msg-Id:")[1].split()[0] for each in answers]


async def made_copy(client):
    made = await asked(client, f"$JS.API.STREAM.CREATE.{STREAM}", mirror_config("oslo"))
    assert "error" not in made, made


async def test_a_copy_has_the_same_messages_under_the_same_numbers_and_catches_up_after_a_cut(tmp_path):
    hub = Hub(tmp_path)
    async with hub.running():
        await hub.provision()
        async with hub.link("publisher") as publisher, hub.link("admin") as admin:
            publishing = Publishing(publisher)
            for number in range(20):
                await publishing.one(number)
            async with hub.site_running():
                client = await hub.at_site()
                await made_copy(client)
                await reached(client, 20)
                await client.close()
            for number in range(20, 40):
                await publishing.one(number)
            async with hub.site_running():
                client = await hub.at_site()
                await reached(client, 40)

                async def ask(subject, body):
                    return await asked(client, subject, body)

                assert await ids_at(ask, 40) == await ids_at(admin.api, 40)
                await client.close()


async def test_a_site_can_read_and_nothing_that_it_sends_gets_into_the_log(tmp_path):
    hub = Hub(tmp_path)
    async with hub.running():
        await hub.provision()
        async with hub.link("publisher") as publisher, hub.link("admin") as admin, hub.site_running():
            await Publishing(publisher).one(1)
            alice = durable_config("alice", ("signals.*.*",), start_sequence=1)
            body = {"stream_name": STREAM, "config": alice, "action": "create"}
            before = (await admin.api(f"$JS.API.CONSUMER.CREATE.{STREAM}.sub_alice", body))["config"]
            client = await hub.at_site()
            await made_copy(client)
            await reached(client, 1)
            evil = {**before, "filter_subjects": ["signals.none.NONE"]}
            # What exists at the hub only cannot be reached by name.
            for subject in (
                f"HUB.API.STREAM.DELETE.{STREAM}",
                f"HUB.API.STREAM.INFO.{STREAM}",
                f"HUB.API.CONSUMER.DELETE.{STREAM}.sub_alice",
                f"HUB.API.CONSUMER.CREATE.{STREAM}.sub_alice",
                f"HUB.API.CONSUMER.MSG.NEXT.{STREAM}.sub_alice",
            ):
                assert not await is_answered(client, subject, {"stream_name": STREAM, "config": evil}), subject
            # The one subject that is open makes short-lived consumers only.
            create = f"HUB.API.CONSUMER.CREATE.{STREAM}"
            for action in ("", "create", "update"):
                answer = await asked_at_hub(client, create, {"stream_name": STREAM, "config": evil, "action": action})
                assert "error" in answer, action
            cycle = {"deliver_subject": "signals.fda.EVIL", "ack_policy": "none", "deliver_policy": "all"}
            answer = await asked_at_hub(client, create, {"stream_name": STREAM, "config": cycle})
            assert "error" in answer
            # An answer aimed at the hub's own interface stays at the site.
            for target in (f"$JS.API.STREAM.DELETE.{STREAM}", f"HUB.API.STREAM.DELETE.{STREAM}", "signals.fda.EVIL"):
                ephemeral = {"ack_policy": "none", "deliver_policy": "all", "inactive_threshold": 1_000_000_000}
                request = orjson.dumps({"stream_name": STREAM, "config": ephemeral})
                if not target.startswith("$JS.API"):
                    await client.publish(create, request, reply=target)
            await client.publish("signals.fda.EVIL", b"{}")
            await client.publish("control.all.halt", b"{}")
            await client.publish("feedback.alice.status", b"{}")
            await client.flush()
            await Publishing(publisher).one(2)
            await reached(client, 2)
            assert (await admin.api(f"$JS.API.STREAM.INFO.{STREAM}"))["state"]["last_seq"] == 2
            assert (await admin.api("$JS.API.STREAM.INFO.FEEDBACK"))["state"]["last_seq"] == 0
            after = (await admin.api(f"$JS.API.CONSUMER.INFO.{STREAM}.sub_alice"))["config"]
            assert after == before
            await client.close()


async def test_the_sites_creds_open_nothing_for_a_client(tmp_path):
    hub = Hub(tmp_path)
    async with hub.running():
        with pytest.raises(Denied):
            async with opened([hub.url], read_creds(hub.site.creds), label="test", connect_timeout_s=3):
                pass


async def test_a_local_reader_reads_the_copy_and_cannot_harm_it(tmp_path):
    hub = Hub(tmp_path)
    async with hub.running():
        await hub.provision()
        async with hub.link("publisher") as publisher, hub.site_running():
            await Publishing(publisher).one(1)
            keeper, reader = await hub.at_site(), await hub.at_site("reader")
            await made_copy(keeper)
            await reached(keeper, 1)
            pull = {"ack_policy": "explicit", "deliver_policy": "all", "name": "mine", "durable_name": "mine"}
            body = {"stream_name": STREAM, "config": pull, "action": "create"}
            assert "error" not in await asked(reader, f"$JS.API.CONSUMER.CREATE.{STREAM}.mine", body)
            waiting = await reader.subscribe("_INBOX.mine")
            await reader.publish(f"$JS.API.CONSUMER.MSG.NEXT.{STREAM}.mine", b"1", reply="_INBOX.mine")
            message = await waiting.next_msg(timeout=3)
            assert (message.subject, message.data) == ("signals.fda.ACME", b"1")
            for subject in (f"$JS.API.STREAM.DELETE.{STREAM}", f"$JS.API.STREAM.PURGE.{STREAM}",
                            f"HUB.API.CONSUMER.CREATE.{STREAM}"):  # fmt: skip
                assert not await is_answered(reader, subject, {})
            assert await last_at_site(keeper) == 1
            await keeper.close()
            await reader.close()


@pytest.mark.parametrize(
    "change",
    [{"hubs": ()}, {"hubs": (("hub.example.org", 7422),)}, {"keeper_password": "a b"}, {"keeper_password": ""}],
    ids=["no-hub", "clear-text", "blank", "empty"],
)
def test_a_site_that_would_be_open_is_refused(tmp_path, change):
    site = Site("oslo", (("127.0.0.1", 7422),), tmp_path, 4222, 1 << 30, None, "aa", "bb", "cc")
    leaf_text(template(LEAF_TEMPLATE), site)
    with pytest.raises(ConfigInvalid):
        leaf_text(template(LEAF_TEMPLATE), replace(site, **change))


def test_a_listener_for_sites_in_clear_text_is_refused_off_loopback():
    with pytest.raises(ConfigInvalid):
        hub_block(template(HUB_TEMPLATE), "0.0.0.0", 7422, None)
