"""The engine protocol, version 1: what goes out, what comes in, and that nothing malformed gets any further."""

import json
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subscriber_agent.accounting.book import Leg, Side
from subscriber_agent.engines import wire
from subscriber_agent.engines.engine import EngineEvent, OutcomeState
from subscriber_agent.risk.decision import OrderPlan, OrderType, TimeInForce

AT = datetime(2026, 1, 2, 14, 30, tzinfo=UTC)
PLAN = OrderPlan(
    ticker="BRK.B",
    side=Side.BUY,
    leg=Leg.ENTRY,
    quantity=Decimal("10.0"),
    order_type=OrderType.LIMIT,
    limit_price=Decimal("5.45"),
    stop_price=Decimal("5.14"),
    target_price=None,
    time_in_force=TimeInForce.DAY,
    reference_price=Decimal("5.41"),
    reference_price_at=AT,
    catalyst="fda",
)
FILLED = {"state": "FILLED", "filled_quantity": "10", "average_price": "5.44"}
LEG = {"leg": "stop", "order_id": "cs-1-stop", "state": "ACCEPTED", "protects": "10", "trigger_price": "5.14"}


def answer(**fields):
    return json.dumps({"v": 1, "id": 7, "ok": True, "result": None, **fields}).encode()


def test_a_request_carries_version_id_operation_and_exact_numbers():
    request = json.loads(wire.request_bytes("submit", 7, order=wire.plan_document(PLAN, "cs-1-entry")))
    assert (request["v"], request["id"], request["op"]) == (1, 7, "submit")
    assert request["order"]["order_id"] == "cs-1-entry"
    assert request["order"]["quantity"] == "10"
    assert request["order"]["limit_price"] == "5.45"
    assert request["order"]["target_price"] is None
    assert request["order"]["reference_price_at"] == "2026-01-02T14:30:00Z"


def test_a_request_is_one_line():
    assert b"\n" not in wire.request_bytes("lookup", 1, order_id="two\nlines")


def test_the_result_of_a_good_answer_comes_out_as_it_is():
    assert wire.parse_answer(answer(result={"a": 1}, newer="field"), 7) == {"a": 1}
    assert wire.parse_answer(answer(result=None), 7) is None


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        pytest.param(b"", "no JSON", id="nothing"),
        pytest.param(b"Traceback (most recent call last):", "no JSON", id="a-traceback"),
        pytest.param(b'{"v":1,"id":7,"ok":true,"result":NaN}', "no JSON", id="nan"),
        pytest.param(b'{"v":1,"id":7,"ok":true,"result":Infinity}', "no JSON", id="infinity"),
        pytest.param(b'{"v":1,"id":7,"ok":true,"result":1', "no JSON", id="cut-off"),
        pytest.param(b"\xff\xfe{}", "no JSON", id="not-utf-8"),
        pytest.param(b"[" * 100_000, "no JSON", id="nested-without-end"),
        pytest.param(b"[1]", "no object", id="a-list"),
        pytest.param(b" " * 1_000_001, "too long", id="too-long"),
        pytest.param(answer(v=2), "another version", id="another-version"),
        pytest.param(answer(v=True), "another version", id="version-true"),
        pytest.param(answer(id=8), "answers something else", id="another-id"),
        pytest.param(answer(id="7"), "answers something else", id="id-as-text"),
        pytest.param(answer(ok="yes"), "`ok`", id="ok-is-text"),
        pytest.param(answer(ok=False), "`error`", id="no-error"),
        pytest.param(answer(ok=False, error={"message": "x"}), "`code`", id="no-code"),
        pytest.param(b'{"v":1,"id":7,"ok":true}', "`result` is missing", id="no-result"),
    ],
)
def test_an_answer_that_breaks_the_protocol_is_told_in_words(raw, says):
    with pytest.raises(wire.AnswerInvalid, match=says):
        wire.parse_answer(raw, 7)


