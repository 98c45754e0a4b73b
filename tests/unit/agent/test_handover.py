"""The line to the engine: its faults open the circuit, over restarts; exits always go; nothing is sent twice."""

import pytest
from agent_samples import D, a_close, a_signal
from desk_samples import Broker, Watched, booked

from signal_contract.errors import StorageFailed
from subscriber_agent.accounting.book import Leg
from subscriber_agent.engines.engine import EngineSilent, Holding, LegOutcome, Outcome, OutcomeState
from subscriber_agent.journal import Journal
from subscriber_agent.risk.market import Health

LIMITS = {"engine_failures": 2, "engine_pause_s": 60, "max_orders_per_minute": 30}
UNKNOWN = Outcome(OutcomeState.UNKNOWN, detail="timed out")


@pytest.fixture
def journal(tmp_path):
    with Journal.open(tmp_path / "journal.sqlite") as opened:
        yield opened


def _tickers(*names):
    return [a_signal(each, ticker=each) for each in names]


def _health(watched):
    return watched.journal.breaker("broker").health(watched.config.risk, watched.clock())


async def _failing(journal):
    """A broker that failed over two orders, so that its circuit is open."""
    broker = Broker()
    watched = Watched(journal, broker, risk=LIMITS)
    broker.answer = UNKNOWN
    assert await watched.settled(*_tickers("AAAA", "BBBB")) == ["UNKNOWN", "UNKNOWN"]
    assert _health(watched) is Health.OPEN
    return watched


async def test_faults_in_a_row_open_the_circuit_and_a_restart_does_not_close_it(journal):
    watched = await _failing(journal)
    again = watched.restarted()
    assert await again.settled(*_tickers("CCCC")) == ["ENGINE_UNHEALTHY"]
    assert len(watched.engine.handed_over) == 2
    assert [each["health"] for each in watched.of("engine_fault")] == ["OK", "OPEN"]


async def test_after_the_pause_one_entry_goes_through_and_closes_the_circuit(journal):
    watched = await _failing(journal)
    watched.clock.passes(60)
    watched.engine.answer = None
    assert _health(watched) is Health.PROBE
    fresh = a_signal("DDDD", ticker="DDDD", published_at=watched.clock(), reference_price_at=watched.clock())
    assert await watched.settled(fresh) == ["FILLED"]
    assert _health(watched) is Health.OK
    assert watched.told[-1] == ("engine_ok", {"engine": "broker"})


async def test_a_probe_whose_end_is_open_lets_no_second_one_through(journal):
    watched = await _failing(journal)
    watched.clock.passes(60)
    watched.receive(*_tickers("CCCC"))
    (stored,) = journal.undecided()
    watched.desk.decide_and_keep(stored, await watched.desk.gather(stored))
    assert _health(watched) is Health.OPEN
    assert await watched.restarted().settled(*_tickers("DDDD")) == ["ENGINE_UNHEALTHY"]


async def test_a_rejection_is_no_fault(journal):
    broker = Broker()
    broker.answer = Outcome(OutcomeState.REJECTED, detail="no")
    watched = Watched(journal, broker, risk=LIMITS)
    assert await watched.settled(*_tickers("AAAA", "BBBB", "CCCC")) == ["REJECTED"] * 3
    assert (_health(watched), watched.of("engine_fault")) == (Health.OK, [])


async def test_exits_go_through_an_open_circuit(journal):
    watched = await _failing(journal)
    watched.engine.answer = None
    booked(journal, watched.engine, "HELD")
    assert await watched.settled(a_close(ticker="HELD")) == ["FILLED"]


async def test_whatever_an_engine_throws_leaves_the_orders_end_unknown(journal):
    broker = Broker()
    watched = Watched(journal, broker, risk=LIMITS)

    async def falls_over(plan, order_id):
        broker.handed_over.append(order_id)
        raise ZeroDivisionError("in the broker's library")

    broker.submit = falls_over
    assert await watched.settled(a_signal()) == ["UNKNOWN"]
    (row,) = journal.open_intents()
    assert row.outcome.detail == "ZeroDivisionError: in the broker's library"
    assert journal.breaker("broker").failures == 1


