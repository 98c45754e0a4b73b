"""Fire-and-forget receivers: what is posted, what is assumed after it, and that nothing is ever posted twice."""

import asyncio
import json
import os
import stat
import sys
from datetime import timedelta
from decimal import Decimal as D
from pathlib import Path

import pytest
from webhook_samples import (
    AT,
    ENTRY,
    EXIT,
    RudeReceiver,
    a_plan,
    an_engine,
    an_exit,
    hangs,
    meeting,
    replies,
    started,
    writes,
)

from signal_contract.edges import STOP_VARIABLE
from signal_contract.errors import StorageFailed
from subscriber_agent.accounting.book import Leg, Side
from subscriber_agent.engines.engine import OutcomeState, order_id_from
from subscriber_agent.engines.webhook.receiver import ReceiverSilent
from subscriber_agent.engines.webhook.settle import main as settle
from subscriber_agent.risk.decision import OrderType

POST = {"template": "traderspost", "assumed_cash_usd": "10000"}
RECEIVED = replies(200, b'{"success":true,"id":"6ac1f7f6"}')
SENT_FILE = "data/webhook_sent.jsonl"
NOW = AT + timedelta(minutes=1)


def a_clock():
    return AT


def polite(script=()) -> RudeReceiver:
    return RudeReceiver(script={"": list(script)}, polite=RECEIVED)


def at_traderspost(receiver, home, **changes):
    return meeting(receiver, home, **{**POST, "clock": a_clock, **changes})


async def test_an_entry_is_posted_in_traderspost_words_with_its_stop_and_target(tmp_path):
    receiver = polite()
    async with at_traderspost(receiver, tmp_path) as engine:
        await engine.submit(a_plan(), ENTRY)
    (request,) = receiver.requests
    assert request.headers["Idempotency-Key"] == ENTRY
    assert json.loads(request.body, parse_float=D) == {
        "ticker": "ABCD",
        "action": "buy",
        "quantity": 100,
        "quantityType": "fixed_quantity",
        "orderType": "limit",
        "limitPrice": D("5.05"),
        "timeInForce": "day",
        "signalPrice": 5,
        "stopLoss": {"type": "stop", "stopPrice": D("4.5")},
        "takeProfit": {"limitPrice": 6},
        "extras": {"order_id": ENTRY},
    }


async def test_a_received_entry_is_assumed_filled_and_protected_and_says_that_it_is_assumed(tmp_path):
    async with at_traderspost(polite(), tmp_path) as engine:
        outcome = await engine.submit(a_plan(), ENTRY)
        assert (outcome.state, outcome.quantity, outcome.price) == (OutcomeState.FILLED, D(100), D("5.05"))
        assert outcome.detail == "assumed: the receiver does not report fills"
        assert outcome.leg(Leg.STOP).state is OutcomeState.ACCEPTED
        assert outcome.leg(Leg.STOP).protects == D(100)
        assert [(each.ticker, each.quantity) for each in await engine.positions()] == [("ABCD", D(100))]
        account = await engine.account()
        assert (account.cash, account.equity, account.is_blocked) == (D(9495), D(10000), False)
        assert [each.order_id.rsplit("-", 1)[1] for each in await engine.orders()] == ["stop", "target"]


async def test_the_same_id_is_never_posted_again_not_even_after_a_restart(tmp_path):
    receiver = polite()
    async with at_traderspost(receiver, tmp_path) as engine:
        first = await engine.submit(a_plan(), ENTRY)
        assert await engine.submit(a_plan(), ENTRY) == first
    async with at_traderspost(receiver, tmp_path) as engine:
        assert await engine.submit(a_plan(), ENTRY) == first
        assert await engine.lookup(ENTRY) == first
        assert await engine.lookup(EXIT) is None
        assert [each.quantity for each in await engine.positions()] == [D(100)]
    assert len(receiver.requests) == 1


async def test_two_calls_with_one_id_at_the_same_moment_post_once(tmp_path):
    receiver = polite()
    async with at_traderspost(receiver, tmp_path) as engine:
        other = order_id_from("s2", "alice", Leg.ENTRY)
        outcomes = await asyncio.gather(
            engine.submit(a_plan(), ENTRY), engine.submit(a_plan(), ENTRY), engine.submit(a_plan(), other)
        )
    assert [each.state for each in outcomes] == [OutcomeState.FILLED, OutcomeState.UNKNOWN, OutcomeState.REJECTED]
    assert len(receiver.requests) == 1


