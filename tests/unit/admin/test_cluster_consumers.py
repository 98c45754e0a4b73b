"""Where a consumer begins again: behind what is known to have arrived, never further."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from signal_admin.cluster.consumers import Seen, in_words, ours, step_from
from signal_admin.cluster.settings import ScaleSettings, keep_scale, limit_checked, read_scale
from signal_admin.desk import Desk
from signal_admin.registry import User
from signal_admin.repair import Source
from signal_contract.errors import ConfigInvalid, InputError

NOW = datetime(2026, 11, 2, tzinfo=UTC)
MEMORY, OFF = ScaleSettings(0), ScaleSettings()


def user(name="alice", start=1, **more):
    return User(name, "U" * 56, ("signals.*.*",), created_at=NOW, start_sequence=start, **more)


def seen(first=1, last=100, durables=None, positions=None):
    return Seen(first, last, durables or {}, positions or {})


def durable(floor, *, memory=False):
    return {"config": {"mem_storage": memory}, "ack_floor": {"stream_seq": floor}}


def test_a_lost_consumer_begins_behind_the_reported_position():
    (restore,) = step_from((user(),), MEMORY, seen(positions={"alice": 40}), may_convert=False).restores
    assert (restore.where.start, restore.where.source, restore.in_memory) == (41, Source.REPORT, True)


def test_without_a_report_it_begins_where_the_friend_began():
    (restore,) = step_from((user(start=7),), MEMORY, seen(), may_convert=False).restores
    assert (restore.where.start, restore.where.source) == (7, Source.REGISTRY)


def test_a_made_up_position_never_skips_what_is_to_come():
    (restore,) = step_from((user(),), MEMORY, seen(positions={"alice": 1 << 40}), may_convert=False).restores
    assert restore.where.start == 101


def test_with_the_setting_off_a_lost_consumer_is_left_to_catalyst_up():
    assert step_from((user(),), OFF, seen(), may_convert=True).restores == ()


@pytest.mark.parametrize("other", [user(start=None), user(is_leaving=True)], ids=["never-began", "leaving"])
def test_who_has_not_begun_or_is_leaving_is_not_touched(other):
    assert ours((other,)) == ()
    assert step_from((other,), MEMORY, seen(), may_convert=True).restores == ()


@pytest.mark.parametrize(("floor", "start", "expected"), [(0, 5, 5), (4, 5, 5), (17, 5, 18)])
def test_a_change_of_storage_begins_behind_what_was_acknowledged(floor, start, expected):
    found = seen(durables={"sub_alice": durable(floor)})
    (convert,) = step_from((user(start=start),), MEMORY, found, may_convert=True).converts
    assert (convert.start, convert.in_memory) == (expected, True)


def test_storage_changes_only_at_the_start():
    found = seen(durables={"sub_alice": durable(3)})
    assert step_from((user(),), MEMORY, found, may_convert=False).converts == ()


def test_turned_off_they_go_back_to_disk():
    found = seen(durables={"sub_alice": durable(3, memory=True)})
    (convert,) = step_from((user(),), OFF, found, may_convert=True).converts
    assert (convert.start, convert.in_memory) == (4, False)


def test_the_limit_counts_users_above_it():
    users = (user("alice"), user("bob"))
    found = seen(durables={f"sub_{each.name}": durable(3) for each in users})
    assert step_from(users, ScaleSettings(2), found, may_convert=True).converts == ()
    assert len(step_from(users, ScaleSettings(1), found, may_convert=True).converts) == 2


def test_what_was_done_is_told_with_how_sure_it_was():
    users = (user("alice"), user("bob"))
    (line,) = in_words(step_from(users, MEMORY, seen(positions={"bob": 3}), may_convert=False))
    assert line == (
        "2 consumers made again: 1 behind the position that the agent reported, 1 from where the friend began"
    )


def test_the_setting_is_off_by_default_and_kept(tmp_path):
    desk = Desk(tmp_path)
    assert read_scale(desk) == OFF
    keep_scale(desk, ScaleSettings(100))
    assert read_scale(desk) == ScaleSettings(100)
    assert not ScaleSettings(100).wants_memory(100)
    assert ScaleSettings(100).wants_memory(101)


@pytest.mark.parametrize("text", ["{}", "[]", '{"memory_consumers_above": "1"}', '{"memory_consumers_above": -1}',
                                  '{"memory_consumers_above": true}', '{"memory_consumers_above": 1, "x": 2}', "{"],
                         ids=range(7))  # fmt: skip
def test_a_damaged_setting_is_an_error_and_not_the_default(tmp_path, text):
    (tmp_path / "scale.json").write_text(text)
    with pytest.raises(ConfigInvalid):
        read_scale(Desk(tmp_path))


def test_a_limit_below_zero_is_refused():
    with pytest.raises(InputError):
        limit_checked(-1)