def test_an_engines_own_failure_is_not_a_rejection_and_carries_no_control_characters():
    with pytest.raises(wire.EngineFailed) as caught:
        wire.parse_answer(answer(ok=False, error={"code": "BROKER_DOWN", "message": "line\x1b[2J\nsecond"}), 7)
    assert caught.value.code == "BROKER_DOWN"
    assert str(caught.value) == "the engine says BROKER_DOWN: line [2J second"


def test_null_means_that_the_engine_is_certain_it_never_saw_the_order():
    assert wire.outcome_from(None) is None


def test_an_outcome_with_its_legs_is_read_exactly():
    outcome = wire.outcome_from({**FILLED, "reason": "done", "legs": [LEG], "from_a_later_version": True})
    assert (outcome.state, outcome.quantity, outcome.price) == (OutcomeState.FILLED, Decimal(10), Decimal("5.44"))
    assert outcome.detail == "done"
    stop = outcome.leg(Leg.STOP)
    assert (stop.protects, stop.trigger_price, stop.state) == (Decimal(10), Decimal("5.14"), OutcomeState.ACCEPTED)


def test_whole_numbers_may_be_json_numbers():
    assert wire.outcome_from({**FILLED, "filled_quantity": 10}).quantity == Decimal(10)


def test_more_than_was_asked_for_passes_as_it_is():
    assert wire.outcome_from({**FILLED, "filled_quantity": "1000000"}).quantity == Decimal(1_000_000)


def test_a_price_before_anything_filled_means_nothing():
    assert wire.outcome_from({"state": "ACCEPTED", "average_price": "0"}).price is None


@pytest.mark.parametrize(
    ("result", "says"),
    [
        pytest.param([], "an object", id="a-list"),
        pytest.param("FILLED", "an object", id="a-word"),
        pytest.param({}, "`state`", id="no-state"),
        pytest.param({"state": "DONE"}, "`state`", id="unknown-state"),
        pytest.param({"state": "ABANDONED"}, "`state`", id="a-state-of-ours"),
        pytest.param({**FILLED, "filled_quantity": 10.0}, "written exactly", id="float"),
        pytest.param({**FILLED, "filled_quantity": True}, "written exactly", id="boolean"),
        pytest.param({**FILLED, "filled_quantity": "NaN"}, "written exactly", id="nan"),
        pytest.param({**FILLED, "filled_quantity": "1e9"}, "written exactly", id="exponent"),
        pytest.param({**FILLED, "filled_quantity": "١٠"}, "written exactly", id="other-digits"),
        pytest.param({**FILLED, "filled_quantity": "9" * 40}, "written exactly", id="forty-digits"),
        pytest.param({**FILLED, "filled_quantity": "-10"}, "greater than or equal to 0", id="negative"),
        pytest.param({**FILLED, "average_price": None}, "at what price", id="fill-without-price"),
        pytest.param({**FILLED, "average_price": "0"}, "at what price", id="fill-at-nothing"),
        pytest.param({**FILLED, "average_price": "-5"}, "greater than or equal to 0", id="negative-price"),
        pytest.param({**FILLED, "state": "ACCEPTED"}, "nothing has filled", id="accepted-with-fill"),
        pytest.param({**FILLED, "state": "REJECTED"}, "nothing has filled", id="rejected-with-fill"),
        pytest.param({"state": "FILLED"}, "above 0", id="filled-nothing"),
        pytest.param({"state": "PARTLY_FILLED"}, "above 0", id="partly-filled-nothing"),
        pytest.param({**FILLED, "reason": ["x"]}, "text", id="reason-is-a-list"),
        pytest.param({**FILLED, "legs": [LEG, LEG]}, "same leg twice", id="two-stops"),
        pytest.param({**FILLED, "legs": [{**LEG, "leg": "entry"}]}, "legs.0.leg", id="leg-of-another-kind"),
        pytest.param({**FILLED, "legs": [{**LEG, "protects": "-1"}]}, "legs.0.protects", id="protects-negative"),
        pytest.param({**FILLED, "legs": [{**LEG, "order_id": "a\x1bb"}]}, "control characters", id="escape-in-id"),
    ],
)
def test_an_outcome_that_cannot_be_true_is_refused_in_words(result, says):
    with pytest.raises(wire.AnswerInvalid, match=says):
        wire.outcome_from(result)