@pytest.mark.parametrize(
    ("fault", "state", "says"),
    [
        pytest.param(replies(200, b"<html>thanks</html>"), OutcomeState.FILLED, "assumed", id="garbage-with-200"),
        pytest.param(replies(202), OutcomeState.FILLED, "assumed", id="nothing-with-202"),
        pytest.param(
            replies(400, b'{"success":false,"message":"Invalid\\u001b payload"}'),
            OutcomeState.REJECTED,
            "HTTP 400 (Invalid  payload)",
            id="refused-400",
        ),
        pytest.param(replies(200, b'{"success":false}'), OutcomeState.REJECTED, "HTTP 200", id="refused-with-200"),
        pytest.param(replies(307, headers="Location: /b\r\n"), OutcomeState.REJECTED, "HTTP 307", id="redirect"),
        pytest.param(replies(429), OutcomeState.REJECTED, "HTTP 429", id="too-many"),
        pytest.param(replies(500), OutcomeState.UNKNOWN, "look at your broker", id="http-500"),
        pytest.param(replies(408), OutcomeState.UNKNOWN, "look at your broker", id="http-408"),
        pytest.param(writes(b""), OutcomeState.UNKNOWN, "look at your broker", id="dies"),
        pytest.param(writes(b"HTTP/1.1 200 OK\r\nContent-Le"), OutcomeState.UNKNOWN, "broker", id="half-an-answer"),
        pytest.param(writes(b"no http\r\n\r\n"), OutcomeState.UNKNOWN, "broker", id="garbage"),
        pytest.param(replies(200, b" " * 1_000_001), OutcomeState.UNKNOWN, "broker", id="too-long"),
        pytest.param(hangs, OutcomeState.UNKNOWN, "subscriber-agent engine settle", id="hangs"),
    ],
)
async def test_what_a_reply_means_is_kept_over_a_restart(tmp_path, fault, state, says):
    receiver = polite([fault])
    async with at_traderspost(receiver, tmp_path) as engine:
        outcome = await engine.submit(a_plan(), ENTRY)
        assert outcome.state is state
        assert says in outcome.detail
        assert bool(await engine.positions()) is (state is OutcomeState.FILLED)
    async with at_traderspost(receiver, tmp_path) as engine:
        assert await engine.submit(a_plan(), ENTRY) == outcome
    assert len(receiver.requests) == 1
    assert "token-1234" not in (tmp_path / SENT_FILE).read_text() + outcome.detail


async def test_where_no_connection_is_made_it_is_certain_that_nothing_was_sent(tmp_path):
    receiver = polite()
    async with receiver.listening():
        pass
    async with started(an_engine(tmp_path, receiver.url, **POST)) as engine:
        outcome = await engine.submit(a_plan(), ENTRY)
    assert outcome.state is OutcomeState.REJECTED
    assert "nothing was sent" in outcome.detail
    assert "token-1234" not in outcome.detail


async def killed(home: Path, url: str, *, stop_at: str = "") -> asyncio.subprocess.Process:
    script = Path(__file__).with_name("webhook_victim.py")
    return await asyncio.create_subprocess_exec(
        sys.executable, str(script), str(home), url, env={**os.environ, STOP_VARIABLE: stop_at}
    )


async def test_killed_before_the_post_it_stays_unknown_and_is_not_posted_later(tmp_path):
    receiver = polite()
    async with receiver.listening():
        process = await killed(tmp_path, receiver.url, stop_at="webhook.intended")
        assert await process.wait() == -9
        async with started(an_engine(tmp_path, receiver.url, **POST)) as engine:
            assert (await engine.lookup(ENTRY)).state is OutcomeState.UNKNOWN
            assert (await engine.submit(a_plan(), ENTRY)).state is OutcomeState.UNKNOWN
            again = order_id_from("s2", "alice", Leg.ENTRY)
            refused = await engine.submit(a_plan(), again)
            assert "earlier order in ABCD is not known" in refused.detail
    assert receiver.requests == []


async def test_killed_while_it_waits_for_the_answer_it_is_not_posted_again(tmp_path):
    arrived = asyncio.Event()

    async def hangs_and_tells(request, writer):
        arrived.set()
        await hangs(request, writer)

    receiver = polite([hangs_and_tells])
    async with receiver.listening():
        process = await killed(tmp_path, receiver.url)
        async with asyncio.timeout(20):
            await arrived.wait()
        process.kill()
        await process.wait()
        async with started(an_engine(tmp_path, receiver.url, **POST)) as engine:
            outcome = await engine.submit(a_plan(), ENTRY)
    assert outcome.state is OutcomeState.UNKNOWN
    assert "look at your broker" in outcome.detail
    assert len(receiver.requests) == 1


