"""The hook in the bot's process, without a server: what the bot sees of it, which is nothing."""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from publisher.classifier import CLASSIFIER_FILE, read_classifier, write_classifier
from publisher.intake.bot import Terms
from publisher.intake.catalyst_bot import Installed, install, main, runner_module
from publisher.intake.cycle import Cycle, interval_from
from publisher.intake.hand_over import BACKLOG, HandOver
from publisher.intake.hook import found_from
from publisher.intake.outcome import Draft
from publisher.intake.rules import Rules
from publisher.intake.scored import Reading, Scored, reading_from
from publisher.rails import Fate
from signal_contract.errors import Conflict, NotFound, StorageFailed
from signal_contract.heartbeat import ClassifierState
from signal_contract.model import ClassifierMode, Signal

_STAND_IN = Path(__file__).parents[2] / "stand_in"
NOW = datetime(2026, 3, 2, 14, 25, 3, tzinfo=UTC)


class FakePublisher:
    """Keeps signals in memory; fails as long as it is told to."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.kept: list[Signal] = []
        self.failure: Exception | None = None
        self.gate = threading.Event()
        self.gate.set()
        self.closed_with: float | None = None
        self.is_approved = False

    def rails(self, *, is_approved: bool = False) -> FakePublisher:
        self.is_approved = is_approved
        return self

    def take(self, signals: Sequence[Signal]) -> tuple[Fate, ...]:
        self.gate.wait(20)
        if self.failure is not None:
            raise self.failure
        (signal,) = signals
        is_new = signal.message_id not in [each.message_id for each in self.kept]
        if is_new:
            self.kept.append(signal)
        return (Fate(signal, "ACCEPTED" if is_new else "DUPLICATE"),)

    def reading(self, found: Scored, *, classifier_version: str = "unknown") -> Reading:
        return reading_from(found, Terms(datetime.now(UTC), classifier_version, Rules()))

    def close(self, timeout_s: float | None = None) -> None:
        self.closed_with = timeout_s  # the guard is closed without one, and first


@pytest.fixture(name="bot")
def _bot(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The stand-in's runner, freshly imported."""
    monkeypatch.syspath_prepend(str(_STAND_IN))
    yield runner_module()
    for name in [each for each in sys.modules if each.partition(".")[0] == "catalyst_bot"]:
        del sys.modules[name]


@pytest.fixture(name="publisher")
def _publisher(tmp_path: Path) -> FakePublisher:
    return FakePublisher(tmp_path)


@pytest.fixture(name="installed")
def _installed(bot: ModuleType, publisher: FakePublisher) -> Iterator[Installed]:
    installed = install(publisher, module=bot)
    yield installed
    installed.close(5)


def payload_of(bot: ModuleType, record: dict[str, Any], number: int = 0, **item: Any) -> dict[str, Any]:
    record = json.loads(json.dumps(record))
    record["news_item"] |= {"id": f"news-{number}", "price": 5.41} | item
    return dict(bot.payload_of(record, bot.SHAPES[number % 3]))


def test_signal_is_kept_before_the_bots_alert_is_called(
    bot: ModuleType, merged: Any, publisher: FakePublisher, installed: Installed
) -> None:
    alerted: list[int] = []
    installed.uninstall()
    bot.send_alert_safe = lambda payload: alerted.append(len(publisher.kept))
    second = install(publisher, module=bot)
    bot.alert(payload_of(bot, merged))
    assert alerted == [1]
    second.close(5)


def test_answer_and_exceptions_of_the_bot_pass_untouched(
    bot: ModuleType, merged: Any, publisher: FakePublisher, installed: Installed
) -> None:
    assert bot.send_alert_safe(payload_of(bot, merged)) == "news-0"
    with pytest.raises(ValueError, match="the bot's own trouble"):
        bot.send_alert_safe(payload_of(bot, merged, 1, raises="ValueError"))
    assert len(publisher.kept) == 2