def test_the_account_may_say_that_it_does_not_know():
    account = wire.account_from({"cash": None, "equity": "100.10"})
    assert (account.cash, account.equity, account.is_blocked) == (None, Decimal("100.10"), None)


@pytest.mark.parametrize(
    "result", [None, {}, {"cash": 1.5, "equity": "1"}, {"cash": "1", "equity": "1", "is_blocked": 0}]
)
def test_an_account_that_is_not_understood_is_refused(result):
    with pytest.raises(wire.AnswerInvalid):
        wire.account_from(result)


def test_positions_are_sorted_and_those_of_nothing_left_out():
    rows = [{"ticker": "B", "quantity": "-2"}, {"ticker": "C", "quantity": 0}, {"ticker": "A", "quantity": "1.5"}]
    assert [(each.ticker, each.quantity) for each in wire.holdings_from(rows)] == [
        ("A", Decimal("1.5")),
        ("B", Decimal(-2)),
    ]


def test_a_position_in_something_we_do_not_trade_is_passed_on_as_the_truth():
    assert wire.holdings_from([{"ticker": "SPY 250624C596", "quantity": 1}])[0].ticker == "SPY 250624C596"


@pytest.mark.parametrize(
    "result",
    [
        pytest.param(None, id="null"),
        pytest.param({}, id="an-object"),
        pytest.param([{"ticker": "A", "quantity": 1}] * 2, id="twice"),
        pytest.param([{"ticker": "", "quantity": 1}], id="no-ticker"),
        pytest.param([{"ticker": "A" * 33, "quantity": 1}], id="long-ticker"),
        pytest.param([{"ticker": "A\n", "quantity": 1}], id="two-lines"),
        pytest.param([{"ticker": "A", "quantity": 1, "last_price": "-1"}], id="negative-price"),
    ],
)
def test_positions_that_are_not_understood_are_refused(result):
    with pytest.raises(wire.AnswerInvalid):
        wire.holdings_from(result)


def test_working_orders_of_others_are_read_too():
    rows = [
        {"order_id": "", "ticker": "A", "side": "sell", "quantity": "1", "order_type": "trailing_stop"},
        {
            "order_id": "cs-1-stop",
            "ticker": "B",
            "side": "sell",
            "quantity": "2",
            "order_type": "stop",
            "stop_price": "3",
        },
    ]
    others, ours = wire.orders_from(rows)
    assert (others.order_type, ours.order_type, ours.stop_price) == (None, OrderType.STOP, Decimal(3))
    with pytest.raises(wire.AnswerInvalid):
        wire.orders_from([{**rows[0], "side": "hold"}])


def test_a_quote_needs_an_aware_time_and_real_prices():
    assert wire.quote_from(None) is None
    quote = wire.quote_from({"bid": "1.10", "ask": None, "at": "2026-01-02T09:30:00-05:00"})
    assert (quote.bid, quote.ask, quote.last, quote.at) == (Decimal("1.10"), None, None, AT)
    for bad in ({"bid": "1"}, {"at": "2026-01-02T14:30:00"}, {"at": "2026-01-02T14:30:00Z", "bid": "0"}, {"at": 1}):
        with pytest.raises(wire.AnswerInvalid):
            wire.quote_from(bad)


