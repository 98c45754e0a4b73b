"""What the running agent does between signals: the friend's flatten, his yes and no, and his config."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import yaml
from live_agent import Agent, a_signal, now, publishing, running

from subscriber_agent.accounting.book import Leg
from subscriber_agent.settings.config import Mode
from subscriber_agent.settings.reload import ConfigWatcher


async def test_a_flatten_that_was_asked_for_beside_the_agent_is_carried_out(operator, until):
    config = await operator.add_user("alice", ["signals.*.*"])
    agent = Agent(config, "alice")
    async with running(agent, until), publishing(operator) as publish:
        await publish(a_signal("AAPL"), a_signal("MSFT"))
        await until(lambda: agent.labels == ["FILLED", "FILLED"], what="both are held")
        agent.journal.request_flatten("enough for today", now())
        await until(lambda: agent.of("all_closed"), what="everything is closed")
        assert [each["ticker"] for each in agent.of("own_exit")] == ["AAPL", "MSFT"]
        assert agent.journal.flatten_request() is None
        await publish(a_signal("TSLA"))
        await until(lambda: len(agent.labels) == 3, what="signals go on")


async def test_what_he_approved_is_ordered_and_what_he_rejected_is_not(operator, until):
    config = await operator.add_user("alice", ["signals.*.*"])
    agent = Agent(config, "alice", mode=Mode.APPROVE)
    async with running(agent, until), publishing(operator) as publish:
        yes, no = a_signal("AAPL"), a_signal("MSFT")
        await publish(yes, no)
        await until(lambda: len(agent.of("approval")) == 2, what="he is asked")
        agent.journal.answer_approval(yes.signal_id, 1, True, now())
        agent.journal.answer_approval(no.signal_id, 1, False, now())
        await until(lambda: "FILLED" in agent.labels and agent.of("approval_ended"), what="both answers count")
    assert [each["ticker"] for each in agent.of("approval_ended")] == ["MSFT"]


class Silent:
    """The paper engine behind a line that is down until `is_away` is False."""

    def __init__(self, inner):
        self._inner = inner
        self.is_away = True

    def __getattr__(self, name):
        return getattr(self._inner, name)

    async def positions(self):
        if self.is_away:
            raise ConnectionError("the broker is away")
        return await self._inner.positions()


async def test_signals_wait_for_a_silent_engine_and_are_decided_once_it_answers(operator, until):
    config = await operator.add_user("alice", ["signals.*.*"])
    agent = Agent(config, "alice", wrap=Silent)
    async with running(agent, until, up_to="connected"), publishing(operator) as publish:
        await publish(a_signal("AAPL"))
        await until(lambda: agent.of("engine_fault") and agent.journal.undecided_count() == 1, what="it waits")
        assert agent.labels == agent.of("caught_up") == []
        agent.engine.is_away = False
        await until(lambda: agent.labels == ["FILLED"], what="it is traded")
        await until(lambda: agent.of("caught_up"), what="it is up to date")


class Bare:
    """The paper engine, as one that holds no stop for an entry, but takes stop orders."""

    def __init__(self, inner):
        self._inner = inner

    def __getattr__(self, name):
        return getattr(self._inner, name)

    def capabilities(self):
        return replace(self._inner.capabilities(), brackets=False, stop_orders=True)

    async def submit(self, plan, client_order_id):
        if plan.leg is Leg.ENTRY:
            plan = replace(plan, stop_price=None, target_price=None)
        return await self._inner.submit(plan, client_order_id)


async def test_a_stop_of_our_own_does_not_wait_for_the_next_round(operator, until):
    config = await operator.add_user("alice", ["signals.*.*"])
    agent = Agent(config, "alice", wrap=Bare)

    def stopped():
        return [each for each in agent.journal.open_intents() if each.intent.plan.leg is Leg.STOP]

    waited = []
    async with running(agent, until), publishing(operator) as publish:
        for count, ticker in enumerate(("AAPL", "MSFT", "TSLA"), start=1):
            await publish(a_signal(ticker))
            await until(lambda n=count: len(agent.journal.fills()) == n, what="it is held")
            began = time.monotonic()
            await until(lambda n=count: len(stopped()) == n, what="its stop works")
            waited.append(time.monotonic() - began)
    # A round comes every five seconds: three in a row are not met by chance.
    assert max(waited) < 2.5


async def test_a_position_is_closed_by_the_clock_while_no_signal_comes(operator, until):
    config = await operator.add_user("alice", ["signals.*.*"])
    first = Agent(config, "alice")
    async with running(first, until), publishing(operator) as publish:
        await publish(a_signal("AAPL"))
        await until(lambda: first.labels == ["FILLED"], what="it is held")
    held_for_an_hour = first.settings.risk.model_copy(update={"max_hold_s_by_catalyst": {"*": Decimal(3600)}})
    agent = Agent(config, "alice", clock=lambda: now() + timedelta(hours=2), risk=held_for_an_hour)
    async with running(agent, until):
        await until(lambda: agent.of("own_exit"), what="it is closed")
        assert (agent.of("own_exit")[0]["kind"], len(agent.journal.fills())) == ("max_hold", 2)


class Following(Agent):
    """An agent whose config follows its file, as with `run`."""

    def __init__(self, config, name, **changes):
        super().__init__(config, name, **changes)
        self.watcher = ConfigWatcher(config, self.settings, data=self.settings.data, environ={})
        self.worker = self.make_worker(watcher=self.watcher)


async def test_a_stricter_config_counts_from_the_next_signal_on_and_is_journaled_before(operator, until):
    config = await operator.add_user("alice", ["signals.*.*"])
    _write(config, risk={"sessions": ["pre", "regular", "after", "closed"]})
    agent = Following(config, "alice")
    async with running(agent, until), publishing(operator) as publish:
        await publish(a_signal("AAPL"))
        await until(lambda: agent.labels == ["FILLED"], what="the first is traded")
        _write(config, risk={"sessions": ["pre", "regular", "after", "closed"], "min_confidence": "0.99"})
        await until(lambda: agent.of("config_changed"), what="the file was read")
        await publish(a_signal("MSFT"))
        await until(lambda: len(agent.labels) == 2, what="the second is decided")
        assert agent.labels[1] == "LOW_CONFIDENCE"
        change = agent.journal.config_changes(1)[0]
        row = agent.journal.latest_decisions(1)[0]
        assert change.config_hash == row.config_hash == agent.watcher.current.config_hash()
        assert agent.watcher.current.risk.min_confidence == Decimal("0.99")


async def test_a_file_with_a_mistake_and_a_looser_one_change_nothing_and_are_told(operator, until):
    config = await operator.add_user("alice", ["signals.*.*"])
    _write(config, risk={"sessions": ["pre", "regular", "after", "closed"]})
    agent = Following(config, "alice")
    async with running(agent, until):
        before = agent.watcher.current.config_hash()
        _write(config, risk={"min_confidenze": 1})
        await until(lambda: agent.of("config_kept"), what="the mistake is told")
        _write(config, risk={"sessions": ["pre", "regular", "after", "closed"], "max_open_positions": 50})
        await until(lambda: agent.of("config_pending"), what="the looser one waits")
        assert agent.watcher.current.config_hash() == before
        assert agent.journal.config_changes(10) == []


async def test_a_start_with_another_config_is_journaled(operator, until):
    config = await operator.add_user("alice", ["signals.*.*"])
    first = Agent(config, "alice")
    async with running(first, until), publishing(operator) as publish:
        await publish(a_signal())
        await until(lambda: first.labels == ["FILLED"], what="something was decided by the first")
    second = Agent(config, "alice", mode=Mode.NOTIFY)
    await second.run(until_drained=True)
    (told,) = second.of("config_changed")
    assert (told["before_hash"], told["after_hash"]) == (first.settings.config_hash(), second.settings.config_hash())


def _write(config, *, risk):
    document = yaml.safe_load(config.read_text())
    config.write_text(yaml.safe_dump({**document, "risk": risk}))
