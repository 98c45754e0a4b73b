"""The publisher's numbers, from an outbox and a state file on disk; reading them changes neither."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from publisher.entry import Entry, Receipt, entry_from
from publisher.metrics import PublisherSource
from publisher.outbox import Outbox
from signal_contract.errors import NotFound, StorageFailed
from signal_contract.metrics.samples import Distribution
from signal_contract.model import Event, Signal
from signal_contract.resources import resource_path
from signal_contract.signing import Signer

NOW = datetime(2026, 3, 2, 14, 25, tzinfo=UTC)
SIGNER = Signer.from_seed(bytes(32))
SAMPLE = Signal.model_validate_json(resource_path("config/samples/signal.v1.json").read_bytes())


@pytest.fixture
def data(tmp_path):
    """A data directory with the publisher's settings, and nothing published."""
    home = tmp_path / "publisher"
    home.mkdir()
    settings = {"servers": ["nats://127.0.0.1:1"], "creds": "p.creds", "signing_seed": "s", "outbox": "outbox.sqlite"}
    (home / "settings.json").write_text(json.dumps(settings))
    return tmp_path


def outbox_of(data):
    return Outbox.open(data / "publisher" / "outbox.sqlite")


def submitted(outbox, number: int, at=NOW, **changes) -> Entry:
    entry = entry_from(SAMPLE.model_copy(update={"signal_id": f"{number:032x}", **changes}), SIGNER)
    outbox.submit(entry, now=at)
    return entry


def confirmed(outbox, entry: Entry, sequence: int, at=NOW, *, is_duplicate: bool = False) -> None:
    outbox.confirm(Receipt(entry.message_id, sequence, is_duplicate), now=at)


def values(source, now=NOW):
    """Every value by name and labels; of a histogram the number of values in it."""
    return {
        "|".join([each.name.removeprefix("catalyst_"), *each.labels]): (
            sum(each.counts) if isinstance(each, Distribution) else each.value
        )
        for each in source.look(now)
    }


def test_before_the_first_signal_all_is_zero_and_no_state_is_known(data):
    found = values(PublisherSource(data))
    assert (found["publisher_outbox_waiting"], found["publisher_outbox_stored"]) == (0, 0)
    assert not any(name.startswith("publisher_state") for name in found)


def test_what_waits_is_counted_with_its_age(data):
    with outbox_of(data) as outbox:
        submitted(outbox, 1, NOW - timedelta(seconds=90))
        submitted(outbox, 2)
        found = values(PublisherSource(data))
    assert (found["publisher_outbox_waiting"], found["publisher_outbox_oldest_age_seconds"]) == (2, 90)
    assert found["publisher_ack_seconds"] == 0


def test_a_receipt_is_counted_once_with_its_latency_and_its_signal(data):
    source = PublisherSource(data)
    values(source)
    with outbox_of(data) as outbox:
        confirmed(outbox, submitted(outbox, 1), 1, NOW + timedelta(milliseconds=3))
        for _ in range(2):
            found = values(source)
    assert (found["publisher_ack_seconds"], found["signal_confidence"]) == (1, 1)
    assert found[f"signals_total|{SAMPLE.catalyst}|{SAMPLE.action.value}|new"] == 1
    spread = next(each for each in source.look(NOW) if each.name == "catalyst_publisher_ack_seconds")
    assert spread.total == pytest.approx(0.003)


def test_what_went_out_before_is_not_counted_again_at_a_start(data):
    with outbox_of(data) as outbox:
        confirmed(outbox, submitted(outbox, 1), 1)
        source = PublisherSource(data)
        assert values(source)["signal_confidence"] == 0
        confirmed(outbox, submitted(outbox, 2), 2)
        assert values(source)["signal_confidence"] == 1


def test_a_retraction_is_a_signal_without_a_confidence_of_its_own(data):
    source = PublisherSource(data)
    values(source)
    with outbox_of(data) as outbox:
        confirmed(outbox, submitted(outbox, 1, revision=2, event=Event.RETRACT), 1)
        found = values(source)
    assert found[f"signals_total|{SAMPLE.catalyst}|{SAMPLE.action.value}|retract"] == 1
    assert found["signal_confidence"] == 0


def test_a_duplicate_receipt_is_counted_as_one(data):
    source = PublisherSource(data)
    values(source)
    with outbox_of(data) as outbox:
        confirmed(outbox, submitted(outbox, 1), 1, is_duplicate=True)
        assert values(source)["publisher_duplicates_total"] == 1


def test_an_outbox_that_was_replaced_is_counted_from_then_on(data):
    path = data / "publisher" / "outbox.sqlite"
    with outbox_of(data) as outbox:
        for number in (1, 2, 3):
            confirmed(outbox, submitted(outbox, number), number)
    source = PublisherSource(data)
    values(source)
    path.rename(path.with_suffix(".old"))
    with outbox_of(data) as outbox:
        confirmed(outbox, submitted(outbox, 4), 4)
        values(source)
        confirmed(outbox, submitted(outbox, 5), 5)
        assert values(source)["signal_confidence"] == 1


@pytest.mark.parametrize("state", ["up", "degraded", "down"])
def test_the_state_file_says_how_it_is_going_and_how_old_that_is(data, state):
    document = {"at": (NOW - timedelta(seconds=12)).isoformat(), "state": state, "reason": "", "waiting": 0}
    (data / "publisher" / "state.json").write_text(json.dumps(document))
    found = values(PublisherSource(data))
    assert found["publisher_state_age_seconds"] == 12
    states = {name: found[f"publisher_state|{name}"] for name in ("up", "degraded", "down")}
    assert states == {name: int(name == state) for name in states}


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"at": "x", "state": "up"}'])
def test_a_state_file_that_cannot_be_read_says_nothing(data, text):
    (data / "publisher" / "state.json").write_text(text)
    assert not any(name.startswith("publisher_state") for name in values(PublisherSource(data)))


def test_a_damaged_outbox_is_told_and_left_alone(data):
    path = data / "publisher" / "outbox.sqlite"
    path.write_bytes(b"this is no database, and long enough to be looked at" * 100)
    before = path.read_bytes()
    with pytest.raises(StorageFailed, match="cannot be read"):
        PublisherSource(data).look(NOW)
    assert path.read_bytes() == before
    assert [each.name for each in path.parent.iterdir() if "damaged" in each.name] == []


def test_without_an_operator_there_is_no_publisher(tmp_path):
    with pytest.raises(NotFound):
        PublisherSource(tmp_path).look(NOW)
