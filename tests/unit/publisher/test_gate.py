"""The outbox's memory for the guard, the limits' file, and the folder of held signals."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from publisher.entry import entry_from
from publisher.guard import GuardLimits
from publisher.held import HeldSignals, approved
from publisher.outbox import Outbox
from publisher.rails import read_limits
from signal_contract.codec import decode
from signal_contract.errors import ConfigInvalid, InputError, NotFound, StorageFailed
from signal_contract.model import Signal
from signal_contract.resources import resource_path
from signal_contract.signing import Signer

NOW = datetime(2026, 3, 2, 15, tzinfo=UTC)
SAMPLE = decode(resource_path("config/samples/signal.v1.json").read_bytes().strip())


def numbered(number: int) -> Signal:
    return SAMPLE.model_copy(update={"signal_id": f"{number:032x}"})


def test_recent_goes_back_to_the_instant_newest_first(tmp_path: Path):
    signer = Signer.generate()
    with Outbox.open(tmp_path / "outbox.sqlite") as outbox:
        for number in range(5):
            outbox.submit(entry_from(numbered(number), signer), now=NOW + timedelta(minutes=number))
        found = outbox.recent(since=NOW + timedelta(minutes=3), limit=10)
        assert [each.entry.message_id for each in found] == [f"{number:032x}.1" for number in (4, 3)]
        assert len(outbox.recent(since=NOW, limit=2)) == 2


def test_limits_have_defaults_and_every_mistake_is_named(tmp_path: Path):
    assert read_limits(tmp_path) == GuardLimits()
    path = tmp_path / "publisher" / "guard.json"
    path.parent.mkdir()
    path.write_text('{"max_per_minute": 5}')
    assert read_limits(tmp_path).max_per_minute == 5
    for wrong in ('{"max_per_minute": "5", "x": 1}', "[]", "{", " " * 70_000):
        path.write_text(wrong)
        with pytest.raises(ConfigInvalid):
            read_limits(tmp_path)


def test_a_rejected_signal_stays_rejected_and_expired_ones_are_cleared(tmp_path: Path):
    held = HeldSignals(tmp_path / "held")
    assert held.all() == ()
    one, two = numbered(1), numbered(2)
    assert [held.put(each, now=NOW) for each in (one, one, two)] == [True, False, True]
    with pytest.raises(InputError):
        held.one("0")
    with pytest.raises(NotFound):
        held.one("f")
    held.reject(one.signal_id)
    assert held.is_rejected(one.signal_id)
    assert [each.signal for each in held.all()] == [two]
    assert SAMPLE.expires_at is not None
    assert [each.signal for each in held.cleared(SAMPLE.expires_at)] == [two]
    assert held.all() == ()


def test_approval_changes_the_publish_time_and_nothing_that_makes_it_younger(tmp_path: Path):
    held = HeldSignals(tmp_path / "held")
    held.put(SAMPLE, now=NOW)
    (waiting,) = held.all()
    out = approved(waiting, NOW + timedelta(hours=1))
    assert (out.published_at, out.meta["held_at"]) == (NOW + timedelta(hours=1), NOW.isoformat())
    assert (out.classified_at, out.expires_at) == (SAMPLE.classified_at, SAMPLE.expires_at)
    assert out.message_id == SAMPLE.message_id


def test_a_damaged_held_file_is_named(tmp_path: Path):
    (tmp_path / "x.json").write_text("{}")
    with pytest.raises(StorageFailed):
        HeldSignals(tmp_path).all()