def test_second_call_by_the_older_signature_is_the_same_signal(
    bot: ModuleType, merged: Any, publisher: FakePublisher, installed: Installed
) -> None:
    assert bot.alert(payload_of(bot, merged, raises="TypeError")) == "news-0"
    assert len(publisher.kept) == 1
    assert (installed.counts["alerts"], installed.counts["kept"], installed.counts["duplicates"]) == (2, 1, 1)


@pytest.mark.parametrize("error", [StorageFailed("the disk is full"), RuntimeError("a fault")])
def test_no_exception_of_ours_reaches_the_bot_and_each_kind_is_said_once(
    bot: ModuleType, merged: Any, publisher: FakePublisher, installed: Installed, error: Exception, caplog: Any
) -> None:
    publisher.failure = error
    with caplog.at_level(logging.WARNING):
        for number in range(3):
            assert bot.send_alert_safe(payload_of(bot, merged, number)) == f"news-{number}"
        installed.close(0.1)
    said = [each for each in caplog.records if str(error) in each.getMessage()]
    assert len(said) == 1
    assert any(kind.startswith("failed:") for kind in installed.counts)


def test_rubbish_in_place_of_a_payload_reaches_the_bots_own_alert(bot: ModuleType, installed: Installed) -> None:
    for rubbish in (None, 7, [], object()):
        with pytest.raises(AttributeError, match="'get'"):  # the stand-in's own
            bot.send_alert_safe(rubbish)
    with pytest.raises(AttributeError):
        bot.send_alert_safe({"item": 3, "scored": object()})
    assert installed.counts["alerts"] == 5


def test_generator_that_fails_is_counted_and_nothing_is_published(
    bot: ModuleType, merged: Any, publisher: FakePublisher, installed: Installed
) -> None:
    merged["trading_signal"] = "raises"
    bot.alert(payload_of(bot, merged))
    assert publisher.kept == []
    assert installed.counts["failed:generator"] == 1
    assert installed.counts["dropped:no_trading_signal"] == 1


def test_field_that_cannot_be_read_is_counted_by_name(
    bot: ModuleType, merged: Any, publisher: FakePublisher, installed: Installed
) -> None:
    merged["scored_item"]["rvol"] = "n/a"
    bot.alert(payload_of(bot, merged))
    assert installed.counts["unread:scored.rvol"] == 1
    assert publisher.kept[0].market.rvol is None


def test_bot_does_not_wait_for_a_disk_that_stands_still_and_nothing_is_lost(
    bot: ModuleType, merged: Any, publisher: FakePublisher, installed: Installed
) -> None:
    publisher.gate.clear()
    began = datetime.now(UTC)
    for number in range(40):
        bot.alert(payload_of(bot, merged, number))
    assert datetime.now(UTC) - began < timedelta(seconds=2)
    assert publisher.kept == []
    publisher.gate.set()
    installed.close(10)
    assert [each.news.id for each in publisher.kept] == [f"news-{number}" for number in range(40)]
    assert installed.counts["late"] == 40


def test_installing_twice_is_installing_once(bot: ModuleType, publisher: FakePublisher, installed: Installed) -> None:
    wrapped = bot.send_alert_safe
    assert install(publisher, module=bot) is installed
    assert bot.send_alert_safe is wrapped


def test_uninstalled_bot_is_as_before(bot: ModuleType, publisher: FakePublisher) -> None:
    before, cycle = bot.send_alert_safe, bot._cycle
    installed = install(publisher, module=bot)
    assert bot.send_alert_safe is not before
    assert bot.send_alert_safe.__name__ == "send_alert_safe"
    installed.close(3)
    assert (bot.send_alert_safe, bot._cycle) == (before, cycle)
    assert 2 < (publisher.closed_with or 0) <= 3
    assert not installed.is_active