async def test_a_person_settles_what_nobody_can_know_and_the_running_engine_takes_it_in(tmp_path, capsys):
    receiver = polite([replies(500)])
    async with at_traderspost(receiver, tmp_path) as engine:
        assert (await engine.submit(a_plan(), ENTRY)).state is OutcomeState.UNKNOWN
        data = str(tmp_path / "data")
        assert settle([data, ENTRY, "60", "5.01"]) == 0
        outcome = await engine.lookup(ENTRY)
        assert (outcome.state, outcome.quantity, outcome.price) == (OutcomeState.CANCELLED, D(60), D("5.01"))
        assert [each.quantity for each in await engine.positions()] == [D(60)]
        assert settle([data, ENTRY, "0"]) == 7
        assert settle([data, "cs-other", "0"]) == 6
        assert settle([data, ENTRY, "-5"]) == 2
    assert f"{ENTRY}: 60 ABCD filled" in capsys.readouterr().out


async def test_the_legs_are_cancelled_before_the_exit_and_the_exit_only_closes(tmp_path):
    receiver = polite()
    async with at_traderspost(receiver, tmp_path) as engine:
        await engine.submit(a_plan(), ENTRY)
        ended = await engine.cancel(ENTRY)
        assert {each.state for each in ended.legs} == {OutcomeState.CANCELLED}
        outcome = await engine.submit(an_exit(), EXIT)
        assert (outcome.state, outcome.price) == (OutcomeState.FILLED, D("5.5"))
        assert await engine.positions() == ()
        assert (await engine.account()).cash == D(10045)
    _, cancel, leave = [each.document for each in receiver.requests]
    assert (cancel["action"], cancel["ticker"]) == ("cancel", "ABCD")
    assert (leave["action"], leave["quantity"], leave["orderType"]) == ("exit", 100, "market")
    assert "limitPrice" not in leave


async def test_a_cancel_that_is_not_taken_raises_and_leaves_the_legs(tmp_path):
    receiver = polite([RECEIVED, *[replies(500)] * 3, replies(400)])
    async with at_traderspost(receiver, tmp_path) as engine:
        await engine.submit(a_plan(), ENTRY)
        for _ in range(2):
            with pytest.raises(ReceiverSilent, match="not taken"):
                await engine.cancel(ENTRY)
        assert len(await engine.orders()) == 2
        assert await engine.cancel(EXIT) is None


async def test_an_exit_ends_the_legs_that_nobody_cancelled(tmp_path):
    async with at_traderspost(polite(), tmp_path) as engine:
        await engine.submit(a_plan(), ENTRY)
        await engine.submit(an_exit(quantity=D(40)), EXIT)
        assert await engine.orders() == ()
        assert [each.quantity for each in await engine.positions()] == [D(60)]


async def test_the_wires_price_closes_the_assumption_at_stop_and_target(tmp_path):
    receiver = polite()
    async with at_traderspost(receiver, tmp_path) as engine:
        await engine.submit(a_plan(), ENTRY)
        assert await engine.observe("ABCD", D("4.40"), AT - timedelta(seconds=1)) == (), "older than the fill"
        assert await engine.observe("ABCD", D("4.60"), NOW) == ()
        assert await engine.observe("OTHR", D("1"), NOW) == ()
        assert await engine.observe("ABCD", D("4.40"), NOW) == (ENTRY,)
        outcome = await engine.lookup(ENTRY)
        assert (outcome.leg(Leg.STOP).state, outcome.leg(Leg.STOP).price) == (OutcomeState.FILLED, D("4.40"))
        assert outcome.leg(Leg.TARGET).state is OutcomeState.CANCELLED
        assert await engine.positions() == ()
    async with at_traderspost(receiver, tmp_path) as engine:
        assert await engine.lookup(ENTRY) == outcome
        assert (await engine.account()).cash == D(9935)
    assert len(receiver.requests) == 1


async def test_a_short_is_closed_at_its_target_price(tmp_path):
    async with at_traderspost(polite(), tmp_path) as engine:
        plan = a_plan(side=Side.SELL, stop_price=D("5.60"), target_price=D("4"))
        await engine.submit(plan, ENTRY)
        assert await engine.observe("ABCD", D("3.90"), NOW) == (ENTRY,)
        assert (await engine.lookup(ENTRY)).leg(Leg.TARGET).price == D(4)
        assert (await engine.account()).cash == D(10105)


