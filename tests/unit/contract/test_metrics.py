"""The table of metrics, samples that keep to it, and the address where they are shown."""

import http.client
import re
import socket
import threading
import time
from contextlib import ExitStack, closing

import pytest
from prometheus_client.parser import text_string_to_metric_families

from signal_contract.errors import ConfigInvalid, Conflict, StorageFailed
from signal_contract.metrics import words
from signal_contract.metrics.agent_table import AGENT_METRICS
from signal_contract.metrics.endpoint import MAX_READERS, Address, Endpoint, address_from
from signal_contract.metrics.exposition import page
from signal_contract.metrics.operator_table import OPERATOR_METRICS
from signal_contract.metrics.samples import Sample, Tallies, checked, one_of
from signal_contract.metrics.table import MAX_OPEN_VALUES, OTHER, Kind, Label, Metric
from subscriber_agent.accounting.book import Leg
from subscriber_agent.accounting.ledger import LatchKind
from subscriber_agent.engines.engine import OutcomeState
from subscriber_agent.receiving.link_state import LinkState
from subscriber_agent.risk.codes import Code
from subscriber_agent.risk.decision import Verdict
from subscriber_agent.risk.market import Health, TradingState

ALL = (*AGENT_METRICS, *OPERATOR_METRICS)
COLOURS = Label("colour", ("red", "green", OTHER))
FRIEND = Label("user")
TRIED = Metric("catalyst_tried_total", Kind.COUNTER, "", "Tried", "a test", (COLOURS,))
HEIGHT = Metric("catalyst_height", Kind.GAUGE, "m", "Height", "a test", (FRIEND,))
TOOK = Metric("catalyst_took_seconds", Kind.HISTOGRAM, "s", "Took", "a test", (), (0.1, 1))
TABLE = {each.name: each for each in (TRIED, HEIGHT, TOOK)}


def values(text: bytes) -> dict[str, float]:
    """Every sample of a page, by its name and labels."""
    return {
        each.name + "".join(f"|{value}" for value in each.labels.values()): each.value
        for family in text_string_to_metric_families(text.decode())
        for each in family.samples
    }


# The table --------------------------------------------------------------------------------------------------------


def test_no_name_is_used_twice():
    assert len({each.name for each in ALL}) == len(ALL)


@pytest.mark.parametrize("metric", ALL, ids=lambda each: each.name)
def test_a_metric_is_named_as_prometheus_wants_it(metric):
    assert re.fullmatch(r"catalyst(_[a-z]+)+", metric.name)
    assert metric.name.endswith("_total") == (metric.kind is Kind.COUNTER)
    assert bool(metric.buckets) == (metric.kind is Kind.HISTOGRAM)
    assert list(metric.buckets) == sorted(set(metric.buckets))
    assert metric.help
    assert metric.source


@pytest.mark.parametrize("metric", ALL, ids=lambda each: each.name)
def test_a_seconds_metric_ends_with_its_unit(metric):
    assert metric.name.endswith(("_seconds", "_seconds_total")) == (metric.unit in ("s", "Unix time"))


@pytest.mark.parametrize(
    ("enum", "known"),
    [
        (Code, words.CODES),
        (Verdict, words.VERDICTS),
        (OutcomeState, words.ORDER_STATES),
        (LinkState, words.LINK_STATES),
        (TradingState, words.TRADING_STATES),
        (Health, words.ENGINE_STATES),
        (LatchKind, words.HOLDS),
        (Leg, words.LEGS),
    ],
    ids=lambda each: each.__name__ if isinstance(each, type) else "",
)
def test_every_word_of_the_agent_is_a_label_value(enum, known):
    missing = {each.value for each in enum} - set(known)
    assert not missing, "add them to signal_contract/metrics/words.py"


# Samples ----------------------------------------------------------------------------------------------------------


def test_a_value_that_is_not_on_the_list_is_counted_as_other():
    tallies = Tallies([TRIED])
    tallies.count(TRIED.name, "red")
    tallies.count(TRIED.name, "\x1b[31m", by=2)
    assert {each.labels[0]: each.value for each in tallies.samples()} == {"red": 1, "green": 0, OTHER: 2}


def test_a_flood_of_names_ends_as_other():
    found = checked((Sample(HEIGHT.name, 1, (f"u{n}",)) for n in range(MAX_OPEN_VALUES + 50)), TABLE)
    assert len(found) == MAX_OPEN_VALUES + 1
    assert found[-1] == Sample(HEIGHT.name, 50.0, (OTHER,))


@pytest.mark.parametrize("sample", [Sample("catalyst_unknown", 1), Sample(HEIGHT.name, 1)], ids=["name", "labels"])
def test_what_is_not_in_the_table_is_a_fault(sample):
    with pytest.raises(ValueError, match="not in the table"):
        checked([sample], TABLE)