def test_cycle_tells_when_it_looked_and_how_often_it_means_to(
    bot: ModuleType, merged: Any, installed: Installed, tmp_path: Path, monkeypatch: Any
) -> None:
    merged["news_item"]["price"] = 5.41
    path = tmp_path / "items.jsonl"
    path.write_text(json.dumps(merged))
    monkeypatch.setenv("BOT_ITEMS", str(path))
    assert bot.main([]) == 0
    assert bot.main([]) == 0
    state = written(tmp_path / CLASSIFIER_FILE)
    assert (state.name, state.cycle_s, state.degraded) == ("catalyst-bot", 45, False)
    assert (tmp_path / CLASSIFIER_FILE).stat().st_mode & 0o777 == 0o600
    installed.close(5)
    assert not (tmp_path / CLASSIFIER_FILE).exists()


def written(path: Path) -> ClassifierState:
    """The classifier's file, once it is there."""
    pause = threading.Event()
    for _ in range(500):
        if (state := read_classifier(path, datetime.now(UTC))) is not None:
            return state
        pause.wait(0.01)
    pytest.fail("the classifier's state was not written within 5 s")


@pytest.mark.parametrize("is_clean", [True, False])
def test_only_a_bot_that_ends_cleanly_takes_its_word_back(
    bot: ModuleType, installed: Installed, tmp_path: Path, monkeypatch: Any, is_clean: bool
) -> None:
    monkeypatch.setenv("BOT_ITEMS", os.devnull)
    bot.main([])
    written(tmp_path / CLASSIFIER_FILE)
    installed.close(5, is_clean=is_clean)
    assert (tmp_path / CLASSIFIER_FILE).exists() != is_clean


