"""The agent's numbers, read from a real journal beside the desk that writes it."""

from contextlib import closing
from dataclasses import replace
from datetime import timedelta

import pytest
from agent_samples import NOW, D, a_close, a_revision, a_signal, an_arrival
from desk_samples import Watched
from prometheus_client.parser import text_string_to_metric_families

from signal_contract.errors import NotFound
from signal_contract.model import Event, News
from subscriber_agent.journal import Arrival, Journal
from subscriber_agent.metrics.source import AgentSource, Identity

CLOCK = iter(range(0, 10**9, 60))


@pytest.fixture
def journal(tmp_path):
    with closing(Journal.open(tmp_path / "journal.sqlite")) as opened:
        yield opened


@pytest.fixture
def watched(journal):
    return Watched(journal)


def identity(watched, **changes):
    found = Identity("alice", watched.config, watched.journal.path, NOW + timedelta(days=3), lambda: True)
    return replace(found, **changes)


def values(source, now=NOW):
    """Every sample, as `name{label values}` without the catalyst_agent_ in front."""
    families = text_string_to_metric_families(source.page(now, next(CLOCK)).decode())
    return {
        each.name.removeprefix("catalyst_agent_") + "".join(f"|{v}" for v in each.labels.values()): each.value
        for family in families
        for each in family.samples
    }


@pytest.fixture
def whole(watched):
    """All that the journal holds."""
    with AgentSource.open(identity(watched), is_live=False) as source:
        yield source


async def test_a_bought_signal_is_in_every_number_of_its_way(watched, whole):
    news = News(id="n", title="Words", url=None, source="test", published_at=NOW - timedelta(seconds=5))
    await watched.settled(a_signal(news="n").model_copy(update={"news": news}))
    await watched.desk.tend()
    found = values(whole)
    assert found["signals_total|fda"] == 1
    assert sum(value for name, value in found.items() if name.endswith("|ACCEPTED")) == 1
    assert found["orders_total|entry|FILLED"] == 1
    assert found["stage_seconds_sum|news_to_classified"] == 4
    assert found["stage_seconds_sum|classified_to_published"] == 1
    assert found["stage_seconds_sum|news_to_filled"] == 5
    for stage in ("published_to_received", "received_to_decided", "decided_to_ordered", "ordered_to_filled"):
        assert found[f"stage_seconds_count|{stage}"] == 1, stage
    assert found["positions"] == 1
    assert found["equity_usd"] == 10_000
    assert found["unrealised_usd"] == 0
    assert found["limit_used_ratio|max_open_positions"] == pytest.approx(0.2)
    assert 0 < found["limit_used_ratio|max_ticker_exposure_percent"] <= 1
    assert found["journal_readable"] == 1


async def test_a_refusal_is_counted_by_its_code(watched, whole):
    await watched.settled(a_signal(stop_price=None))
    assert values(whole)["decisions_total|STOP_REQUIRED|REFUSED"] == 1


async def test_a_closed_position_shows_as_profit(watched, whole):
    await watched.settled(a_signal())
    held = values(whole)
    await watched.settled(a_close(reference_price=D(6), reference_price_at=NOW))
    await watched.desk.tend()
    found = values(whole)
    assert (held["realised_usd"], found["positions"]) == (0, 0)
    assert found["realised_usd"] > 0
    assert found["equity_usd"] == 10_000 + found["realised_usd"]


async def test_a_running_agent_counts_from_its_start(watched):
    await watched.settled(a_signal())
    with AgentSource.open(identity(watched), is_live=True) as source:
        assert values(source)["signals_total|fda"] == 0
        await watched.settled(a_signal("news-2", ticker="EFGH"))
        assert values(source)["signals_total|fda"] == 1
        found = values(source)
    assert (found["signals_total|fda"], found["orders_total|entry|FILLED"]) == (1, 1)


async def test_a_counter_does_not_fall_when_the_journal_is_pruned(watched, whole):
    await watched.settled(a_signal(stop_price=None))
    before = values(whole)
    later = NOW + timedelta(days=90)
    assert watched.journal.prune(before=later, stream_first_sequence=10**6).signals == 1
    watched.clock.passes(60)
    await watched.settled(a_signal("news-2", ticker="EFGH"))
    found = values(whole)
    assert (before["signals_total|fda"], found["signals_total|fda"]) == (1, 2)
    assert sum(value for name, value in found.items() if name.startswith("decisions_total")) == 2