def test_a_counter_never_falls():
    with pytest.raises(ValueError, match="only rises"):
        Tallies([TRIED]).count(TRIED.name, "red", by=-1)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_no_number_is_in_no_histogram(value):
    with pytest.raises(ValueError, match="numbers"):
        Tallies([TOOK]).observe(TOOK.name, value)


def test_a_state_that_nobody_knows_is_shown_as_other():
    found = one_of("x", "PURPLE", ("RED", "GREEN", OTHER))
    assert [(each.labels[0], each.value) for each in found] == [("RED", 0), ("GREEN", 0), (OTHER, 1)]
    assert one_of("x", None, ("RED",)) == []


# The page ---------------------------------------------------------------------------------------------------------


def test_the_page_is_what_prometheus_reads():
    tallies = Tallies(TABLE.values())
    tallies.count(TRIED.name, "red", by=3)
    for seconds in (0.05, 0.1, 0.5, 7):
        tallies.observe(TOOK.name, seconds)
    found = values(page([*tallies.samples(), Sample(HEIGHT.name, 2, ('a"b\n',))], tuple(TABLE.values())))
    assert found["catalyst_tried_total|red"] == 3
    assert found["catalyst_tried_total|green"] == 0
    assert found['catalyst_height|a"b\n'] == 2
    assert [found[f"catalyst_took_seconds_bucket|{le}"] for le in ("0.1", "1.0", "+Inf")] == [2, 3, 4]
    assert found["catalyst_took_seconds_count"] == 4
    assert found["catalyst_took_seconds_sum"] == pytest.approx(7.65)


# The address ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("9465", Address("127.0.0.1", 9465)),
        (":9465", Address("127.0.0.1", 9465)),
        ("localhost:1", Address("localhost", 1)),
        ("[::1]:9465", Address("::1", 9465)),
        ("0.0.0.0:9465", Address("0.0.0.0", 9465)),
    ],
)
def test_without_a_host_it_is_loopback(text, address):
    assert address_from(text) == address
    assert address.is_local == (address.host != "0.0.0.0")


@pytest.mark.parametrize("text", ["", "x", "127.0.0.1", "127.0.0.1:99999", "evil host:1", "127.0.0.1:１", "a.b:1"])
def test_what_is_no_address_is_refused(text):
    with pytest.raises(ConfigInvalid):
        address_from(text)


def got(endpoint: Endpoint, path: str = "/metrics", host: str | None = None) -> tuple[int, bytes]:
    with closing(http.client.HTTPConnection(endpoint.address.host, endpoint.address.port, timeout=5)) as http_:
        http_.request("GET", path, headers={} if host is None else {"Host": host})
        answer = http_.getresponse()
        return answer.status, answer.read()


@pytest.fixture
def endpoint():
    with closing(Endpoint.start(Address("127.0.0.1", 0), lambda: b"catalyst 1\n")) as running:
        yield running


def test_the_page_is_shown_and_nothing_else(endpoint):
    assert got(endpoint) == (200, b"catalyst 1\n")
    assert got(endpoint, "/metrics?name=x")[0] == 200
    assert got(endpoint, "/")[0] == 404
    assert got(endpoint, "/../../etc/passwd")[0] == 404


@pytest.mark.parametrize("host", ["evil.example.org", "evil.example.org:9465", "127.0.0.1.evil.org", ""])
def test_a_foreign_page_in_the_browser_cannot_read_it(endpoint, host):
    assert got(endpoint, host=host)[0] == 403


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:9465", "127.0.0.1", "[::1]:9465"])
def test_a_loopback_name_is_served(endpoint, host):
    assert got(endpoint, host=host)[0] == 200


def test_a_page_that_cannot_be_made_says_so():
    def failing() -> bytes:
        raise StorageFailed("the disk is full")

    with closing(Endpoint.start(Address("127.0.0.1", 0), failing)) as endpoint:
        assert got(endpoint) == (503, b"STORAGE_FAILED: the disk is full\n")


def test_a_port_that_is_taken_is_told():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(Conflict, match="cannot be shown"):
            Endpoint.start(Address("127.0.0.1", taken.getsockname()[1]), lambda: b"")


def test_readers_who_never_ask_cost_few_threads_and_keep_nobody_out():
    def of_readers():
        return [each for each in threading.enumerate() if "process_request_thread" in each.name]

    with closing(Endpoint.start(Address("127.0.0.1", 0), lambda: b"page")) as endpoint, ExitStack() as stack:
        for _ in range(100):
            idle = stack.enter_context(socket.create_connection((endpoint.address.host, endpoint.address.port)))
            idle.send(b"GET /met")
        assert got(endpoint) == (200, b"page")
        deadline = time.monotonic() + 4  # before they would have ended by their own time limit
        while len(of_readers()) > MAX_READERS:
            assert time.monotonic() < deadline, "the threads of those who were ended have ended"
            time.sleep(0.01)