def test_uninstalled_bot_is_not_taken_for_a_standstill(
    bot: ModuleType, installed: Installed, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setenv("BOT_ITEMS", os.devnull)
    bot.main([])
    written(tmp_path / CLASSIFIER_FILE)
    installed.uninstall()
    installed.close(5, is_clean=False)
    assert not (tmp_path / CLASSIFIER_FILE).exists()


def test_who_asks_for_approval_gets_it_also_by_a_second_call(bot: ModuleType, publisher: FakePublisher) -> None:
    installed = install(publisher, module=bot)
    assert not publisher.is_approved
    assert install(publisher, module=bot, approve=True) is installed
    assert publisher.is_approved
    assert install(publisher, module=bot) is installed
    assert publisher.is_approved, "a call that does not ask for it takes nothing back"
    installed.close(5)


def test_bot_that_is_not_there_is_named(capsys: Any) -> None:
    with pytest.raises(NotFound) as found:
        install(strict=True)
    assert "catalyst_bot" in found.value.message
    assert "environment" in found.value.hint
    assert main(["--", "--once"]) == NotFound.exit_code
    assert "NOT_FOUND" in capsys.readouterr().err


def test_without_strict_the_bot_runs_as_ever(bot: ModuleType, tmp_path: Path, caplog: Any, merged: Any) -> None:
    before = bot.send_alert_safe
    with caplog.at_level(logging.ERROR):
        installed = install(data=tmp_path / "nothing", module=bot)
    assert isinstance(installed.problem, NotFound)
    assert not installed.is_active
    assert bot.send_alert_safe is before
    assert "catalyst up" in caplog.text
    installed.close()


def test_runner_without_the_alert_is_a_conflict(bot: ModuleType) -> None:
    del bot.send_alert_safe
    with pytest.raises(Conflict):
        runner_module()


def test_both_signatures_are_read() -> None:
    new = found_from(({"item": {"id": 1}, "scored": 2, "last_price": 3, "record_only": True, "market_info": 4},), {})
    old = found_from((), {"item_dict": {"id": 1}, "scored": 2, "last_price": 3, "record_only": True})
    assert (new.item, new.scored, new.price, new.record_only, new.market_info) == ({"id": 1}, 2, 3, True, 4)
    assert (old.item, old.scored, old.price, old.record_only, old.market_info) == ({"id": 1}, 2, 3, True, None)


def test_a_bot_alert_gives_the_signal_of_the_record(
    bot: ModuleType, merged: Any, publisher: FakePublisher, installed: Installed
) -> None:
    bot.alert(payload_of(bot, merged))
    (signal,) = publisher.kept
    merged["news_item"]["id"] = "news-0"
    expected = FakePublisher(Path()).reading(
        Scored(merged["news_item"], merged["scored_item"], merged["trading_signal"])
    )
    assert isinstance(expected.outcome, Draft)
    assert signal.signal_id == expected.outcome.signal.signal_id
    assert signal.classifier.version == "stand-in"


# The hand-over -------------------------------------------------------------------------------------------------------


def test_job_that_the_disk_refuses_is_tried_again_before_the_next_one() -> None:
    done: list[str] = []
    failures: list[Exception] = []
    refusals = [StorageFailed("full")]

    def first() -> None:
        if refusals:
            raise refusals.pop()
        done.append("first")

    hand_over = HandOver(patience_s=0.01, on_failure=failures.append)
    hand_over.do(first)
    assert not hand_over.do(lambda: done.append("second"))
    assert hand_over.close(5) == 0
    assert done == ["first", "second"]
    assert len(failures) == 1


def test_backlog_has_an_end() -> None:
    gate = threading.Event()
    hand_over = HandOver(patience_s=0, on_failure=lambda error: None)
    for _ in range(BACKLOG):
        hand_over.do(lambda: gate.wait(20) and None)
    with pytest.raises(StorageFailed):
        hand_over.do(lambda: None)
    gate.set()
    assert hand_over.close(10) == 0


def test_what_the_disk_refuses_to_the_end_is_told() -> None:
    def full() -> None:
        raise StorageFailed("full")

    hand_over = HandOver(patience_s=0, on_failure=lambda error: None)
    hand_over.do(full)
    assert hand_over.close(5) == 1


# The cycle and its file ----------------------------------------------------------------------------------------------


def test_cycle_lasts_its_pause_and_as_long_as_the_last_one_took() -> None:
    cycle = Cycle().began(NOW, 60).ended(NOW + timedelta(seconds=30))
    assert cycle.state.cycle_s == 90
    assert cycle.state.last_cycle_at == NOW + timedelta(seconds=30)
    assert Cycle().began(NOW, None).state.cycle_s is None


def test_cycle_is_told_once_a_second_at_most() -> None:
    cycle = Cycle().began(NOW, 60)
    assert cycle.is_due
    told = Cycle(seen_at=NOW, written_at=NOW)
    assert not told.ended(NOW + timedelta(seconds=0.5)).is_due
    assert told.ended(NOW + timedelta(seconds=1)).is_due


@pytest.mark.parametrize(
    ("settings", "market_info", "expected"),
    [
        (SimpleNamespace(loop_seconds=60), None, 60),
        (SimpleNamespace(loop_seconds=60), {"cycle_seconds": 90}, 90),
        ({"loop_seconds": "30"}, {"cycle_seconds": None}, 30),
        (SimpleNamespace(loop_seconds=0), None, None),
        (None, object(), None),
        (object(), {"cycle_seconds": float("nan")}, None),
    ],
)
def test_pause_is_the_markets_or_the_settings_and_never_made_up(
    settings: Any, market_info: Any, expected: float | None
) -> None:
    assert interval_from(settings, market_info) == expected


def test_classifier_file_counts_for_a_limited_time(tmp_path: Path) -> None:
    path = tmp_path / CLASSIFIER_FILE
    assert read_classifier(path, NOW) is None
    state = ClassifierState(name="bot", mode=ClassifierMode.LLM, degraded=True, last_cycle_at=NOW, cycle_s=60)
    write_classifier(path, state)
    assert read_classifier(path, NOW + timedelta(days=6)) == state, "a standstill is seen until somebody acts"
    assert read_classifier(path, NOW + timedelta(days=8)) is None
    path.write_bytes(b"{oops")
    assert read_classifier(path, NOW) is None
