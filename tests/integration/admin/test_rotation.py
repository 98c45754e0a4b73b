"""The publisher's key is changed while signals flow: nothing is signed by two keys, and nothing is lost in between."""

import base64
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import orjson
import pytest

from publisher.service import SignalPublisher
from publisher.settings import read_settings
from signal_admin.rotation import ROTATING_MARK, rotate_publisher_key, rotation_state
from signal_admin.seeds import change_seeds, vault_held
from signal_admin.vault import MESSAGE_SIGNING, MESSAGE_SIGNING_NEXT, read_vault
from signal_contract.announce import ANNOUNCE_SUBJECT, read_announcement
from signal_contract.codec import signal_id_from
from signal_contract.errors import Conflict, ServerUnreachable, SignatureInvalid
from signal_contract.model import Action, Signal
from signal_contract.signing import SIGNATURE_HEADER, Signer, Verifier


def a_signal(number):
    now = datetime.now(UTC)
    document = {
        "schema_version": 1,
        "signal_id": signal_id_from(f"news-{number}", "ACME", Action.BUY),
        "revision": 1,
        "event": "new",
        "action": "buy",
        "ticker": "ACME",
        "catalyst": "fda",
        "catalysts": ["fda"],
        "confidence": "0.9",
        "score": None,
        "sentiment": None,
        "reference_price": str(Decimal("10.50")),
        "reference_price_at": now.isoformat(),
        "stop_price": None,
        "target_price": None,
        "suggested_size_fraction": None,
        "news": {"id": f"news-{number}", "title": "Approved", "url": None, "source": "test", "published_at": None},
        "market": {},
        "classified_at": now.isoformat(),
        "published_at": now.isoformat(),
        "expires_at": (now + timedelta(minutes=5)).isoformat(),
        "classifier": {"name": "test", "version": "1", "mode": "llm", "degraded": False},
        "priority": "normal",
        "meta": {},
    }
    return Signal.model_validate_json(orjson.dumps(document))


async def messages(operator):
    """Every message of the stream: (subject, payload, signature)."""
    link = await operator.admin_link()
    last = (await link.api("$JS.API.STREAM.INFO.SIGNALS"))["state"]["last_seq"]
    found = []
    for sequence in range(1, last + 1):
        message = (await link.api("$JS.API.STREAM.MSG.GET.SIGNALS", {"seq": sequence}))["message"]
        head = base64.b64decode(message["hdrs"]).decode()
        signature = next(line.split(": ", 1)[1] for line in head.split("\r\n") if line.startswith(SIGNATURE_HEADER))
        found.append((message["subject"], base64.b64decode(message["data"]), signature))
    return found


def followed(found, root):
    """Check every message as an agent does that pins `root` and follows the chain; the keys, in their order."""
    keys = [root]
    for subject, payload, signature in found:
        Verifier.from_text(keys[-1]).check(subject, payload, signature)
        if subject == ANNOUNCE_SUBJECT:
            keys.append(read_announcement(payload, Verifier.from_text(keys[-1])).next_key)
    return keys


async def rotate(operator):
    return await rotate_publisher_key(operator.up.desk, now=datetime.now(UTC))


def publisher_of(operator):
    return SignalPublisher(read_settings(operator.data, now=datetime.now(UTC)))


def seed_of(operator):
    return (operator.up.desk.publisher / "signing.seed").read_text().strip()


async def test_a_running_publisher_goes_on_under_the_new_key_and_agents_can_follow(operator):
    root = read_vault(operator.up.desk.vault).signer.public_key
    async with publisher_of(operator) as publisher:
        for number in range(3):
            await publisher.submit(a_signal(number))
            await publisher.flush(10)
            done = await rotate(operator)
            assert done.sequence == 2 * number + 2
        await publisher.submit(a_signal(9))
        await publisher.flush(10)
    found = await messages(operator)
    assert len(found) == 7
    keys = followed(found, root)
    assert len(set(keys)) == 4
    assert keys[-1] == done.new_key == read_vault(operator.up.desk.vault).signer.public_key


async def test_what_waits_in_the_outbox_goes_out_under_the_new_key(operator):
    root = read_vault(operator.up.desk.vault).signer.public_key
    async with publisher_of(operator) as publisher:
        await publisher.submit_many([a_signal(number) for number in range(5)])
        done = await rotate(operator)
        assert len((await publisher.flush(10)).receipts) == 5
    found = await messages(operator)
    assert followed(found, root) == [root, done.new_key]
    assert found[0][0] == ANNOUNCE_SUBJECT
    with pytest.raises(SignatureInvalid):
        Verifier.from_text(root).check(*found[1])


def store(operator, add, remove=()):
    with vault_held(operator.up.desk.vault):
        change_seeds(operator.up.desk.vault, add, remove)


@pytest.mark.parametrize("step", ["stored", "marked", "announced", "promoted-half", "promoted"])
async def test_after_a_crash_nothing_is_sent_until_the_same_command_finishes_it(operator, step, monkeypatch):
    desk = operator.up.desk
    old, new = read_vault(desk.vault).signer, Signer.generate()
    store(operator, {MESSAGE_SIGNING_NEXT: new.secret_text})
    if step != "stored":
        (desk.publisher / ROTATING_MARK).write_text("")
    if step in ("announced", "promoted-half", "promoted"):
        await _announce(operator, old, new)
    if step == "promoted-half":
        store(operator, {MESSAGE_SIGNING: new.secret_text})
    if step == "promoted":
        store(operator, {MESSAGE_SIGNING: new.secret_text}, [MESSAGE_SIGNING_NEXT])
    assert rotation_state(desk, read_vault(desk.vault)).is_half_done
    async with publisher_of(operator) as publisher:
        await publisher.submit(a_signal(1))
        if step != "stored":
            drained = await publisher.flush(5)
            assert isinstance(drained.failure, Conflict)
            assert drained.waiting == 1
        done = await rotate(operator)
        assert done.was_resumed
        assert done.new_key == new.public_key
        assert len((await publisher.flush(10)).receipts) == 1
    found = await messages(operator)
    assert [subject for subject, _, _ in found] == [ANNOUNCE_SUBJECT, "signals.fda.ACME"]
    assert followed(found, old.public_key) == [old.public_key, new.public_key]
    assert seed_of(operator) == new.secret_text
    assert not rotation_state(desk, read_vault(desk.vault)).is_half_done


async def _announce(operator, old, new):
    from signal_admin.rotation import _announced

    await _announced(await operator.admin_link(), old, new.public_key, datetime.now(UTC))


async def test_without_a_server_nothing_is_changed(operator):
    desk = operator.up.desk
    before = seed_of(operator)
    await operator.stop()
    with pytest.raises(ServerUnreachable):
        await rotate_publisher_key(desk, now=datetime.now(UTC))
    assert not rotation_state(desk, read_vault(desk.vault)).is_half_done
    assert seed_of(operator) == before


async def test_the_change_is_in_the_audit_log_by_its_public_keys_alone(operator):
    from signal_admin.audit_reading import Wanted, read_audit

    old = read_vault(operator.up.desk.vault).signer
    done = await rotate(operator)
    (entry,) = await read_audit(await operator.link("auditor"), Wanted(action="vault rotate-publisher-key"))
    assert entry.before == {"publisher_key": old.public_key}
    assert entry.after == {"publisher_key": done.new_key, "sequence": done.sequence}
    new = read_vault(operator.up.desk.vault).signer
    for secret in (old.secret_text, new.secret_text):
        assert secret not in str(entry)