async def test_an_order_is_counted_when_it_ends_and_once(watched, whole):
    await watched.settled(a_signal())
    for _ in range(3):
        found = values(whole)
    assert found["orders_total|entry|FILLED"] == 1
    assert found["open_orders"] == 0


def test_an_update_does_not_bring_the_news_time_again(watched, whole):
    signal = a_signal()
    watched.receive(signal, a_revision(signal, 2, Event.UPDATE, published_at=NOW + timedelta(hours=1)))
    found = values(whole)
    assert found["stage_seconds_count|classified_to_published"] == 1
    assert found["stage_seconds_count|published_to_received"] == 1
    assert found["stage_negative_total|published_to_received"] == 1  # it came before it was published


def test_what_was_set_aside_is_counted_by_its_code(watched, whole):
    watched.journal.record([Arrival(1, "signals.fda.ABCD", b"?", NOW, None, "SIGNATURE_INVALID", "not signed")])
    watched.journal.record([Arrival(2, "signals.fda.ABCD", b"!", NOW, None, "EVIL_" * 9, "whatever")])
    found = values(whole)
    assert (found["parked_total|SIGNATURE_INVALID"], found["parked_total|other"]) == (1, 1)


def test_the_link_and_what_waits_are_gauges(watched, whole):
    watched.journal.set_link("LIVE", "signals flow", NOW - timedelta(seconds=7))
    watched.journal.set_progress(41, 3, NOW)
    watched.journal.record([an_arrival(44, a_signal(), NOW - timedelta(seconds=30))])
    found = values(whole)
    assert (found["link_state|LIVE"], found["link_state|CUT"], found["link_state_age_seconds"]) == (1, 0, 7)
    assert (found["position"], found["pending_messages"], found["last_sequence"]) == (41, 3, 44)
    assert (found["undecided_signals"], found["undecided_age_seconds"]) == (1, 30)


def test_what_is_not_known_is_missing_and_not_zero(watched, whole):
    found = values(whole)
    assert not {"pending_messages", "position", "heartbeat_age_seconds", "link_state|LIVE"} & set(found)


def test_a_halt_shows_by_whose_word_it_stands(watched, whole):
    watched.journal.set_latch("local", "HALTED", "earnings day", NOW)
    found = values(whole)
    assert (found["trading_state|HALTED|local"], found["trading_state|ACTIVE|local"]) == (1, 0)
    assert found["trading_state|ACTIVE|operator"] == 1


def test_the_creds_end_is_told(watched, whole):
    assert values(whole)["creds_expiry_timestamp_seconds"] == (NOW + timedelta(days=3)).timestamp()


def test_no_ticker_and_no_secret_is_in_the_page(watched, whole):
    watched.receive(a_signal(ticker="ZZZQ"))
    text = whole.page(NOW, next(CLOCK)).decode()
    assert "ZZZQ" not in text
    assert str(watched.config.creds) not in text


async def test_events_of_the_run_are_counted_on_their_way(watched):
    told = []
    with AgentSource.open(identity(watched), is_live=True) as source:
        report = source.counting(lambda event, facts: told.append(event))
        for event in ("disconnected", "reconnected", "disconnected", "decision"):
            report(event, {})
        found = values(source)
    assert told == ["disconnected", "reconnected", "disconnected", "decision"]
    assert (found["events_total|disconnected"], found["events_total|other"]) == (2, 0)


def test_a_page_is_not_made_more_than_once_a_second(watched, whole):
    first = whole.page(NOW, 0.0)
    watched.receive(a_signal())
    assert whole.page(NOW, 0.9) == first
    assert whole.page(NOW, 1.0) != first


def test_a_journal_in_trouble_is_told_and_the_page_is_still_made(watched):
    source = AgentSource.open(identity(watched), is_live=True)
    source.close()
    found = values(source)
    assert found["journal_readable"] == 0
    assert found["running"] == 1
    assert "equity_usd" not in found


def test_before_the_first_run_there_is_nothing_to_show(watched, tmp_path):
    with pytest.raises(NotFound):
        AgentSource.open(identity(watched, journal_file=tmp_path / "none.sqlite"), is_live=False)
