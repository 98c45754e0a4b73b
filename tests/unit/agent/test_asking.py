"""Approvals at the desk: asked with the order, decided again by the rules of now, never larger than the yes."""

from datetime import timedelta

import pytest
from agent_samples import NOW, a_close, a_config, a_revision, a_signal
from desk_samples import Watched

from signal_contract.model import Event
from subscriber_agent.asking import Questions, ending_dict
from subscriber_agent.journal import Journal
from subscriber_agent.receiving.control_state import LOCAL_LATCH


@pytest.fixture
def journal(tmp_path):
    with Journal.open(tmp_path / "journal.sqlite") as opened:
        yield opened


async def _asked(journal, signal=None, **config):
    watched = Watched(journal, **{"mode": "approve", **config})
    labels = await watched.settled(signal or a_signal())
    assert labels == ["APPROVAL_REQUIRED"]
    return watched


def _yes(watched):
    (row,) = watched.journal.approvals("waiting")
    watched.journal.answer_approval(row.signal_id, row.revision, True, watched.clock())


async def test_mode_approve_asks_before_each_entry_and_orders_nothing(journal):
    watched = await _asked(journal)
    (asked,) = watched.of("approval")
    assert (asked["plan"]["quantity"], asked["revision"]) == ("100", 1)
    assert asked["expires_at"] == "2026-01-02T14:32:00Z"
    assert journal.open_intents() == journal.fills() == []


async def test_a_question_expires_with_the_signals_own_expiry_when_that_is_earlier(journal):
    await _asked(journal, a_signal(expires_at=NOW + timedelta(seconds=30)))
    assert journal.approvals()[0].expires_at == NOW + timedelta(seconds=30)


async def test_what_he_approved_is_ordered_once(journal):
    watched = await _asked(journal)
    _yes(watched)
    (settled,) = await watched.settled_approved()
    assert settled.label == "FILLED"
    assert await watched.settled_approved() == []
    assert len(journal.fills()) == 1
    assert journal.decision(settled.decision.signal_id, 1)["verdict"] == "ACCEPTED"
    assert journal.first_break() is None


@pytest.mark.parametrize("why", ["STALE", "HALTED", "RETRACTED"])
async def test_an_approved_signal_meets_the_rules_of_now(journal, why):
    watched = await _asked(journal)
    _yes(watched)
    if why == "STALE":
        watched.clock.passes(300)
    elif why == "HALTED":
        journal.set_latch(LOCAL_LATCH, "HALTED", "", NOW)
    else:
        watched.receive(a_revision(a_signal(), 2, Event.RETRACT))
    (settled,) = await watched.settled_approved()
    assert settled.label == why
    assert journal.fills() == []
    assert await watched.settled_approved() == []


async def test_the_order_is_never_larger_than_what_he_said_yes_to(journal):
    watched = await _asked(journal, risk={"fixed_usd": 300})
    _yes(watched)
    watched.desk.take(a_config(journal.path.parent, mode="approve", risk={"fixed_usd": 500}))
    (settled,) = await watched.settled_approved()
    assert settled.decision.plan.quantity == journal.fills()[0].quantity == 60


@pytest.mark.parametrize(("above", "label"), [(499, "APPROVAL_REQUIRED"), (500, "FILLED")])
async def test_paper_asks_above_an_amount_only(journal, above, label):
    watched = Watched(journal, risk={"approve_above_usd": above, "fixed_usd": 500})
    assert await watched.settled(a_signal()) == [label]
    assert len(watched.of("approval")) == (label != "FILLED")


async def test_exits_are_never_asked_about(journal):
    watched = await _asked(journal)
    _yes(watched)
    await watched.settled_approved()
    assert await watched.settled(a_close()) == ["FILLED"]


async def test_a_no_and_a_silence_are_told_once(journal):
    watched = await _asked(journal)
    await watched.settled(a_signal("two", ticker="BBBB"))
    questions = Questions(journal, watched.clock)
    assert questions.ended() == []
    row = journal.approvals("waiting")[0]
    journal.answer_approval(row.signal_id, row.revision, False, watched.clock())
    assert [ending_dict(each)["state"] for each in questions.ended()] == ["rejected"]
    commits = journal.commits
    assert questions.ended() == []
    assert journal.commits == commits
    watched.clock.passes(121)
    assert [ending_dict(each)["state"] for each in questions.ended()] == ["expired"]
    assert questions.ended() == []
    assert await watched.settled_approved() == []


async def test_a_kill_between_the_yes_and_the_order_orders_it_once(tmp_path):
    path = tmp_path / "journal.sqlite"
    with Journal.open(path) as journal:
        watched = await _asked(journal)
        _yes(watched)
        (stored,) = journal.due_approvals()
        gathered = await watched.desk.gather(stored)
        watched.desk.decide_and_keep(stored, gathered, 2)
    with Journal.open(path) as journal:
        again = Watched(journal, mode="approve")
        (recovered,) = await again.desk.recover()
        assert recovered.outcome.state == "FILLED"
        assert await again.settled_approved() == []
        assert len(journal.fills()) == 1