async def test_our_own_trouble_is_no_fault_of_the_engine_and_stops_the_agent(journal):
    broker = Broker()
    watched = Watched(journal, broker)

    async def full(plan, order_id):
        raise StorageFailed("no space left")

    broker.submit = full
    with pytest.raises(StorageFailed):
        await watched.settled(a_signal())


async def test_a_signal_stays_undecided_while_the_engine_does_not_say_what_is_held(journal):
    broker = Broker()
    watched = Watched(journal, broker)
    broker.trouble = TimeoutError()
    with pytest.raises(EngineSilent):
        await watched.settled(a_signal())
    assert journal.undecided_count() == 1
    assert watched.of("engine_fault")[0]["detail"] == "no answer within 10 s"
    broker.trouble = None
    assert await watched.settled() == ["FILLED"]


async def test_a_silent_engine_does_not_keep_a_restart_from_going_on(journal):
    broker = Broker()
    watched = Watched(journal, broker)
    broker.loses_answers = True
    await watched.settled(a_signal())
    broker.trouble = ConnectionError("away")
    again = watched.restarted()
    assert await again.desk.recover() == []
    broker.trouble = None
    assert [each.outcome.state for each in await again.desk.recover()] == ["FILLED"]
    assert len(broker.handed_over) == 1


async def test_an_engine_that_works_costs_no_commit_for_its_circuit(journal):
    watched = Watched(journal)
    await watched.settled(a_signal())
    before = journal.commits
    await watched.settled(*_tickers("BBBB"))
    # What was received, the decision, the outcome with its fill and its stop; the engine's own log is its own.
    assert journal.commits - before == 3


# Answers that cannot be -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [
        None,
        "FILLED",
        Outcome(OutcomeState.FILLED, D("NaN"), D(5)),
        Outcome(OutcomeState.FILLED, D(-100), D(5)),
        Outcome(OutcomeState.FILLED, D(0), D(5)),
        Outcome(OutcomeState.PARTLY_FILLED),
        Outcome(OutcomeState.ABANDONED),
        Outcome(OutcomeState.FILLED, D(100), D(5), legs=(LegOutcome(Leg.STOP, "x", OutcomeState.ACCEPTED, D("inf")),)),
    ],
    ids=["nothing", "text", "nan", "negative", "none-filled", "none-in-part", "ours", "leg"],
)
async def test_an_answer_that_cannot_be_leaves_the_orders_end_unknown(journal, answer):
    broker = Broker()
    watched = Watched(journal, broker, risk=LIMITS)

    async def says(plan, order_id):
        broker.take(plan, order_id)
        return answer

    broker.submit = says
    assert await watched.settled(a_signal()) == ["UNKNOWN"]
    assert (journal.fills(), journal.breaker("broker").failures) == ([], 1)
    await watched.desk.tend()
    assert {"ABCD": journal.held("ABCD")} == broker.held()
    assert broker.asked.count("submit") == 0


@pytest.mark.parametrize(
    "positions",
    [(Holding("ABCD", D("NaN")),), (Holding("ABCD", D(1)), Holding("ABCD", D(2))), ("ABCD",), 7],
    ids=["nan", "twice", "text", "number"],
)
async def test_positions_that_cannot_be_are_a_silence(journal, positions):
    broker = Broker()
    watched = Watched(journal, broker)

    async def says():
        return positions

    broker.positions = says
    with pytest.raises(EngineSilent):
        await watched.settled(a_signal())
    assert journal.undecided_count() == 1


async def test_cash_that_is_no_number_is_not_known_and_refuses(journal):
    broker = Broker()
    watched = Watched(journal, broker)
    broker.cash = D("NaN")
    assert await watched.settled(a_signal()) == ["INSUFFICIENT_FUNDS"]


async def test_an_order_that_is_unknown_for_a_moment_keeps_its_last_word(journal):
    broker = Broker()
    watched = Watched(journal, broker)
    await watched.settled(a_signal())
    before, real = watched.protection(), broker.lookup

    async def forgets(order_id):
        return UNKNOWN

    broker.lookup = forgets
    watched.clock.passes(60)
    await watched.desk.tend()
    assert watched.protection() == before
    broker.lookup = real
    await watched.desk.tend()
    assert watched.protection() == before