@pytest.mark.parametrize(
    ("plan", "says"),
    [
        pytest.param(a_plan(), "a position in ABCD already", id="on-top"),
        pytest.param(a_plan(side=Side.SELL), "a position in ABCD already", id="against"),
        pytest.param(an_exit(quantity=D(101)), "no position of 101 ABCD", id="more-than-held"),
        pytest.param(an_exit(side=Side.BUY), "no position of 100 ABCD", id="wrong-side"),
        pytest.param(an_exit(ticker="OTHR"), "no position of 100 OTHR", id="unknown-ticker"),
        pytest.param(a_plan(ticker="OTHR", quantity=D(0)), "an order of nothing", id="nothing"),
        pytest.param(a_plan(ticker="OTHR", order_type=OrderType.STOP), "part of an entry", id="a-stop-by-itself"),
        pytest.param(a_plan(ticker="OTHR", limit_price=None, reference_price=None), "no price", id="no-price"),
    ],
)
async def test_an_order_that_the_receiver_would_understand_otherwise_is_not_posted(tmp_path, plan, says):
    receiver = polite()
    async with at_traderspost(receiver, tmp_path) as engine:
        await engine.submit(a_plan(), ENTRY)
        outcome = await engine.submit(plan, order_id_from("s2", "alice", plan.leg))
    assert outcome.state is OutcomeState.REJECTED
    assert says in outcome.detail
    assert len(receiver.requests) == 1


async def test_tradingview_words_carry_the_position_after_the_order_and_take_no_cancel(tmp_path):
    receiver = polite()
    async with at_traderspost(receiver, tmp_path, template="tradingview", secret_file=None) as engine:
        await engine.submit(a_plan(target_price=None), ENTRY)
        assert (await engine.cancel(ENTRY)).leg(Leg.STOP).state is OutcomeState.CANCELLED
        await engine.submit(an_exit(), EXIT)
    entry, leave = [each.document for each in receiver.requests]
    assert entry == {
        "ticker": "ABCD",
        "action": "buy",
        "contracts": "100",
        "price": "5.05",
        "order_id": ENTRY,
        "market_position": "long",
        "market_position_size": "100",
        "stop_loss": "4.5",
        "time": "2026-03-02T15:00:00Z",
    }
    assert (leave["action"], leave["market_position"], leave["market_position_size"]) == ("sell", "flat", "0")
    assert "X-Catalyst-Signature" not in receiver.requests[0].headers


async def test_the_file_is_for_nobody_else_and_a_line_cut_off_by_a_kill_is_dropped(tmp_path):
    receiver = polite()
    async with at_traderspost(receiver, tmp_path) as engine:
        first = await engine.submit(a_plan(), ENTRY)
    path = tmp_path / SENT_FILE
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"kind":"intent","order_id":"cs-')
    async with at_traderspost(receiver, tmp_path) as engine:
        assert await engine.lookup(ENTRY) == first
        assert path.read_bytes() == whole


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(b"not json\n", id="not-json"),
        pytest.param(b"[]\n", id="a-list"),
        pytest.param(b"{}\n", id="no-kind"),
        pytest.param(b'{"kind":"answer","order_id":"x","state":"FILLED","reason":""}\n', id="answer-to-nothing"),
        pytest.param(b'{"kind":"settled","order_id":"x","quantity":"NaN","price":"1"}\n', id="settles-nothing"),
    ],
)
async def test_a_damaged_file_stops_the_start_since_it_says_what_was_ordered(tmp_path, line):
    (tmp_path / "data").mkdir()
    (tmp_path / SENT_FILE).write_bytes(line)
    engine = an_engine(tmp_path, "http://127.0.0.1:9/", **POST)
    with pytest.raises(StorageFailed):
        await engine.start()
    await engine.close()


@pytest.mark.skipif(os.name != "posix", reason="limits a file's size by ulimit")
async def test_a_full_disk_posts_nothing(tmp_path):
    receiver = polite()
    (tmp_path / "data").mkdir()
    (tmp_path / SENT_FILE).write_text(json.dumps({"kind": "note", "order_id": "", "text": "x" * 900}) + "\n")
    script = Path(__file__).with_name("webhook_victim.py")
    async with receiver.listening():
        process = await asyncio.create_subprocess_exec(
            *("bash", "-c", 'ulimit -f 1; exec "$@"', "bash", sys.executable, str(script), str(tmp_path), receiver.url),
            stderr=asyncio.subprocess.PIPE,
        )
        _, errors = await process.communicate()
    assert b"StorageFailed" in errors
    assert receiver.requests == []


def test_the_engine_says_whose_word_its_stops_are(tmp_path):
    engine = an_engine(tmp_path, "http://127.0.0.1:9/", **POST)
    assert engine.capabilities().brackets
    (tmp_path / "own.json").write_text('{"t":"{ticker}","a":"{side}","q":"{quantity}"}')
    own = an_engine(tmp_path, "http://127.0.0.1:9/", **{**POST, "template": "own.json"})
    assert not own.capabilities().brackets
    assert not own.capabilities().quotes
