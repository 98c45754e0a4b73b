"""The webhook engine against receivers on real sockets: the example as a process, and one that misbehaves."""

import json
import logging
import ssl
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal as D

import pytest
from webhook_samples import (
    AT,
    ENTRY,
    EXIT,
    FILLED,
    SECRET,
    RudeReceiver,
    a_plan,
    an_engine,
    an_exit,
    answers,
    good,
    hangs,
    http,
    meeting,
    replies,
    secret_file,
    started,
    the_example,
    writes,
)

from signal_contract.errors import EngineUnusable
from subscriber_agent.accounting.book import Leg
from subscriber_agent.engines.engine import OutcomeState
from subscriber_agent.engines.webhook.receiver import ReceiverSilent
from subscriber_agent.engines.webhook.signing import signature
from subscriber_agent.engines.wire import AnswerInvalid, EngineFailed


async def test_the_example_receiver_trades_protects_and_closes(tmp_path):
    with the_example(tmp_path) as url:
        async with started(an_engine(tmp_path, url)) as engine:
            assert engine.capabilities().brackets
            assert await engine.lookup(ENTRY) is None
            outcome = await engine.submit(a_plan(), ENTRY)
            assert (outcome.state, outcome.quantity, outcome.price) == (OutcomeState.FILLED, D(100), D("5.05"))
            assert outcome.leg(Leg.STOP).protects == D(100)
            assert await engine.submit(a_plan(), ENTRY) == outcome
            assert await engine.lookup(ENTRY) == outcome
            assert [(each.ticker, each.quantity) for each in await engine.positions()] == [("ABCD", D(100))]
            assert (await engine.account()).cash == D("99495")
            assert [each.order_id.rsplit("-", 1)[1] for each in await engine.orders()] == ["stop", "target"]
            ended = await engine.cancel(ENTRY)
            assert {each.state for each in ended.legs} == {OutcomeState.CANCELLED}
            closed = await engine.submit(an_exit(), EXIT)
            assert (closed.state, closed.price) == (OutcomeState.FILLED, D("5.5"))
            assert await engine.positions() == ()


async def test_the_example_receiver_triggers_the_stop_by_the_wires_price(tmp_path):
    with the_example(tmp_path) as url:
        async with started(an_engine(tmp_path, url)) as engine:
            await engine.submit(a_plan(), ENTRY)
            assert await engine.observe("ABCD", D("4.60"), AT) == ()
            assert await engine.observe("ABCD", D("4.40"), AT) == (ENTRY,)
            outcome = await engine.lookup(ENTRY)
            assert (outcome.leg(Leg.STOP).state, outcome.leg(Leg.STOP).price) == (OutcomeState.FILLED, D("4.40"))
            assert outcome.leg(Leg.TARGET).state is OutcomeState.CANCELLED
            assert await engine.positions() == ()


async def test_another_secret_is_refused_at_the_start(tmp_path):
    with the_example(tmp_path) as url:
        (tmp_path / "friend").mkdir()
        other = secret_file(tmp_path / "friend", "other", "another secret of more than sixteen characters")
        engine = an_engine(tmp_path / "friend", url, secret_file=other)
        with pytest.raises(EngineUnusable, match="HTTP 401") as refusal:
            await engine.start()
        await engine.close()
    assert "another secret" not in str(refusal.value)


async def test_a_clock_that_is_far_off_is_refused_at_the_start(tmp_path):
    with the_example(tmp_path) as url:
        engine = an_engine(tmp_path, url, clock=lambda: datetime.now(UTC) - timedelta(seconds=400))
        with pytest.raises(EngineUnusable, match="HTTP 401"):
            await engine.start()
        await engine.close()


async def test_every_request_is_signed_fresh_and_an_order_carries_its_idempotency_key(tmp_path):
    receiver = RudeReceiver(script={"submit": [answers(FILLED)]})
    async with meeting(receiver, tmp_path) as engine:
        await engine.submit(a_plan(), ENTRY)
        await engine.cancel(ENTRY)
    for each in receiver.requests:
        timestamp = each.headers["X-Catalyst-Timestamp"]
        assert each.headers["X-Catalyst-Signature"] == signature(SECRET.encode(), timestamp, each.body)
        assert abs(time.time() - int(timestamp)) < 60
    (submit,), (cancel,) = receiver.asked("submit"), receiver.asked("cancel")
    assert submit.headers["Idempotency-Key"] == ENTRY
    assert cancel.headers["Idempotency-Key"] == f"{ENTRY}-cancel"