def test_a_symbol_says_yes_no_or_nothing():
    assert wire.symbol_from(None) is None
    assert wire.symbol_from({"is_halted": True}).is_halted is True
    assert wire.symbol_from({}).is_tradable is None
    with pytest.raises(wire.AnswerInvalid):
        wire.symbol_from({"is_halted": "no"})


def test_what_an_engine_does_not_declare_it_cannot_do():
    can = wire.capabilities_from({"name": "mine", "capabilities": {"times_in_force": ["day", "opg"]}})
    assert can.times_in_force == frozenset({TimeInForce.DAY})
    assert not any((can.shorts, can.brackets, can.limits, can.cancels, can.quotes, can.marks_positions))


@pytest.mark.parametrize(
    "result",
    [
        pytest.param(None, id="null"),
        pytest.param({"name": "mine"}, id="no-capabilities"),
        pytest.param({"name": "", "capabilities": {"times_in_force": ["day"]}}, id="no-name"),
        pytest.param({"name": "mine", "capabilities": {}}, id="no-times-in-force"),
        pytest.param({"name": "mine", "capabilities": {"times_in_force": ["day"], "shorts": 1}}, id="shorts-one"),
    ],
)
def test_a_hello_that_is_not_understood_is_refused(result):
    with pytest.raises(wire.AnswerInvalid):
        wire.hello_from(result)


def test_events_are_hints_and_answers_are_none():
    assert wire.event_from(answer()) is None
    assert wire.event_from(b'{"v":1,"event":"order","order_id":"cs-1-stop"}') == EngineEvent("cs-1-stop")
    assert wire.event_from(b'{"v":1,"event":"gap"}') == EngineEvent(is_gap=True)
    assert wire.event_from(b'{"v":1,"event":"of a later version","order_id":"x"}') == EngineEvent()
    for bad in (b'{"v":1,"event":"order"}', b'{"v":2,"event":"gap"}', b'{"v":1,"event":1}', b"no"):
        with pytest.raises(wire.AnswerInvalid):
            wire.event_from(bad)


def test_a_line_says_which_request_it_answers():
    assert wire.number_of(answer()) == 7
    assert wire.number_of(b'{"v":1,"event":"gap"}') is None
    assert wire.number_of(answer(id=True)) is None


def test_triggered_entries_are_ids_and_null_is_none():
    assert wire.triggered_from(None) == ()
    assert wire.triggered_from(["cs-1-entry"]) == ("cs-1-entry",)
    for bad in ("cs-1-entry", [1], [""], ["x" * 65]):
        with pytest.raises(wire.AnswerInvalid):
            wire.triggered_from(bad)


_ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=8,
)
_FIELDS = ("state", "filled_quantity", "average_price", "legs", "reason", "cash", "equity", "ticker", "quantity", "at")
_READERS = (
    wire.outcome_from,
    wire.account_from,
    wire.holdings_from,
    wire.orders_from,
    wire.quote_from,
    wire.symbol_from,
    wire.hello_from,
    wire.triggered_from,
)


def complaint(read, value):
    """What the reader says against a value; "" when it takes it. Any other exception goes through."""
    try:
        read(value)
    except (wire.AnswerInvalid, wire.EngineFailed) as error:
        return str(error)
    return ""


@given(_ANYTHING | st.dictionaries(st.sampled_from(_FIELDS), _ANYTHING))
def test_whatever_an_engine_answers_is_understood_or_answer_invalid(result):
    for read in _READERS:
        said = complaint(read, result) + complaint(read, [result])
        assert said == "" or (said.isprintable() and len(said) < 500)


@given(st.binary(max_size=200) | st.dictionaries(st.sampled_from(("v", "id", "ok", "error", "event")), _ANYTHING))
def test_whatever_bytes_come_are_understood_or_answer_invalid(document):
    raw = document if isinstance(document, bytes) else json.dumps(document).encode("utf-8", "replace")
    for read in (lambda line: wire.parse_answer(line, 7), wire.event_from, wire.number_of):
        assert complaint(read, raw).isprintable()
