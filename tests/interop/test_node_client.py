"""A foreign implementation reads our JWTs and creds and consumes its own durable: Node with nats-io's own packages.

The packages are installed once into the user's cache directory; without Node and npm the tests are skipped.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import filelock
import platformdirs
import pytest

from signal_admin.constraints import constraints_from
from signal_admin.invites import Handover, Invitation, invite, rotate
from signal_admin.users import overlap_from
from signal_admin.vault import read_vault
from signal_contract.creds import read_creds
from signal_contract.signing import MESSAGE_ID_HEADER, SIGNATURE_HEADER
from signal_contract.topology import Account

PACKAGES = ("@nats-io/transport-node@3.4.0", "@nats-io/jetstream@3.4.0", "@nats-io/jwt@0.0.11")
HERE = Path(__file__).resolve().parent
NODE, NPM = shutil.which("node"), shutil.which("npm")

pytestmark = pytest.mark.skipif(
    NODE is None or NPM is None, reason="Node and npm are not installed here; CI has them and runs these tests"
)


@pytest.fixture(scope="session")
def node_folder() -> Path:
    """A folder with the packages and our client in it; made once, kept in the cache."""
    folder = Path(platformdirs.user_cache_dir("catalyst-signals-tests", appauthor=False)) / "-".join(
        each.rsplit("@", 1)[1] for each in PACKAGES
    )
    folder.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(folder / "lock"):
        if not (folder / "installed").exists():
            (folder / "package.json").write_text('{"private": true, "type": "module"}')
            flags = ("--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error")
            done = subprocess.run(
                [str(NPM), "install", *flags, *PACKAGES],
                cwd=folder,
                capture_output=True,
                text=True,
                timeout=300,
                check=False,
            )
            assert done.returncode == 0, done.stderr
            (folder / "installed").touch()
        shutil.copy(HERE / "client.mjs", folder / "client.mjs")
    return folder


async def node_answer(folder: Path, *arguments: str) -> dict:
    process = await asyncio.create_subprocess_exec(
        str(NODE),
        str(folder / "client.mjs"),
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return dict(json.loads(out))


@pytest.fixture
async def served(operator, tmp_path):
    """A server with bob, and signals that are stored as soon as a friend is there to read them."""
    await operator.add_user("bob", ["signals.merger.*"])

    async def publish() -> list[str]:
        publisher, signer = await operator.link("publisher"), read_vault(operator.up.desk.vault).signer
        subjects = [f"signals.fda.{ticker}" for ticker in ("AAPL", "BRK_B", "MSFT")]
        for subject in subjects:
            headers = {MESSAGE_ID_HEADER: subject, SIGNATURE_HEADER: signer.sign(subject, b"{}")}
            await publisher.publish_stored(subject, b"{}", headers=headers)
        return subjects

    return operator, publish


async def invited(operator, tmp_path, *, cidrs=()):
    wanted = Invitation("alice", ("signals.fda.*",), None, constraints_from(cidrs, (), None))
    await invite(operator.up.desk, wanted, Handover(tmp_path / "a.invite"), now=datetime.now(UTC))


async def consumed(operator, publish, folder) -> None:
    account = read_vault(operator.up.desk.vault).account_keys[Account.FRIENDS]
    creds = read_creds(operator.creds_path("alice"))
    subjects = await publish()
    jwts = [str(operator.up.desk.accounts / f"{name}.jwt") for name in ("operator", *map(str, Account))]
    answer = await node_answer(folder, operator.url, str(creds.path), "alice", account, *jwts)
    assert answer["issued"] == ["operator", *("account" for _ in Account)]
    assert (answer["name"], answer["subject"], answer["publicKey"]) == ("alice", creds.public_key, creds.public_key)
    assert answer["isOfTheAccount"] is answer["denied"] is True
    assert [each["subject"] for each in answer["messages"]] == subjects
    assert all(each["signed"] for each in answer["messages"])
    info = await (await operator.admin_link()).api("$JS.API.CONSUMER.INFO.SIGNALS.sub_alice")
    assert (info["num_pending"], info["num_ack_pending"]) == (0, 0)


async def test_a_node_client_reads_the_creds_and_consumes_its_own_durable(served, node_folder, tmp_path):
    operator, publish = served
    await invited(operator, tmp_path)
    await consumed(operator, publish, node_folder)


async def test_a_node_client_with_limits_of_its_own_and_a_rotated_key_does_as_well(served, node_folder, tmp_path):
    operator, publish = served
    await invited(operator, tmp_path, cidrs=["127.0.0.0/8"])
    await rotate(
        operator.up.desk, "alice", Handover(tmp_path / "b.invite"), now=datetime.now(UTC), overlap=overlap_from("1h")
    )
    await consumed(operator, publish, node_folder)