async def loses_it(request, writer):
    """Has taken the order, and then the line is cut."""
    writer.transport.abort()


def answer_of(result, **fields):
    async def act(request, writer):
        head = {"v": 1, "id": request.document["id"], "ok": True, "result": result}
        writer.write(http(200, json.dumps({**head, **fields}).encode()))

    return act


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        pytest.param(replies(200, b"<html>gateway</html>"), "no JSON", id="garbage"),
        pytest.param(replies(200, b""), "no JSON", id="an-empty-body"),
        pytest.param(writes(b"\x00\x01 this is no HTTP\r\n\r\n"), "was lost", id="no-http"),
        pytest.param(writes(b""), "was lost", id="dies-without-a-word"),
        pytest.param(writes(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{"), "was lost", id="dies-mid-answer"),
        pytest.param(loses_it, "was lost", id="lost-after-accepting"),
        pytest.param(hangs, "within 1 s", id="hangs"),
        pytest.param(replies(500), "HTTP 500", id="http-500"),
        pytest.param(replies(503, b"{}"), "HTTP 503", id="http-503"),
        pytest.param(replies(429), "HTTP 429", id="http-429"),
        pytest.param(replies(404), "HTTP 404", id="http-404"),
        pytest.param(replies(307, headers="Location: /elsewhere\r\n"), "HTTP 307", id="redirect"),
        pytest.param(replies(200, b" " * 1_000_001), "longer than", id="too-long"),
        pytest.param(answers(None), "null", id="null"),
        pytest.param(answers({"state": "SOLD"}), "`state`", id="unknown-state"),
        pytest.param(answers({**FILLED, "average_price": None}), "at what price", id="fill-without-price"),
        pytest.param(answers({**FILLED, "filled_quantity": 100.0}), "written exactly", id="float"),
        pytest.param(answer_of(FILLED, id=99), "`id`", id="answers-something-else"),
        pytest.param(answer_of(FILLED, v=2), "another version", id="another-version"),
        pytest.param(answer_of(None, ok=False, error={"code": "DOWN", "message": "no"}), "DOWN", id="own-failure"),
    ],
)
async def test_an_order_without_a_good_answer_is_unknown_and_never_posted_again(tmp_path, fault, says):
    receiver = RudeReceiver(script={"submit": [fault]}, known={ENTRY: FILLED})
    async with meeting(receiver, tmp_path) as engine:
        outcome = await engine.submit(a_plan(), ENTRY)
        assert outcome.state is OutcomeState.UNKNOWN
        assert says in outcome.detail
        assert "token-1234" not in outcome.detail
        looked_up = await engine.lookup(ENTRY)
    assert (looked_up.state, looked_up.quantity) == (OutcomeState.FILLED, D(100))
    assert len(receiver.asked("submit")) == 1
    assert {each.path for each in receiver.requests} == {"/hook/token-1234"}


async def test_a_receiver_that_answers_twice_is_believed_once_and_the_rest_answers_nothing_else(tmp_path):
    async def twice(request, writer):
        rejected = {"state": "REJECTED", "reason": "second thoughts"}
        writer.write(good(request, FILLED) + good(request, rejected))

    receiver = RudeReceiver(script={"submit": [twice]}, known={ENTRY: FILLED})
    async with meeting(receiver, tmp_path) as engine:
        assert (await engine.submit(a_plan(), ENTRY)).state is OutcomeState.FILLED
        assert (await engine.lookup(ENTRY)).state is OutcomeState.FILLED
        assert (await engine.account()).cash == D(1000)


async def test_more_than_was_asked_for_is_passed_on_as_the_truth(tmp_path):
    too_much = {**FILLED, "filled_quantity": "250"}
    receiver = RudeReceiver(script={"submit": [answers(too_much)]})
    async with meeting(receiver, tmp_path) as engine:
        assert (await engine.submit(a_plan(), ENTRY)).quantity == D(250)


async def test_an_unknown_ticker_is_rejected_by_an_outcome_and_a_position_in_one_is_passed_on(tmp_path):
    rejected = {"state": "REJECTED", "reason": "no such ticker"}
    script = {"submit": [answers(rejected)], "positions": [answers([{"ticker": "ZZZZ", "quantity": "5"}])]}
    receiver = RudeReceiver(script=script)
    async with meeting(receiver, tmp_path) as engine:
        outcome = await engine.submit(a_plan(ticker="ZZZZ"), ENTRY)
        assert (outcome.state, outcome.detail) == (OutcomeState.REJECTED, "no such ticker")
        assert [each.ticker for each in await engine.positions()] == ["ZZZZ"]


async def test_a_question_is_asked_again_while_the_trouble_may_pass(tmp_path):
    script = {"account": [replies(503), loses_it]}
    receiver = RudeReceiver(script=script)
    async with meeting(receiver, tmp_path, timeout_s=5) as engine:
        assert (await engine.account()).equity == D(1000)
    assert len(receiver.asked("account")) == 3


async def test_a_question_without_an_answer_raises_within_its_time(tmp_path):
    script = {"account": [hangs], "positions": [replies(500)] * 3, "lookup": [replies(200, b"no")], "orders": [hangs]}
    receiver = RudeReceiver(script=script)
    async with meeting(receiver, tmp_path) as engine:
        with pytest.raises(ReceiverSilent, match="within 1 s"):
            await engine.account()
        with pytest.raises(ReceiverSilent, match="HTTP 500"):
            await engine.positions()
        with pytest.raises(AnswerInvalid):
            await engine.lookup(ENTRY)


async def test_a_receiver_that_has_no_observe_is_told_no_more_prices(tmp_path):
    no = answer_of(None, ok=False, error={"code": "unknown_op", "message": "observe"})
    broken = answer_of(None, ok=False, error={"code": "broken", "message": ""})
    receiver = RudeReceiver(script={"observe": [broken, no]})
    async with meeting(receiver, tmp_path) as engine:
        with pytest.raises(EngineFailed):
            await engine.observe("ABCD", D(5), AT)
        assert await engine.observe("ABCD", D(5), AT) == ()
        assert await engine.observe("ABCD", D(6), AT) == ()
    assert len(receiver.asked("observe")) == 2


async def test_a_receiver_that_is_away_at_the_start_is_greeted_once_it_is_there(tmp_path, caplog):
    receiver = RudeReceiver()
    async with receiver.listening():
        pass
    engine = an_engine(tmp_path, receiver.url)
    with caplog.at_level(logging.WARNING, "catalyst.engine"):
        await engine.start()
    assert "nothing is ordered until it answers" in caplog.text
    assert "token-1234" not in caplog.text
    assert not engine.capabilities().times_in_force
    with pytest.raises(ReceiverSilent):
        await engine.submit(a_plan(), ENTRY)
    async with receiver.listening():
        assert (await engine.account()).cash == D(1000)
        assert engine.capabilities().brackets
        await engine.close()
    assert receiver.asked("submit") == []


async def test_an_order_to_a_receiver_that_went_away_is_unknown(tmp_path):
    receiver = RudeReceiver()
    async with receiver.listening():
        engine = an_engine(tmp_path, receiver.url)
        await engine.start()
    outcome = await engine.submit(a_plan(), ENTRY)
    await engine.close()
    assert outcome.state is OutcomeState.UNKNOWN


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        pytest.param(replies(200, b"<html>"), "no JSON", id="garbage"),
        pytest.param(replies(403), "HTTP 403", id="forbidden"),
        pytest.param(replies(302, headers="Location: https://elsewhere.example/\r\n"), "HTTP 302", id="redirect"),
        pytest.param(answer_of(None, v=2), "another version", id="another-version"),
        pytest.param(answers({"name": "x"}), "`capabilities`", id="no-capabilities"),
        pytest.param(
            answers({"name": "x", "is_paper": False, "capabilities": {"times_in_force": ["day"]}}),
            "trades real money",
            id="real-money-where-the-config-says-paper",
        ),
    ],
)
async def test_a_receiver_that_can_never_work_stops_the_start(tmp_path, fault, says):
    async with RudeReceiver(script={"hello": [fault]}).listening() as receiver:
        engine = an_engine(tmp_path, receiver.url)
        with pytest.raises(EngineUnusable, match=says) as refusal:
            await engine.start()
        await engine.close()
    assert "token-1234" not in str(refusal.value)


async def test_a_certificate_that_nobody_vouches_for_gets_no_request(tmp_path, self_signed):
    async with RudeReceiver().listening(ssl=self_signed) as receiver:
        engine = an_engine(tmp_path, receiver.url.replace("http:", "https:"))
        await engine.start()
        with pytest.raises(ReceiverSilent, match="certificate is not accepted") as refusal:
            await engine.account()
        await engine.close()
    assert "token-1234" not in str(refusal.value)
    assert receiver.requests == []


@pytest.fixture
def self_signed(tmp_path) -> ssl.SSLContext:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    path = tmp_path / "server.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context
